"""The rows of a file, read in chunks, so that a whole file is never in memory.

The suffix decides how a file is read: .jsonl (one JSON value a line), .json (one list, also in an object),
.csv or .tsv (with a header) or .parquet. All but .parquet may be compressed (.jsonl.gz, .csv.zst). JSON lines
in a .json file and a list of objects in a .jsonl file are recognised.
Not covered: a single row that is larger than memory.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from text2sql.errors import UserError
from text2sql.file_kinds import HEAD, kind_of_text, other_kind
from text2sql.preparation.json_list import JsonList
from text2sql.preparation.settings import Columns, Prepare
from text2sql.preparation.shapes import NAMES
from text2sql.preparation.text_files import (
    COMPRESSIONS,
    REMEDY,
    TextFile,
    UndecodableError,
    byte_at,
    compression,
    is_encoding,
    open_bytes,
    open_text,
    printable,
    single_byte_encoding,
    undecodable,
    utf8_bytes,
)

# A row of a file: its text, which is shown if the row is rejected, and its value.
RawRow = tuple[str, Any]

_BYTES = 1 << 20  # read at a time
_ROWS = 1000  # read at a time from a list or a table
_CELL = 10_000_000  # characters in a cell of a CSV file
_FIRST_LINE = 1 << 22  # characters of a line, of which more is not read to find out how a file is laid out
_SHOWN = 1000  # characters of a line that is not JSON


@dataclass(frozen=True, slots=True)
class BadLine:
    """Stands for the value of a line that cannot be read: a class of fault; the line (from 1) and details."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive rows: the name of their source, and the number of the first, from 0.

    `position`: how many bytes of the file, as it is on disk, have been read with these rows.
    """

    source: str
    first: int
    rows: list[RawRow]
    position: int


@dataclass(frozen=True, slots=True)
class _File:
    """A file, its names for question, schema and sql, its encoding, and whether a bad line is an error."""

    path: Path
    columns: Columns | None
    encoding: str | None
    strict: bool


_Rows = Iterator[tuple[list[RawRow], int]]


def source_name(path: Path) -> str:
    """The name of a file's source: that of the file without the suffixes of its kind and compression."""
    return Path(_unpacked_name(path)).stem


def is_known_kind(path: Path) -> bool:
    """Whether the name of a file says that it can be read here."""
    return _kind(path) in _READERS and not (_kind(path) == ".parquet" and compression(path))


def known_kinds() -> str:
    """The suffixes that can be read, for a message."""
    return f"{', '.join(_READERS)}, all but .parquet also with {' or '.join(COMPRESSIONS)} after it"


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
        name = source_name(path)
        if not is_known_kind(path):
            raise UserError(f"{path}: unknown kind of file, known: {known_kinds()}; take it out")
        if name in named:
            raise UserError(f"{named[name]} and {path} are both called {name}; rename one")
        named[name] = path
    return files


def read_chunks(
    path: Path, columns: Columns | None = None, encoding: str | None = None, strict: bool = False
) -> Iterator[Chunk]:
    """Yield the rows of a file in order; `columns` are its names for question, schema and sql.

    `encoding` is that of a text without byte order mark; None is UTF-8, or UTF-16 if it looks so. A line of a
    JSON-lines file that cannot be read has a BadLine as its value, or with `strict` is an error.

    Raises:
        UserError: the file is empty, damaged or of another kind (the message names the line where there are
            lines), no line of it can be read, it has no such column, or the encoding is unknown.
    """
    file = _File(path, columns, encoding, strict)
    _require_kind(file)
    first = 0
    try:
        for rows, position in _READERS[_kind(path)](file):
            yield Chunk(source_name(path), first, rows, position)
            first += len(rows)
    except UndecodableError as error:
        with open_bytes(path) as (data, _):
            hint = _other_encoding(file, iter(lambda: data.read(_BYTES), b""))
        where = f"{path}: not {error.encoding} at {error.where}"
        raise UserError(f"{where}; {hint or _fix_encoding(file)}") from error


