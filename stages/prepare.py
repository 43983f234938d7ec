"""Bring training rows and test questions into one canonical form; reject what cannot be used.

Reads train/NAME.jsonl, test.json, databases/ and, where there is one, planted.json below --raw.
Writes train.jsonl (TrainingRow), test.jsonl (TestQuestion) and rejected.jsonl (source, row, reason,
text) below --output. Rows count from 0 in their file. A broken training row is rejected and
counted; a line that is not JSON, and anything broken in the test, is an error.
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from stages._main import stage_main
from stages._params import load_params
from text2sql.contamination.folding import parse_query
from text2sql.outputs import copy_file, replacing_folder
from text2sql.records import (
    TestQuestion,
    TrainingRow,
    UserError,
    read_json,
    write_json,
    write_jsonl,
)
from text2sql.schema.ddl import read_ddl, write_ddl
from text2sql.schema.prose import read_prose

Item = TypeVar("Item")
_AGAIN = "mend it, or fetch the data again: dvc repro fetch_data"
# (question, schema, answer) in each known shape of a training row
_SHAPES = (
    ("question", "context", "answer"),
    ("prompt", "context", "answer"),
    ("input", "instruction", "output"),
)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A training row left out: its file's name, its row (from 0), why, and the line itself."""

    source: str
    row: int
    reason: str
    text: str


@click.command(help=__doc__)
@click.option("--raw", type=click.Path(path_type=Path), required=True)
@click.option("--output", type=click.Path(path_type=Path), required=True)
@click.option("--metrics", type=click.Path(path_type=Path), required=True)
@stage_main
def main(raw: Path, output: Path, metrics: Path) -> None:
    limits = load_params().prepare
    results = list(read_training(raw / "train"))
    usable = [result for result in results if isinstance(result, TrainingRow)]
    rejected = [result for result in results if isinstance(result, Rejected)]
    train = evenly_spaced(usable, limits.train_limit)
    questions = read_test(raw)
    test = evenly_spaced(questions, limits.test_limit)
    with replacing_folder(output) as folder:
        write_jsonl(folder / "train.jsonl", train)
        write_jsonl(folder / "test.jsonl", test)
        write_jsonl(folder / "rejected.jsonl", rejected)
        if (raw / "planted.json").is_file():
            copy_file(raw / "planted.json", folder / "planted.json")
    write_json(metrics, counts(usable, rejected, train, len(questions), len(test)))


def read_training(folder: Path) -> Iterator[TrainingRow | Rejected]:
    """Every row of every NAME.jsonl: a TrainingRow with the id NAME:ROW, or why it is rejected.

    UserError: there is no such file, or a line (named, from 1) is not UTF-8 or not JSON.
    """
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise UserError(f"{folder}: holds no .jsonl file; fetch the data: dvc repro fetch_data")
    for file in files:
        for row, (text, value) in enumerate(_read_lines(file)):
            made = training_row(file.stem, row, value)
            yield made if isinstance(made, TrainingRow) else Rejected(file.stem, row, made, text)


def training_row(source: str, row: int, value: object) -> TrainingRow | str:
    """The canonical row, or the reason why `value` makes none.

    The schema becomes CREATE TABLE text in the form that the test schemas have (INSERTs, NOT NULL
    and the like fall away); the SQL keeps its words and loses a last semicolon.
    """
    if not isinstance(value, dict):
        return "not an object"
    shape = next((shape for shape in _SHAPES if all(key in value for key in shape[:2])), None)
    if shape is None:
        return "missing question or schema"
    question, schema, sql = (_text(value.get(key)) for key in shape)
    missing = [n for n, text in (("question", question), ("schema", schema), ("SQL", sql)) if not text]
    if missing:
        return f"missing {missing[0]}"
    if _unfit(question) or _unfit(schema) or _unfit(sql):
        return "NUL or broken Unicode"
    ddl, reason = _canonical_ddl(schema)
    if reason:
        return reason
    sql = sql.rstrip("; \t\r\n")
    if parse_query(sql) is None:
        return "SQL does not parse as one query"
    return TrainingRow(f"{source}:{row}", source, question, ddl, sql)


