"""The types of the rows that the stages of the pipeline pass on."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from typing import Any, Literal, TypeVar

from text2sql.errors import UserError
from text2sql.files import read_jsonl


@dataclasses.dataclass(frozen=True, slots=True)
class TrainingRow:
    """One question with its schema (CREATE TABLE text) and its gold SQL.

    `db_id` names the database of the question, "" if the source does not.
    """

    id: str
    source: str
    question: str
    ddl: str
    sql: str
    db_id: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class TestQuestion:
    """One test question; `row` counts from 0 over all test sets, `test_set` is the name of its own.

    `schema` is the schema as the set has it: DB-GPT's prose or CREATE TABLE text, "" if it has none.
    `recorded` is a language model's answer to that prose, "" if there is none. `gold` is "" if the set has no
    gold query; the question is then predicted and not scored.
    """

    __test__ = False  # keeps pytest from collecting this class

    row: int
    db_id: str
    question: str
    gold: str
    schema: str
    slice: str
    recorded: str = ""
    test_set: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class ConvertedQuestion:
    """A test question with its schema as CREATE TABLE text; `problems` is empty if nothing is wrong.

    `gold` is "" if the test set has no gold query; `test_set` is the name of the set.
    """

    row: int
    db_id: str
    question: str
    gold: str
    ddl: str
    slice: str
    backend: str
    problems: tuple[str, ...]
    test_set: str = ""


Problem = Literal["truncated", "empty", "declined", "prompt_too_long"]
"""Why an answer has no text, or not all of it; see `text2sql.inference.engine.Answer`."""


@dataclasses.dataclass(frozen=True, slots=True)
class Prediction:
    """The SQL extracted from the model's answer `raw` to the test question `row`.

    `agreement`: the share (0 to 1) of the sampled answers with the same result, None if only one was sampled.
    `tries`: how often the model was asked until this answer, None if its errors are not shown to it.
    `problems`: how many of the answers to the question (of the last try) have each `Problem`, None if none
    has one. Fields that are None are left out of the file.
    """

    row: int
    sql: str
    raw: str
    agreement: float | None = None
    tries: int | None = None
    problems: dict[str, int] | None = None


Record = TypeVar("Record", TrainingRow, TestQuestion, ConvertedQuestion, Prediction)


def read_records(path: str | os.PathLike[str], kind: type[Record]) -> list[Record]:
    """Read a JSON-lines file into `kind`; fields with a default may be missing.

    Raises:
        UserError: the file cannot be read, or a record (numbered from 1) has a missing or an unknown field.
    """
    return list(iterate_records(path, kind))


def iterate_records(path: str | os.PathLike[str], kind: type[Record]) -> Iterator[Record]:
    """Yield what `read_records` reads, one record at a time; for files that may not fit into memory."""
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