def read_source(path: Path, settings: Prepare) -> Iterator[Chunk]:
    """Yield the rows of a training source as its settings say; exceptions are those of `read_chunks`."""
    own = settings.source(source_name(path))
    return read_chunks(path, own.columns, own.encoding)


# -- kinds and encodings --


def _unpacked_name(path: Path) -> str:
    return path.name[: len(path.name) - len(compression(path))]


def _kind(path: Path) -> str:
    return Path(_unpacked_name(path)).suffix.lower()


def _require_kind(file: _File) -> None:
    """Check what can be known before the file is read.

    Raises:
        UserError: the encoding is unknown or not needed, or the file is of another kind.
    """
    path, key = file.path, f"prepare.sources.{source_name(file.path)}.encoding"
    if file.encoding is not None and not is_encoding(file.encoding):
        raise UserError(
            f"params.yaml, {key}: Python knows no encoding {file.encoding!r}; name another one, such as "
            "latin-1, cp1252, gb18030 or utf-16"
        )
    if file.encoding is not None and _kind(path) == ".parquet":
        raise UserError(f"params.yaml, {key}: {path} is Parquet, whose text is always UTF-8; take it out")
    with open(path, "rb") as raw:
        found = other_kind(raw.read(HEAD), compression(path) or _kind(path))
    if found is None and compression(path):
        with open_bytes(path) as (data, _):
            found = other_kind(data.read(HEAD), _kind(path))
    if found:
        raise UserError(f"{path}: is {found}")


def _other_encoding(file: _File, pieces: Iterable[bytes]) -> str | None:
    """How to read text that is not UTF-8 in another encoding, if these bytes can be read in one."""
    found = None if file.encoding else single_byte_encoding(pieces)
    if found is None:
        return None
    if file.strict:
        return f"if it is Latin-1, convert it: iconv -f {found} -t utf-8 {file.path}"
    line = f"prepare.sources.{source_name(file.path)}.encoding: {found}"
    return f"to read it as Latin-1, set {line} in params.yaml; or name the encoding that it has"


def _fix_encoding(file: _File) -> str:
    if file.encoding is None:
        return REMEDY
    return f"name another one in params.yaml, prepare.sources.{source_name(file.path)}.encoding"


# -- readers, one for each kind --


def _read_jsonl(file: _File) -> _Rows:
    first, second = _first_lines(file)
    is_list = re.match(r"\s*\[\s*\{", first + second) and not (second and _is_json(first))
    return _read_list(file) if is_list else _read_lines(file)


def _read_json(file: _File) -> _Rows:
    first, second = _first_lines(file)
    is_lines = second and first.lstrip().startswith("{") and _is_json(first)
    return _read_lines(file) if is_lines else _read_list(file)


def _first_lines(file: _File) -> tuple[str, str]:
    """The first two lines that are not blank; "" where there is none."""
    found: list[str] = []
    with open_text(file.path, file.encoding) as opened:
        while len(found) < 2 and (line := opened.text.readline(_FIRST_LINE)):
            found += [line] if line.strip() else []
    first, second, *_ = *found, "", ""
    return first, second


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _read_lines(file: _File) -> _Rows:
    number, good, bad = 1, False, None
    with open_text(file.path, file.encoding) as opened:
        while lines := opened.text.readlines(_BYTES):
            read = (_line(file, opened, at, line) for at, line in enumerate(lines, number))
            rows = [row for row in read if row]
            if not good:
                good = any(not isinstance(value, BadLine) for _, value in rows)
                bad = bad or next((row for row in rows if isinstance(row[1], BadLine)), None)
            yield rows, opened.position
            number += len(lines)
    if not good:
        raise _no_line(file, bad)


def _line(file: _File, opened: TextFile, number: int, line: str) -> RawRow | None:
    """Text and value of a line (numbered from 1); None for a blank line."""
    text = line.strip()
    if not text:
        return None
    at = undecodable(text)
    if at is not None:
        hint = _other_encoding(file, [utf8_bytes(text)]) if opened.encoding == "UTF-8" else None
        return _bad(file, number, text, f"not {opened.encoding}", f"byte {byte_at(text, at)}", hint)
    try:
        return text, json.loads(text)
    except ValueError as error:
        said = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        return _bad(file, number, text, "not JSON", said)
    except RecursionError:
        return _bad(file, number, text, "JSON is nested too deeply")


