"""Find few-shot examples for every test question, by embedding alone and reranked.

Writes embedding/test.jsonl and rerank/test.jsonl: the test rows, each with its `examples`, best first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stages._main import stage_main
from stages._params import load_params
from text2sql.cpu import allowed_cores
from text2sql.errors import UserError
from text2sql.files import read_json, replacing_folder, write_jsonl
from text2sql.processes import spread
from text2sql.progress import Progress
from text2sql.records import ConvertedQuestion, TrainingRow, read_records

if TYPE_CHECKING:
    from text2sql.retrieval.index import Hit
    from text2sql.retrieval.rerank import Reranker


@click.command(help=__doc__)
@click.option(
    "--index", required=True, type=click.Path(path_type=Path), help="Folder written by index_examples."
)
@click.option("--train", required=True, type=click.Path(path_type=Path), help="Folder with rows.jsonl.")
@click.option("--test", required=True, type=click.Path(path_type=Path), help="Folder with test.jsonl.")
@click.option("--output", required=True, type=click.Path(path_type=Path), help="Folder for the examples.")
@stage_main
def main(index: Path, train: Path, test: Path, output: Path) -> None:
    settings = load_params().retrieve_examples
    rows = {row.id: row for row in read_records(train / "rows.jsonl", TrainingRow)}
    questions = read_records(test / "test.jsonl", ConvertedQuestion)
    model, batch_size = _read_meta(index / "meta.json")

    # imported here, because they take seconds and errors above should come first
    from text2sql.retrieval.embed import load_embedder
    from text2sql.retrieval.index import search_index
    from text2sql.retrieval.rerank import load_reranker

    embedder = load_embedder(model, batch_size, allowed_cores())
    reranker = load_reranker(settings.reranker, embedder)
    vectors = embedder.embed([question.question for question in questions])
    found = search_index(index / "examples.db", vectors, settings.candidates)
    _check_known(found, rows, index)
    reranked = _rerank(questions, found, rows, reranker, embedder.processes)
    with replacing_folder(output) as folder:
        for arm, ranking in (("embedding", found), ("rerank", reranked)):
            examples = [_examples(hits[: settings.top_k], rows) for hits in ranking]
            write_jsonl(folder / arm / "test.jsonl", _join(questions, examples))


def _read_meta(path: Path) -> tuple[str, int]:
    """Model and batch size of the index; the questions must be embedded with the same model."""
    meta = read_json(path)
    for key in ("embedding_model", "batch_size"):
        if key not in meta:
            raise UserError(f"{path}: {key} is missing; `dvc repro index_examples` writes it again")
    return meta["embedding_model"], meta["batch_size"]


def _check_known(found: Sequence[Sequence[Hit]], rows: Mapping[str, TrainingRow], index: Path) -> None:
    unknown = sorted({row_id for hits in found for row_id, _ in hits} - rows.keys())
    if unknown:
        raise UserError(
            f"{index}: row {unknown[0]} is not in train/rows.jsonl, so the index has other rows; "
            "`dvc repro index_examples`"
        )


def _rerank(
    questions: Sequence[ConvertedQuestion],
    found: Sequence[Sequence[Hit]],
    rows: Mapping[str, TrainingRow],
    reranker: Reranker,
    processes: int,
) -> list[list[Hit]]:
    """Order the hits of each question by the score of the reranker, ties by id."""
    from text2sql.retrieval.index import DIGITS

    def rank(number: int) -> list[Hit]:
        ids = [row_id for row_id, _ in found[number]]
        scores = reranker.score(questions[number], [rows[row_id] for row_id in ids])
        scored = [(i, round(score, DIGITS)) for i, score in zip(ids, scores, strict=True)]
        return sorted(scored, key=lambda hit: (-hit[1], hit[0]))

    candidates = {row_id for hits in found for row_id, _ in hits}
    reranker.prepare([*questions, *(rows[row_id] for row_id in sorted(candidates))])
    progress = Progress(len(questions), "questions", "rerank")
    rankings: dict[int, list[Hit]] = {}
    for number, ranking in spread(rank, range(len(questions)), processes):
        rankings[number] = ranking
        progress.advance()
    return [rankings[number] for number in range(len(questions))]


def _examples(hits: Sequence[Hit], rows: Mapping[str, TrainingRow]) -> list[dict[str, Any]]:
    return [_example(rows[row_id], score) for row_id, score in hits]


def _example(row: TrainingRow, score: float) -> dict[str, Any]:
    return {"id": row.id, "question": row.question, "ddl": row.ddl, "sql": row.sql, "score": score}


def _join(
    questions: Sequence[ConvertedQuestion], examples: Sequence[list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    pairs = zip(questions, examples, strict=True)
    return [{**dataclasses.asdict(question), "examples": best} for question, best in pairs]


if __name__ == "__main__":
    main()
