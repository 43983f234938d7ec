"""Shared by the stages that find few-shot examples: candidates, choice, check for leaks, test rows."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stages._params import Params
from text2sql.contamination.folding import fold_question
from text2sql.contamination.leaks import find_leaks
from text2sql.contamination.settings import Rules
from text2sql.cpu import allowed_cores
from text2sql.errors import UserError
from text2sql.prompts import prompt_form
from text2sql.records import ConvertedQuestion, TestQuestion, TrainingRow, read_records
from text2sql.retrieval.needed import needed_ddl
from text2sql.retrieval.settings import PACKAGED_MODEL, ExampleSchema, RetrieveExamples
from text2sql.schema.settings import Prompt

if TYPE_CHECKING:
    from text2sql.retrieval.embed import Embedder
    from text2sql.retrieval.index import Hit
    from text2sql.retrieval.stored import StoredIndex

Rows = Mapping[str, TrainingRow]
Ranking = list[list["Hit"]]

_FILE = click.Path(path_type=Path)
_OPTIONS = (
    click.option("--index", type=_FILE, required=True, help="Folder written by index_examples."),
    click.option("--train", type=_FILE, required=True, help="Folder with rows.jsonl."),
    click.option("--test", type=_FILE, required=True, help="Folder with test.jsonl."),
    click.option("--prepared", type=_FILE, required=True, help="Folder with dedupe_test's test.jsonl."),
    click.option("--databases", type=_FILE, required=True, help="Folder with ID/ID.sqlite."),
    click.option("--base", type=_FILE, required=True, help="Model whose tokens are counted."),
    click.option("--output", type=_FILE, required=True, help="Folder for the examples."),
    click.option("--metrics", type=_FILE, required=True, help="File for the figures."),
)


def example_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give `command` the options of `Inputs`, and --output and --metrics."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The folders that the stages read."""

    index: Path
    train: Path
    test: Path
    prepared: Path
    databases: Path
    base: Path

    def rows(self) -> dict[str, TrainingRow]:
        """The training rows by id."""
        return {row.id: row for row in read_records(self.train / "rows.jsonl", TrainingRow)}


@dataclasses.dataclass(frozen=True)
class Search:
    """The index of the training questions, and the model that made it."""

    index: Path
    stored: StoredIndex
    embedder: Embedder

    def candidates(
        self, questions: Sequence[ConvertedQuestion], rows: Rows, settings: RetrieveExamples
    ) -> Ranking:
        """The nearest training rows of each question by embedding.

        Raises:
            UserError: the index is damaged, or has rows that are not in `rows`.
        """
        from text2sql.retrieval.embed import as_query, too_long_warning
        from text2sql.retrieval.mask import embedded_texts
        from text2sql.retrieval.stored import search

        texts = embedded_texts(questions, self.stored.masked)
        texts = [as_query(text, settings.query_instruction) for text in texts]
        print(too_long_warning(self.embedder, texts), end="", file=sys.stderr)
        found = search(self.index, self.stored, self.embedder.embed(texts), settings.candidates)
        if unknown := sorted({row_id for hits in found for row_id, _ in hits} - rows.keys()):
            raise UserError(
                f"{self.index}: row {unknown[0]} is not in train/rows.jsonl, so the index has other rows; "
                "`dvc repro index_examples`"
            )
        return found

    def choose(
        self, rankings: Mapping[str, Ranking], rows: Rows, settings: RetrieveExamples
    ) -> dict[str, Ranking]:
        """The examples that each ranking shows; all rankings have the same candidates."""
        from text2sql.retrieval.ranking import choose, distinct

        vectors: dict[str, Any] = {}
        if settings.mmr_lambda < 1:
            vectors = self._vectors(rankings, rows)
            asked = {row_id: fold_question(rows[row_id].question) for row_id in vectors}
            rankings = {name: [distinct(hits, asked) for hits in found] for name, found in rankings.items()}
        return {
            name: [choose(hits, settings.top_k, settings.mmr_lambda, vectors) for hits in found]
            for name, found in rankings.items()
        }

    def _vectors(self, rankings: Mapping[str, Ranking], rows: Rows) -> dict[str, Any]:
        """The vectors of all candidates by id, for the choice by diversity."""
        from text2sql.retrieval.mask import embedded_texts

        ids = sorted({row_id for found in rankings.values() for hits in found for row_id, _ in hits})
        texts = embedded_texts([rows[row_id] for row_id in ids], self.stored.masked)
        return dict(zip(ids, self.embedder.embed(texts), strict=True))


