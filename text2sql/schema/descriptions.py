"""BIRD's descriptions of columns: database_description/TABLE.csv beside a database file.

A file has a row for each column: `original_column_name`, `column_name` (written out), `column_description`,
`data_format`, `value_description`.
"""

from __future__ import annotations

import csv
import io
import sys
from dataclasses import replace
from pathlib import Path

from text2sql.schema.model import Column, Schema, Table

FOLDER = "database_description"
"""The name of the folder beside a database file."""

_CHARACTERS = 200  # of a comment; some descriptions of values fill a page


def with_descriptions(schema: Schema, database: Path) -> Schema:
    """The schema of a database file with its descriptions as comments; columns that have a comment keep it.

    A file that cannot be read is named on stderr and left out.
    """
    files = {path.stem.lower(): path for path in description_files(database)}
    return Schema(tuple(_described(table, files.get(table.name.lower())) for table in schema.tables))


def description_files(database: Path) -> list[Path]:
    """The files with the descriptions of a database file, sorted; none if it has no folder of them."""
    return sorted((database.parent / FOLDER).glob("*.csv"))


def _described(table: Table, path: Path | None) -> Table:
    found = _read(path) if path else {}
    columns = (_with_comment(column, found.get(column.name.lower(), "")) for column in table.columns)
    return replace(table, columns=tuple(columns))


def _with_comment(column: Column, comment: str) -> Column:
    return replace(column, comment=comment) if comment and not column.comment else column


def _read(path: Path) -> dict[str, str]:
    """The description of each column (lower case)."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")  # some of BIRD's files are; this reads any bytes
    try:
        rows = list(csv.DictReader(io.StringIO(text)))
    except csv.Error as error:
        print(f"{path}: not CSV ({error}); its descriptions are left out", file=sys.stderr)
        return {}
    found = {}
    for row in rows:
        cells = {(name or "").strip().lower(): value for name, value in row.items() if isinstance(value, str)}
        name = cells.get("original_column_name", "").strip().lower()
        found[name] = _comment(cells)
    return found


def _comment(cells: dict[str, str]) -> str:
    """Description and values on one line, or the written-out name if there is neither."""
    parts = [_one_line(cells.get(key, "")) for key in ("column_description", "value_description")]
    text = "; ".join(filter(None, parts)) or _one_line(cells.get("column_name", ""))
    return text if len(text) <= _CHARACTERS else text[: _CHARACTERS - 3].rstrip() + "..."


def _one_line(text: str) -> str:
    """The text without line breaks and characters that are not printable; SQLite rejects SQL with a NUL."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())
