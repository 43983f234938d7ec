"""How an input file is laid out: lines, JSON, JSON lines or a table with a header. Its content decides.

Not covered: a line of SQL that is itself valid JSON, or that reads like the header of a table.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from text2sql.errors import UserError
from text2sql.evaluation.inputs.text import read_text, shown

BIRD_SEPARATOR = "\t----- bird -----\t"
"""Stands in BIRD's predictions between the SQL and the id of its database."""

_JSON_START = re.compile(r"\s*[\[{]")
_FIRST_LINE = re.compile(r"\s*([^\r\n]*)")
_PLAIN_SUFFIXES = (".sql", ".txt")  # of files whose lines may begin with any character
_CELL = 10_000_000  # characters in a cell of a table


class Entry(NamedTuple):
    """One line, row or value of a file, and where it is: "line 3" (from 1) or "row 2" (from 0)."""

    where: str
    value: Any


@dataclass(frozen=True, slots=True)
class Content:
    """What the file called `name` has.

    The values of `lines` are texts, those of `rows` JSON values or rows of a table; those of an `object`, as
    BIRD's predictions are, pairs of key and JSON value.
    """

    name: str
    kind: Literal["lines", "rows", "object"]
    entries: list[Entry]


def read_content(path: Path, option: str, header: Sequence[Collection[str]], lenient: bool) -> Content:
    """Read a file; `option` names it on the command line, `lenient` is as in `read_text`.

    A table is known by its first line, which has one of the names of each collection in `header`.

    Raises:
        UserError: the file cannot be read, or is damaged JSON or a damaged table.
    """
    text, name = read_text(path, option, lenient), shown(path)
    suffix = Path(name.lower().removesuffix(".gz")).suffix
    content = _json(text, name, suffix) if _JSON_START.match(text) else None
    if content:
        return content
    delimiter = _delimiter(text, suffix, header)
    if delimiter:
        return Content(name, "rows", list(_table_rows(text, name, delimiter)))
    return Content(name, "lines", [Entry(f"line {n}", line) for n, line in _lines(text)])


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Number, from 1, and text of each line, without surrounding white space."""
    return ((n, line.strip()) for n, line in enumerate(io.StringIO(text, newline=None), 1))


# -- JSON --


class _RepeatedKeyError(ValueError):
    """An object has a key twice."""


def _json(text: str, name: str, suffix: str) -> Content | None:
    """The content of a file that begins like JSON, or None if it has lines."""
    try:
        value = _value(text)
    except (ValueError, RecursionError) as error:
        if _goes_on(error) and _is_object(_FIRST_LINE.match(text)):
            return Content(name, "rows", list(_json_lines(text, name)))
        if suffix in _PLAIN_SUFFIXES:
            return None
        raise _not_json(name, error) from error
    if isinstance(value, list):
        return Content(name, "rows", [Entry(f"row {n}", row) for n, row in enumerate(value)])
    if isinstance(value, dict) and _is_bird(value):
        return Content(name, "object", [Entry(f"key {pair[0]!r}", pair) for pair in value.items()])
    return Content(name, "rows", [Entry("row 0", value)])


def _value(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        ((key, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise _RepeatedKeyError(f"the key {key!r} more than once")
    return found


def _goes_on(error: Exception) -> bool:
    """Whether the text has another value after the first."""
    return isinstance(error, json.JSONDecodeError) and error.msg == "Extra data"


def _is_object(line: re.Match[str] | None) -> bool:
    try:
        return line is not None and isinstance(_value(line[1]), dict)
    except (ValueError, RecursionError):
        return False


def _is_bird(value: dict[str, Any]) -> bool:
    marked = all(isinstance(each, str) and BIRD_SEPARATOR in each for each in value.values())
    return bool(value) and (marked or all(key.isdecimal() for key in value))


def _json_lines(text: str, name: str) -> Iterator[Entry]:
    for number, line in _lines(text):
        if line:
            try:
                yield Entry(f"line {number}", _value(line))
            except (ValueError, RecursionError) as error:
                raise _not_json(f"{name}, line {number}", error) from error


def _not_json(place: str, error: Exception) -> UserError:
    if isinstance(error, json.JSONDecodeError):
        line = "" if ", line " in place else f", line {error.lineno}"
        said = f"{line}: not JSON ({error.msg})"
    elif isinstance(error, _RepeatedKeyError):
        said = f": {error}"
    else:
        said = f": not JSON ({error})"
    fix = "it may be cut off; write one JSON list, or an object in each line"
    return UserError(f"{place}{said}; {fix}")


# -- tables --


def _delimiter(text: str, suffix: str, header: Sequence[Collection[str]]) -> str | None:
    """What separates the cells of a table; None if the file is not a table."""
    found = _FIRST_LINE.match(text)
    first = found[1] if found else ""
    is_table = suffix in (".csv", ".tsv")
    for delimiter in ("\t", ",", ";"):
        cells = {cell.strip().strip('"') for cell in first.split(delimiter)}
        if (is_table or len(cells) > 1) and all(not cells.isdisjoint(names) for names in header):
            return delimiter
    if suffix == ".csv":
        return max(",", ";", "\t", key=first.count)
    return None


def _table_rows(text: str, name: str, delimiter: str) -> Iterator[Entry]:
    csv.field_size_limit(_CELL)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        names = [cell.strip() for cell in next(filter(None, rows), [])]
        for cells in filter(None, rows):
            if len(cells) != len(names):
                said = f"{len(cells)} cells, but the header has {len(names)}"
                raise UserError(
                    f"{name}, line {rows.line_num}: {said}; put quotes around cells with {delimiter!r}"
                )
            yield Entry(f"line {rows.line_num}", dict(zip(names, cells, strict=True)))
    except csv.Error as error:
        raise UserError(
            f"{name}, line {rows.line_num}: not a table ({error}); write it again as CSV"
        ) from error
