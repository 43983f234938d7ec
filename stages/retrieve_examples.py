"""Find few-shot examples for every test question, by embedding alone and reranked.

Writes RANKING/test.jsonl for each of retrieve_examples.rankings: the test rows, each with its `examples`,
best first. An example that dedupe_test would remove is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from stages._examples import Inputs, Ranking, Rows, example_options, open_index, shown
from stages._main import stage_main
from stages._params import load_params
from text2sql.files import replacing_folder, write_json, write_jsonl
from text2sql.records import ConvertedQuestion, read_records
from text2sql.retrieval.quality import quality
from text2sql.retrieval.settings import RetrieveExamples


@click.command(help=__doc__)
@example_options
@stage_main
def main(output: Path, metrics: Path, **folders: Path) -> None:
    params, inputs = load_params(), Inputs(**folders)
    rows = inputs.rows()
    questions = read_records(inputs.test / "test.jsonl", ConvertedQuestion)
    chosen = _chosen(questions, rows, inputs.index, params.retrieve_examples)
    found = shown(chosen, questions, rows, inputs, params)
    with replacing_folder(output) as folder:
        for name, made in found.items():
            write_jsonl(folder / name / "test.jsonl", made.records)
    write_json(metrics, {name: quality(questions, made.hits, rows) for name, made in found.items()})


def _chosen(
    questions: Sequence[ConvertedQuestion], rows: Rows, index: Path, settings: RetrieveExamples
) -> dict[str, Ranking]:
    """The chosen examples of every question, by ranking."""
    search = open_index(index)
    # imported here, because they take seconds and errors in the files should come first
    from text2sql.retrieval.ranking import rerank
    from text2sql.retrieval.rerank import KEYS, load_reranker

    embedder, instruction, commit = search.embedder, settings.rerank_instruction, settings.reranker_revision
    # loaded before the search, so that an error in its name comes first
    reranker = load_reranker(settings.reranker, embedder, instruction, commit) if settings.reranks else None
    found = search.candidates(questions, rows, settings)
    rankings: dict[str, Ranking] = {}
    for name in settings.rankings:
        rankings[name] = found
        if reranker and name in KEYS:
            rankings[name] = rerank(questions, found, rows, reranker, KEYS[name], embedder.processes)
    return search.choose(rankings, rows, settings)


if __name__ == "__main__":
    main()
