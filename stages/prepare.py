"""Bring training rows and test questions into one canonical form; reject rows that cannot be used.

Reads train/NAME (.jsonl, .json, .csv, .parquet ...), train_schemas/NAME.json, test_sets.json, test/NAME.jsonl
and, where there is one, planted.json below --raw. Writes train.jsonl (TrainingRow), test.jsonl (TestQuestion)
and rejected.jsonl (source, row, reason, detail, text) below --output. Training rows are numbered from 0 in
their file, test questions over all sets; a limit of test questions applies to each set. A broken training row
is rejected and counted; a file that cannot be read, a source of which too much is rejected, or a broken test
question is an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

import click

from stages._main import stage_main
from stages._params import load_params
from text2sql.errors import UserError
from text2sql.files import copy_file, replacing_folder, write_json, write_jsonl
from text2sql.preparation.checks import is_unfit
from text2sql.preparation.raw_test import read_lines, set_path
from text2sql.preparation.training import Counts, SourceCounts, evenly_spaced, prepare_training
from text2sql.records import TestQuestion
from text2sql.schema.prose import is_prose, read_prose

_LINE = ("db_id", "question", "gold", "schema", "slice", "recorded")
_REMEDY = "fix it, or fetch the data again: dvc repro fetch_data"


@click.command(help=__doc__)
@click.option("--raw", type=click.Path(path_type=Path), required=True)
@click.option("--output", type=click.Path(path_type=Path), required=True)
@click.option("--metrics", type=click.Path(path_type=Path), required=True)
@stage_main
def main(raw: Path, output: Path, metrics: Path) -> None:
    params = load_params()
    settings = params.prepare
    questions = read_test(raw)
    test = limited(questions, settings.test_limit)
    with replacing_folder(output) as folder:
        train = prepare_training(raw, folder, settings, params.prompt.comments)
        write_jsonl(folder / "test.jsonl", map(_fields, test))
        if (raw / "planted.json").is_file():
            copy_file(raw / "planted.json", folder / "planted.json")
    write_json(metrics, counts(train, questions, test))


def read_test(raw: Path) -> list[TestQuestion]:
    """The questions of all test sets, with rows numbered from 0 over all of them.

    Raises:
        UserError: a file is missing, or a question is broken.
    """
    return [
        _test_question(f"{set_path(raw, name)}, row {number}", row, name, line)
        for row, (name, number, line) in enumerate(read_lines(raw))
    ]


def limited(questions: Sequence[TestQuestion], limit: int | None) -> list[TestQuestion]:
    """At most `limit` questions of each test set, evenly spaced; None keeps all."""
    sets = [list(own) for _, own in groupby(questions, lambda question: question.test_set)]
    return [question for own in sets for question in evenly_spaced(own, len(own), limit)]


def test_counts(questions: Sequence[TestQuestion], test: Sequence[TestQuestion]) -> dict[str, Any]:
    """For each test set the numbers of its questions; `without_gold` are among those kept."""
    read, kept = (Counter(question.test_set for question in rows) for rows in (questions, test))
    bare = Counter(question.test_set for question in test if not question.gold)
    return {
        name: {
            "read": read[name],
            "beyond_limit": read[name] - kept[name],
            "kept": kept[name],
            "without_gold": bare[name],
        }
        for name in read
    }


def counts(train: Counts, questions: Sequence[TestQuestion], test: Sequence[TestQuestion]) -> dict[str, Any]:
    """The figures of metrics/prepare.json, in rows: of all training sources, of each, of each test set."""
    sources = {name: source_counts(own) for name, own in sorted(train.items())}
    totals = ("read", "rejected", "beyond_limit", "kept")
    return {
        "train": {key: sum(source[key] for source in sources.values()) for key in totals},
        "sources": sources,
        "test": test_counts(questions, test),
    }


def source_counts(own: SourceCounts) -> dict[str, Any]:
    """The figures of one training source; `changed` counts usable rows that are not as they were."""
    rejected = own.rejected.total()
    figures: dict[str, Any] = {
        "read": own.usable + rejected,
        "rejected": rejected,
        "beyond_limit": own.usable - own.kept,
        "kept": own.kept,
    }
    for key, counter in (("rejected_by_reason", own.rejected), ("changed", own.notes)):
        if counter:
            figures[key] = dict(sorted(counter.items()))
    return figures


def _test_question(place: str, row: int, name: str, line: dict[str, Any]) -> TestQuestion:
    texts = {field: _text(place, field, line.get(field)) for field in _LINE}
    if not texts["question"]:
        raise UserError(f"{place}: 'question' is missing; {_REMEDY}")
    if is_prose(texts["schema"]):
        try:
            read_prose(texts["schema"])
        except UserError as error:
            raise UserError(f"{place}: {error}; {_REMEDY}") from error
    texts["slice"] = texts["slice"] or "all"
    return TestQuestion(row, test_set=name, **texts)


def _fields(question: TestQuestion) -> dict[str, Any]:
    """The fields of the question's line; `recorded` is left out if there is none."""
    fields = asdict(question)
    return fields if question.recorded else {k: v for k, v in fields.items() if k != "recorded"}


def _text(place: str, field: str, value: object) -> str:
    """The stripped text of a field, "" if it is missing."""
    if not isinstance(value, str | None) or is_unfit(value or ""):
        raise UserError(f"{place}: {field!r} is not valid text; {_REMEDY}")
    return (value or "").strip()


if __name__ == "__main__":
    main()
