"""The rows of a file, read in chunks, so that a whole file is never in memory.

The suffix decides how a file is read: .jsonl (one JSON value a line), .json (one list), .csv (with a header)
or .parquet.
Not covered: a single row that is larger than memory.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from text2sql.errors import UserError
from text2sql.preparation.json_list import JsonList
from text2sql.preparation.settings import Columns, Prepare
from text2sql.preparation.shapes import NAMES

# A row of a file: its text, which is shown if the row is rejected, and its value.
RawRow = tuple[str, Any]

_REMEDY = "fix it, or fetch the data again: dvc repro fetch_data"
_BYTES = 1 << 20  # read at a time
_ROWS = 1000  # read at a time from a list or a table
_CELL = 10_000_000  # characters in a cell of a CSV file


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive rows: their file's name without suffix, and the number of the first, from 0.

    `position`: how many bytes of the file have been read up to and including these rows.
    """

    source: str
    first: int
    rows: list[RawRow]
    position: int


def find_files(folder: Path) -> list[Path]:
    """The training files of a folder, sorted; hidden files are ignored.

    Raises:
        UserError: there is none, one is of an unknown kind, or two have the same name without suffix, so that
            their rows would have the same ids.
    """
    files = sorted(path for path in folder.glob("*") if path.is_file() and not path.name.startswith("."))
    if not files:
        raise UserError(f"{folder}: has no training file; fetch the data: dvc repro fetch_data")
    named: dict[str, Path] = {}
    for path in files:
        if path.suffix not in _READERS:
            raise UserError(f"{path}: unknown kind of file, known: {', '.join(_READERS)}; take it out")
        if path.stem in named:
            raise UserError(f"{named[path.stem]} and {path} are both called {path.stem}; rename one")
        named[path.stem] = path
    return files


def read_chunks(path: Path, columns: Columns | None = None) -> Iterator[Chunk]:
    """Yield the rows of a file in order; `columns` are its names for question, schema and sql.

    Raises:
        UserError: the file is damaged (the message names the line where there are lines), or it has no such
            column.
    """
    first = 0
    for rows, position in _READERS[path.suffix](path, columns):
        yield Chunk(path.stem, first, rows, position)
        first += len(rows)


def source_name(path: Path) -> str:
    """The name of the source that a file has: the file's name without suffixes."""
    return path.stem


def read_source(path: Path, settings: Prepare) -> Iterator[Chunk]:
    """Yield the rows of a training source as its settings say; exceptions are those of `read_chunks`."""
    return read_chunks(path, settings.source(path.stem).columns)


def _read_jsonl(path: Path, columns: Columns | None) -> Iterator[tuple[list[RawRow], int]]:
    number = 1
    with open(path, "rb") as file:
        while lines := file.readlines(_BYTES):
            rows = (_json_line(path, at, line) for at, line in enumerate(lines, number))
            yield [row for row in rows if row], file.tell()
            number += len(lines)


def _json_line(path: Path, number: int, line: bytes) -> RawRow | None:
    """Text and value of a line (numbered from 1); None for a blank line."""
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        return (text, json.loads(text)) if text else None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}, line {number}: not UTF-8 ({error.reason}); {_REMEDY}") from error
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {number}: not JSON ({error.msg}); {_REMEDY}") from error
    except RecursionError as error:
        raise UserError(f"{path}, line {number}: JSON is nested too deeply; {_REMEDY}") from error


def _read_json(path: Path, columns: Columns | None) -> Iterator[tuple[list[RawRow], int]]:
    with open(path, "rb") as file, io.TextIOWrapper(file, "utf-8-sig") as text:
        values = JsonList(text, _BYTES).values()
        try:
            while chunk := list(islice(values, _ROWS)):
                yield [(json.dumps(value), value) for value in chunk], file.tell()
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: not UTF-8 ({error.reason}); {_REMEDY}") from error
        except (json.JSONDecodeError, RecursionError) as error:
            raise UserError(f"{path}: not a whole JSON list ({error}); {_REMEDY}") from error


def _read_csv(path: Path, columns: Columns | None) -> Iterator[tuple[list[RawRow], int]]:
    csv.field_size_limit(_CELL)
    with open(path, "rb") as file, io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
        rows = csv.DictReader(text, strict=True)
        try:
            _check_columns(path, list(rows.fieldnames or ()), columns)
            while chunk := list(islice(rows, _ROWS)):
                yield [(json.dumps(row), row) for row in chunk], file.tell()
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: not UTF-8 ({error.reason}); {_REMEDY}") from error
        except csv.Error as error:
            raise UserError(f"{path}, after line {rows.line_num}: not CSV ({error}); {_REMEDY}") from error


def _read_parquet(path: Path, columns: Columns | None) -> Iterator[tuple[list[RawRow], int]]:
    import pyarrow
    import pyarrow.parquet

    size, done = path.stat().st_size, 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            _check_columns(path, names, columns)
            for batch in file.iter_batches(_ROWS, columns=_wanted(names, columns)):
                done += batch.num_rows
                # dates and some numbers have no JSON form; their text is enough for a reject
                rows = [(json.dumps(row, default=str), row) for row in batch.to_pylist()]
                yield rows, size * done // file.metadata.num_rows
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a readable Parquet file ({error}); {_REMEDY}") from error


def _check_columns(path: Path, found: list[str], columns: Columns | None) -> None:
    missing = sorted(set(columns.values()) - set(found)) if columns and found else []
    if missing:
        raise UserError(
            f"{path}: has no column {', '.join(missing)}, it has {', '.join(found)}; "
            "fix prepare.columns in params.yaml"
        )


def _wanted(found: list[str], columns: Columns | None) -> list[str]:
    names = set(columns.values()) if columns else NAMES
    return [name for name in found if name in names]


_READERS: dict[str, Callable[[Path, Columns | None], Iterator[tuple[list[RawRow], int]]]] = {
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
