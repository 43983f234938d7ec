"""The row types that flow through the pipeline, and JSON in and out.

Files are replaced whole (temporary file, then rename), so a reader never sees half a file.
Not covered: a power cut, after which the file system decides what survives.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar


class UserError(Exception):
    """A fault that its reader can mend: the message names the file, the row and the next command."""


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


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[str]]:
    """Open a temporary UTF-8 file that takes the place of `path` if the block ends without error."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle = tempfile.NamedTemporaryFile(  # noqa: SIM115 - closed below, before the rename
        "w",
        encoding="utf-8",
        newline="\n",
        dir=target.parent,
        prefix=f".{target.name}.",
        delete=False,
    )
    try:
        with handle:
            yield handle
        os.chmod(handle.name, 0o644)
        os.replace(handle.name, target)
    except BaseException:
        Path(handle.name).unlink(missing_ok=True)
        raise


def write_json(path: str | os.PathLike[str], value: object) -> None:
    """Write `value` as indented JSON in place of `path`."""
    with replacing(path) as file:
        json.dump(value, file, ensure_ascii=False, indent=2)
        file.write("\n")


def write_jsonl(path: str | os.PathLike[str], rows: Iterable[Any]) -> int:
    """Write dicts or dataclass instances as JSON lines in place of `path`; returns their number."""
    count = 0
    with replacing(path) as file:
        for row in rows:
            value = row if isinstance(row, dict) else dataclasses.asdict(row)
            file.write(json.dumps(value, ensure_ascii=False) + "\n")
            count += 1
    return count


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file. UserError: it is missing, not UTF-8 or not JSON (with the line)."""
    try:
        return json.loads(_bytes(path).decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {error.lineno}: not JSON ({error.msg})") from error


def read_jsonl(path: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON-lines file; blank lines are passed over.

    UserError: the file is missing, or a line (named, from 1) is not UTF-8, not JSON or not an object.
    """
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file; `dvc repro` makes what the pipeline writes")
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield _object(path, number, line)


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


def _object(path: str | os.PathLike[str], number: int, line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        raise UserError(f"{path}, line {number}: not UTF-8 text ({error.reason})") from error
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {number}: not JSON ({error.msg})") from error
    if not isinstance(value, dict):
        raise UserError(f"{path}, line {number}: expected a JSON object, found {type(value).__name__}")
    return value


def _bytes(path: str | os.PathLike[str]) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; `dvc repro` makes what the pipeline writes") from error
