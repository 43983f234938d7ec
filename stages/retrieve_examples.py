"""Find few-shot examples for every test question, by embedding alone and reranked.

Writes RANKING/test.jsonl for each of retrieve_examples.rankings: the test rows, each with its `examples`,
best first. An example that dedupe_test would remove is an error.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stages._main import stage_main
from stages._params import load_params
from text2sql.contamination.folding import fold_question
from text2sql.contamination.leaks import find_leaks
from text2sql.contamination.settings import Rules
from text2sql.cpu import allowed_cores
from text2sql.errors import UserError
from text2sql.files import replacing_folder, write_json, write_jsonl
from text2sql.prompts import prompt_form
from text2sql.records import ConvertedQuestion, TestQuestion, TrainingRow, read_records
from text2sql.retrieval.needed import needed_ddl
from text2sql.retrieval.quality import quality
from text2sql.retrieval.settings import PACKAGED_MODEL, ExampleSchema, RetrieveExamples
from text2sql.schema.settings import Prompt

if TYPE_CHECKING:
    from text2sql.retrieval.embed import Embedder
    from text2sql.retrieval.index import Hit

Rankings = dict[str, list[list["Hit"]]]


@click.command(help=__doc__)
@click.option(
    "--index", required=True, type=click.Path(path_type=Path), help="Folder written by index_examples."
)
@click.option("--train", required=True, type=click.Path(path_type=Path), help="Folder with rows.jsonl.")
@click.option("--test", required=True, type=click.Path(path_type=Path), help="Folder with test.jsonl.")
@click.option(
    "--prepared", required=True, type=click.Path(path_type=Path), help="Folder with dedupe_test's test.jsonl."
)
@click.option("--databases", required=True, type=click.Path(path_type=Path), help="Folder with ID/ID.sqlite.")
@click.option(
    "--base", required=True, type=click.Path(path_type=Path), help="Model whose tokens are counted."
)
@click.option("--output", required=True, type=click.Path(path_type=Path), help="Folder for the examples.")
@click.option("--metrics", required=True, type=click.Path(path_type=Path), help="File for the figures.")
@stage_main
def main(
    index: Path,
    train: Path,
    test: Path,
    prepared: Path,
    databases: Path,
    base: Path,
    output: Path,
    metrics: Path,
) -> None:
    params = load_params()
    settings = params.retrieve_examples
    rows = {row.id: row for row in read_records(train / "rows.jsonl", TrainingRow)}
    questions = read_records(test / "test.jsonl", ConvertedQuestion)
    chosen = _rankings(questions, rows, index, settings)
    _check_leaks(chosen, rows, prepared, databases, params.dedupe_test)
    shown = {name: records(questions, hits, rows, settings.example_schema) for name, hits in chosen.items()}
    if settings.max_prompt_tokens:
        shown = _shortened(shown, params.prompt, base, settings.max_prompt_tokens)
        chosen = {name: _kept(chosen[name], found) for name, found in shown.items()}
    with replacing_folder(output) as folder:
        for name, found in shown.items():
            write_jsonl(folder / name / "test.jsonl", found)
    write_json(metrics, {name: quality(questions, hits, rows) for name, hits in chosen.items()})


def _rankings(
    questions: Sequence[ConvertedQuestion],
    rows: Mapping[str, TrainingRow],
    index: Path,
    settings: RetrieveExamples,
) -> Rankings:
    """The chosen examples of every question, by ranking."""
    # imported here, because they take seconds and errors in the files should come first
    from text2sql.retrieval.embed import as_query, load_embedder, too_long_warning
    from text2sql.retrieval.mask import embedded_texts
    from text2sql.retrieval.ranking import choose, distinct, rerank
    from text2sql.retrieval.rerank import KEYS, load_reranker
    from text2sql.retrieval.stored import read_index, search

    stored = read_index(index)
    model, revision = stored.embedding_model, stored.embedding_revision
    embedder = load_embedder(model, stored.batch_size, allowed_cores(), revision)
    texts = [as_query(text, settings.query_instruction) for text in embedded_texts(questions, stored.masked)]
    print(too_long_warning(embedder, texts), end="", file=sys.stderr)
    keys = {name: key for name, key in KEYS.items() if name in settings.rankings}
    instruction, commit = settings.rerank_instruction, settings.reranker_revision
    # loaded before the search, so that an error in its name comes first
    reranker = load_reranker(settings.reranker, embedder, instruction, commit) if keys else None
    found = search(index, stored, embedder.embed(texts), settings.candidates)
    _check_known(found, rows, index)
    rankings: Rankings = {"embedding": found}
    if reranker:
        for name, key in keys.items():
            rankings[name] = rerank(questions, found, rows, reranker, key, embedder.processes)
    vectors: dict[str, Any] = {}
    if settings.mmr_lambda < 1:
        vectors = _vectors(found, rows, embedder, stored.masked)
        asked = {row_id: fold_question(rows[row_id].question) for row_id in vectors}
        rankings = {name: [distinct(hits, asked) for hits in ranking] for name, ranking in rankings.items()}
    return {
        name: [choose(hits, settings.top_k, settings.mmr_lambda, vectors) for hits in rankings[name]]
        for name in settings.rankings
    }


def _vectors(
    found: Sequence[Sequence[Hit]], rows: Mapping[str, TrainingRow], embedder: Embedder, masked: bool
) -> dict[str, Any]:
    """The vectors of all candidates by id, for the choice by diversity."""
    from text2sql.retrieval.mask import embedded_texts

    ids = sorted({row_id for hits in found for row_id, _ in hits})
    texts = embedded_texts([rows[row_id] for row_id in ids], masked)
    return dict(zip(ids, embedder.embed(texts), strict=True))


def _check_known(found: Sequence[Sequence[Hit]], rows: Mapping[str, TrainingRow], index: Path) -> None:
    unknown = sorted({row_id for hits in found for row_id, _ in hits} - rows.keys())
    if unknown:
        raise UserError(
            f"{index}: row {unknown[0]} is not in train/rows.jsonl, so the index has other rows; "
            "`dvc repro index_examples`"
        )


def _check_leaks(
    chosen: Rankings, rows: Mapping[str, TrainingRow], prepared: Path, databases: Path, rules: Rules
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
    rows: Mapping[str, TrainingRow],
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
    shown: Mapping[str, list[dict[str, Any]]], prompt: Prompt, base: Path, limit: int
) -> dict[str, list[dict[str, Any]]]:
    """The records without the examples that make their prompts longer than `limit` tokens."""
    from text2sql.inference.budget import within_budget
    from text2sql.inference.chat_tokens import ChatTokens
    from text2sql.inference.weights import Weights

    tokens, form = ChatTokens(Weights(base, "")), prompt_form(prompt.form)
    short = {name: within_budget(rows, prompt, form, tokens, limit) for name, rows in shown.items()}
    for name, rows in short.items():
        bare = sum(not row["examples"] for row in rows)
        if bare:
            print(
                f"{name}: {bare} of {len(rows)} questions have no example within "
                f"retrieve_examples.max_prompt_tokens: {limit}",
                file=sys.stderr,
            )
    return short


def _kept(ranking: Sequence[Sequence[Hit]], found: Sequence[Mapping[str, Any]]) -> list[list[Hit]]:
    return [list(hits[: len(row["examples"])]) for hits, row in zip(ranking, found, strict=True)]


if __name__ == "__main__":
    main()
