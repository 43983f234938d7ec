"""Find few-shot examples whose SQL is like a first draft: the prediction of an arm.

Writes test.jsonl: the test rows, each with its `examples`, best first. Of the candidates that are nearest by
embedding those come first whose query has the form of the draft; the gold query is not used. Without a draft
that parses they stay in their order. An example that dedupe_test would remove is an error.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from stages._examples import Inputs, example_options, open_index, shown
from stages._main import stage_main
from stages._params import load_params, require_entry
from stages._predictions import read_predictions, read_questions
from text2sql.files import replacing_folder, write_json, write_jsonl
from text2sql.retrieval.quality import quality
from text2sql.retrieval.skeleton import skeleton


@click.command(help=__doc__)
@click.option("--name", required=True, help="A name in section drafts.")
@click.option("--predictions", type=click.Path(path_type=Path), required=True, help="The drafts, JSON lines.")
@example_options
@stage_main
def main(name: str, predictions: Path, output: Path, metrics: Path, **folders: Path) -> None:
    params, inputs = load_params(), Inputs(**folders)
    require_entry("drafts", params.drafts, name)
    rows = inputs.rows()
    questions = read_questions(inputs.test / "test.jsonl")
    predicted = read_predictions(predictions, questions, params.drafts[name].predictions)
    drafts = [predicted[question.row].sql for question in questions]
    unread = sum(skeleton(draft) is None for draft in drafts)
    if unread:
        print(
            f"{predictions}: {unread} of {len(drafts)} drafts are empty or do not parse; "
            "their examples stay in the order of the embedding",
            file=sys.stderr,
        )
    search = open_index(inputs.index)
    from text2sql.retrieval.ranking import by_draft  # here, because it takes seconds

    ranking = by_draft(drafts, search.candidates(questions, rows, params.retrieve_examples), rows)
    chosen = search.choose({name: ranking}, rows, params.retrieve_examples)
    made = shown(chosen, questions, rows, inputs, params)[name]
    with replacing_folder(output) as folder:
        write_jsonl(folder / "test.jsonl", made.records)
    figures = {"drafts": {"unparsed": unread, "n": len(drafts)}}
    write_json(metrics, figures | quality(questions, made.hits, rows))


if __name__ == "__main__":
    main()
