"""Bring training rows and test questions into one canonical form; reject rows that cannot be used.

Reads train/NAME (.jsonl, .json, .csv or .parquet), test.json, databases/ and, where there is one,
planted.json below --raw. Writes train.jsonl (TrainingRow), test.jsonl (TestQuestion) and rejected.jsonl
(source, row, reason, detail, text) below --output. Rows are numbered from 0 in their file. A broken training
row is rejected and counted; a file that cannot be read, or a broken test question, is an error.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from stages._main import stage_main
from stages._params import load_params
from text2sql.databases import database_path
from text2sql.errors import UserError
from text2sql.files import copy_file, read_json, replacing_folder, write_json, write_jsonl
from text2sql.preparation.checks import is_unfit
from text2sql.preparation.training import Counts, evenly_spaced, prepare_training
from text2sql.records import TestQuestion
from text2sql.schema.prose import read_prose

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
    test = list(evenly_spaced(questions, len(questions), settings.test_limit))
    with replacing_folder(output) as folder:
        train = prepare_training(raw / "train", folder, settings, params.prompt.comments)
        write_jsonl(folder / "test.jsonl", map(_fields, test))
        if (raw / "planted.json").is_file():
            copy_file(raw / "planted.json", folder / "planted.json")
    write_json(metrics, counts(train, len(questions), len(test)))


def read_test(raw: Path) -> list[TestQuestion]:
    """All test questions, with rows numbered from 0.

    Raises:
        UserError: one is broken or has no database.
    """
    path = raw / "test.json"
    rows = read_json(path)
    if not isinstance(rows, list) or not rows:
        raise UserError(f"{path}: expected a JSON list of questions; {_REMEDY}")
    questions = [_test_question(path, number, row) for number, row in enumerate(rows)]
    for db_id, row in {question.db_id: question.row for question in reversed(questions)}.items():
        database = database_path(raw / "databases", db_id)
        if not database.is_file():
            raise UserError(f"{path}, row {row}: its database {database} is missing; {_REMEDY}")
    return questions


def counts(train: Counts, questions: int, test: int) -> dict[str, Any]:
    """The figures of metrics/prepare.json, in rows."""
    usable, kept = train.usable_by_source.total(), train.kept_by_source.total()
    rejected = train.rejected_by_source.total()
    return {
        "train": {
            "read": usable + rejected,
            "rejected": rejected,
            "beyond_limit": usable - kept,
            "kept": kept,
        },
        "kept_by_source": _sorted(train.kept_by_source),
        "rejected_by_source": _sorted(train.rejected_by_source),
        "rejected_by_reason": _sorted(train.rejected_by_reason),
        "test": {"read": questions, "beyond_limit": questions - test, "kept": test},
    }


def _sorted(counter: Counter[str]) -> dict[str, int]:
    return {name: rows for name, rows in sorted(counter.items()) if rows}


def _test_question(path: Path, number: int, row: object) -> TestQuestion:
    if not isinstance(row, dict):
        raise UserError(f"{path}, row {number}: expected a JSON object; {_REMEDY}")
    prose, question, gold = (_text(row.get(key)) for key in ("instruction", "input", "output"))
    recorded = _text(row.get("table_creating"))
    for key, text in (("instruction", prose), ("input", question), ("output", gold)):
        if not text or is_unfit(text):
            raise UserError(f"{path}, row {number}: {key!r} is missing or not valid text; {_REMEDY}")
    if is_unfit(recorded):
        raise UserError(f"{path}, row {number}: 'table_creating' is not valid text; {_REMEDY}")
    try:
        db_id, _ = read_prose(prose)
    except UserError as error:
        raise UserError(f"{path}, row {number}: {error}; {_REMEDY}") from error
    return TestQuestion(number, db_id, question, gold, prose, _text(row.get("slice")) or "all", recorded)


def _fields(question: TestQuestion) -> dict[str, Any]:
    """The fields of the question's line; `recorded` is left out if there is none."""
    fields = asdict(question)
    return fields if question.recorded else {k: v for k, v in fields.items() if k != "recorded"}


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


if __name__ == "__main__":
    main()