def open_index(index: Path) -> Search:
    """Read what is known of the index, and load its model.

    Raises:
        UserError: there is no index, or no such model.
    """
    # imported here, because it takes seconds and errors in the files should come first
    from text2sql.retrieval.embed import load_embedder
    from text2sql.retrieval.stored import read_index

    stored = read_index(index)
    model, revision = stored.embedding_model, stored.embedding_revision
    return Search(index, stored, load_embedder(model, stored.batch_size, allowed_cores(), revision))


@dataclasses.dataclass(frozen=True)
class Shown:
    """The test rows with their examples, and these examples as hits."""

    records: list[dict[str, Any]]
    hits: Ranking


def shown(
    chosen: Mapping[str, Ranking],
    questions: Sequence[ConvertedQuestion],
    rows: Rows,
    inputs: Inputs,
    params: Params,
) -> dict[str, Shown]:
    """The test rows with the chosen examples, as many as their prompts may have, by ranking.

    Raises:
        UserError: an example leaks a test question.
    """
    _check_leaks(chosen, rows, inputs.prepared, inputs.databases, params.dedupe_test)
    settings = params.retrieve_examples
    found = {name: records(questions, hits, rows, settings.example_schema) for name, hits in chosen.items()}
    if settings.max_prompt_tokens:
        found = _shortened(found, params.prompt, inputs.base, settings.max_prompt_tokens)
    return {name: Shown(made, _kept(chosen[name], made)) for name, made in found.items()}


def _check_leaks(
    chosen: Mapping[str, Ranking], rows: Rows, prepared: Path, databases: Path, rules: Rules
) -> None:
    """Look at the chosen examples once more with the rules of dedupe_test.

    Raises:
        UserError: one of them leaks a test question.
    """
    from text2sql.retrieval.embed import load_embedder

    ids = sorted({row_id for ranking in chosen.values() for hits in ranking for row_id, _ in hits})
    test = read_records(prepared / "test.jsonl", TestQuestion)
    embed = load_embedder(PACKAGED_MODEL, 64).embed if rules.embedding is not None else None
    for row, evidence in find_leaks([rows[i] for i in ids], test, rules, embed, databases=databases):
        if evidence:
            raise UserError(
                f"example {row.id} leaks test row {evidence.test_row} by rule {evidence.rule}, so "
                "dedupe_test would remove it: data/train was not made with these settings; "
                "`dvc repro dedupe_test`, then `dvc repro`"
            )


def records(
    questions: Sequence[ConvertedQuestion],
    ranking: Sequence[Sequence[Hit]],
    rows: Rows,
    schema: ExampleSchema,
) -> list[dict[str, Any]]:
    """The test rows with their examples."""
    return [
        {**dataclasses.asdict(question), "examples": [_example(rows[i], score, schema) for i, score in hits]}
        for question, hits in zip(questions, ranking, strict=True)
    ]


def _example(row: TrainingRow, score: float, schema: ExampleSchema) -> dict[str, Any]:
    ddl = {"full": row.ddl, "none": ""}.get(schema)
    ddl = needed_ddl(row.ddl, row.sql) if ddl is None else ddl
    return {"id": row.id, "question": row.question, "ddl": ddl, "sql": row.sql, "score": score}


def _shortened(
    found: Mapping[str, list[dict[str, Any]]], prompt: Prompt, base: Path, limit: int
) -> dict[str, list[dict[str, Any]]]:
    """The records without the examples that make their prompts longer than `limit` tokens."""
    from text2sql.inference.budget import within_budget
    from text2sql.inference.chat_tokens import ChatTokens
    from text2sql.inference.weights import Weights

    tokens, form = ChatTokens(Weights(base, "")), prompt_form(prompt.form)
    short = {name: within_budget(rows, prompt, form, tokens, limit) for name, rows in found.items()}
    for name, rows in short.items():
        bare = sum(not row["examples"] for row in rows)
        if bare:
            print(
                f"{name}: {bare} of {len(rows)} questions have no example within "
                f"retrieve_examples.max_prompt_tokens: {limit}",
                file=sys.stderr,
            )
    return short


def _kept(ranking: Sequence[Sequence[Hit]], found: Sequence[Mapping[str, Any]]) -> Ranking:
    return [list(hits[: len(row["examples"])]) for hits, row in zip(ranking, found, strict=True)]