def _bad(file: _File, number: int, text: str, reason: str, said: str = "", hint: str | None = None) -> RawRow:
    if file.strict:
        shown = f"{reason} ({said})" if said else reason
        raise UserError(f"{file.path}, line {number}: {shown}; {hint or REMEDY}")
    parts = "; ".join(part for part in (said, hint) if part)
    return printable(text, _SHOWN), BadLine(reason, f"line {number}" + (f": {parts}" if parts else ""))


def _no_line(file: _File, bad: RawRow | None) -> UserError:
    """The error of a file without a line that can be read; `bad` is its first line that is not blank."""
    if bad is None:
        return UserError(f"{file.path}: is empty; {REMEDY}")
    text, fault = bad
    said = f"{file.path}: no line of it can be read, the first is {fault.reason} ({fault.detail})"
    return UserError(f"{said}; {kind_of_text(text) if fault.reason == 'not JSON' else REMEDY}")


def _read_list(file: _File) -> _Rows:
    with open_text(file.path, file.encoding) as opened:
        found = JsonList(opened, _BYTES)
        values = found.values()
        try:
            while chunk := list(islice(values, _ROWS)):
                yield [(json.dumps(value), value) for value in chunk], opened.position
        except (ValueError, RecursionError) as error:
            said = str(error)
            if isinstance(error, json.JSONDecodeError):
                said = f"line {found.line_of(error)}: {error.msg}"
            raise UserError(f"{file.path}: not a whole JSON list ({said}); {REMEDY}") from error


def _read_table(file: _File, delimiter: str) -> _Rows:
    csv.field_size_limit(_CELL)
    with open_text(file.path, file.encoding, newline="") as opened:
        rows = csv.DictReader(opened.lines(), delimiter=delimiter, strict=True)
        try:
            if not rows.fieldnames:
                raise UserError(f"{file.path}: is empty; {REMEDY}")
            _check_columns(file.path, list(rows.fieldnames), file.columns)
            while chunk := list(islice(rows, _ROWS)):
                yield [(json.dumps(row), row) for row in chunk], opened.position
        except csv.Error as error:
            raise UserError(
                f"{file.path}, after line {rows.line_num}: not CSV ({error}); {REMEDY}"
            ) from error


def _read_csv(file: _File) -> _Rows:
    return _read_table(file, ",")


def _read_tsv(file: _File) -> _Rows:
    return _read_table(file, "\t")


def _read_parquet(file: _File) -> _Rows:
    import pyarrow
    import pyarrow.parquet

    path, columns = file.path, file.columns
    size, done = path.stat().st_size, 0
    try:
        with pyarrow.parquet.ParquetFile(path) as table:
            names = table.schema_arrow.names
            _check_columns(path, names, columns)
            for batch in table.iter_batches(_ROWS, columns=_wanted(names, columns)):
                done += batch.num_rows
                # dates and some numbers have no JSON form; their text is enough for a reject
                rows = [(json.dumps(row, default=str), row) for row in batch.to_pylist()]
                yield rows, size * done // table.metadata.num_rows
    except (pyarrow.ArrowException, UnicodeDecodeError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's error, not the file's
        raise UserError(f"{path}: not a readable Parquet file ({error}); {REMEDY}") from error


def _check_columns(path: Path, found: list[str], columns: Columns | None) -> None:
    missing = sorted(set(columns.values()) - set(found)) if columns and found else []
    if missing:
        raise UserError(
            f"{path}: has no column {', '.join(missing)}, it has {', '.join(found)}; "
            f"fix prepare.sources.{source_name(path)}.columns in params.yaml"
        )


def _wanted(found: list[str], columns: Columns | None) -> list[str]:
    names = set(columns.values()) if columns else NAMES
    return [name for name in found if name in names]


_READERS: dict[str, Callable[[_File], _Rows]] = {
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
    ".tsv": _read_tsv,
}