def read_test(raw: Path) -> list[TestQuestion]:
    """All test questions, row counting from 0. UserError: one is broken or has no database."""
    path = raw / "test.json"
    rows = read_json(path)
    if not isinstance(rows, list) or not rows:
        raise UserError(f"{path}: expected a JSON list of questions; {_AGAIN}")
    questions = [_test_question(path, number, row) for number, row in enumerate(rows)]
    for db_id, row in {question.db_id: question.row for question in reversed(questions)}.items():
        database = raw / "databases" / db_id / f"{db_id}.sqlite"
        if not database.is_file():
            raise UserError(f"{path}, row {row}: its database {database} is missing; {_AGAIN}")
    return questions


def evenly_spaced(items: Sequence[Item], limit: int | None) -> Sequence[Item]:
    """At most `limit` items, evenly spread, in order; None keeps all.

    A source's share stays its share; one with fewer than len(items)/limit rows may lose all.
    """
    if limit is None or limit >= len(items):
        return items
    return [items[number * len(items) // limit] for number in range(limit)]


def counts(
    usable: Sequence[TrainingRow],
    rejected: Sequence[Rejected],
    train: Sequence[TrainingRow],
    questions: int,
    test: int,
) -> dict[str, Any]:
    """The figures of metrics/prepare.json, in rows."""
    return {
        "train": {
            "read": len(usable) + len(rejected),
            "rejected": len(rejected),
            "beyond_limit": len(usable) - len(train),
            "kept": len(train),
        },
        "kept_by_source": dict(sorted(Counter(row.source for row in train).items())),
        "rejected_by_reason": dict(sorted(Counter(row.reason for row in rejected).items())),
        "test": {"read": questions, "beyond_limit": questions - test, "kept": test},
    }


def _read_lines(path: Path) -> Iterator[tuple[str, Any]]:
    """Text and JSON value of every line that is not blank."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                if text:
                    yield text, json.loads(text)
            except UnicodeDecodeError as error:
                raise UserError(f"{path}, line {number}: not UTF-8 ({error.reason}); {_AGAIN}") from error
            except json.JSONDecodeError as error:
                raise UserError(f"{path}, line {number}: not JSON ({error.msg}); {_AGAIN}") from error


@functools.lru_cache(maxsize=65_536)
def _canonical_ddl(schema: str) -> tuple[str, str]:
    """(DDL, "") or ("", reason). Rows share schemas, so each distinct text is executed once."""
    if " contains tables such as " in schema:
        try:
            return write_ddl(read_prose(schema)[1]), ""
        except UserError:
            return "", "schema prose does not fit"
    try:
        return write_ddl(read_ddl(schema)), ""
    except UserError:
        return "", "DDL does not execute"


def _test_question(path: Path, number: int, row: object) -> TestQuestion:
    if not isinstance(row, dict):
        raise UserError(f"{path}, row {number}: expected a JSON object; {_AGAIN}")
    prose, question, gold = (_text(row.get(key)) for key in ("instruction", "input", "output"))
    for key, text in (("instruction", prose), ("input", question), ("output", gold)):
        if not text or _unfit(text):
            raise UserError(f"{path}, row {number}: {key!r} is missing or not clean text; {_AGAIN}")
    try:
        db_id, _ = read_prose(prose)
    except UserError as error:
        raise UserError(f"{path}, row {number}: {error}; {_AGAIN}") from error
    return TestQuestion(number, db_id, question, gold, prose, _text(row.get("slice")) or "all")


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _unfit(text: str) -> bool:
    """Whether a text holds NUL, at which SQLite stops reading, or half a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return "\0" in text


if __name__ == "__main__":
    main()
