"""The row types that flow through the pipeline."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from typing import Any, TypeVar

from text2sql.errors import UserError
from text2sql.files import read_jsonl


@dataclasses.dataclass(frozen=True, slots=True)
class TrainingRow:
    """One question with its schema (CREATE TABLE text) and its gold SQL."""

    id: str
    source: str
    question: str
    ddl: str
    sql: str


@dataclasses.dataclass(frozen=True, slots=True)
class TestQuestion:
    """One test question; `row` counts from 0, `prose` is the schema in DB-GPT's words.

    `recorded` is what a language model once made of that prose, "" where nothing is recorded.
    """

    __test__ = False  # keeps pytest from collecting this class

    row: int
    db_id: str
    question: str
    gold: str
    prose: str
    slice: str
    recorded: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class ConvertedQuestion:
    """A test question whose schema has become CREATE TABLE text; `problems` is empty when all is well."""

    row: int
    db_id: str
    question: str
    gold: str
    ddl: str
    slice: str
    backend: str
    problems: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Prediction:
    """The SQL read out of what the model said (`raw`) about the test question `row`.

    `agreement`: the share (0 to 1) of the answers drawn whose result is this one's, None where one
    was drawn only. `tries`: how often the model was asked until this answer, None where its errors
    are not shown to it. What is None is left out of the file.
    """

    row: int
    sql: str
    raw: str
    agreement: float | None = None
    tries: int | None = None


Record = TypeVar("Record", TrainingRow, TestQuestion, ConvertedQuestion, Prediction)


def read_records(path: str | os.PathLike[str], kind: type[Record]) -> list[Record]:
    """Read a JSON-lines file into `kind`; fields with a default may be left out.

    UserError: a line lacks a field or has one too many.
    """
    return list(iterate_records(path, kind))


def iterate_records(path: str | os.PathLike[str], kind: type[Record]) -> Iterator[Record]:
    """Yield what `read_records` reads, one record at a time; for files that outgrow memory."""
    fields = {field.name for field in dataclasses.fields(kind)}
    needed = {f.name for f in dataclasses.fields(kind) if f.default is dataclasses.MISSING}
    for number, row in enumerate(read_jsonl(path), 1):
        wrong = sorted((needed - set(row)) | (set(row) - fields))
        if wrong:
            raise UserError(f"{path}, record {number}: missing or unknown field {', '.join(wrong)}")
        yield _build(kind, row)


def _build(kind: type[Record], row: dict[str, Any]) -> Record:
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in row.items()
    }
    return kind(**values)
