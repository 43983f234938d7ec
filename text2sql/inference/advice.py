"""What a schema tells about a name that SQLite does not know, for a model that corrects its query."""

from __future__ import annotations

import re
from collections.abc import Collection

from rapidfuzz import fuzz, process

from text2sql.schema.model import Schema

_UNKNOWN = re.compile(
    r"(?:no such column|ambiguous column name): (?P<name>.*?)(?: - should this be a string literal.*)?\Z",
    re.DOTALL,
)
_NEAREST = 3
_SIMILAR = 60.0  # percent, of two names


def unknown_column(failure: str) -> str:
    """The name in SQLite's message that a column is not there or ambiguous; "" for other messages."""
    found = _UNKNOWN.search(failure)
    return found["name"] if found else ""


def advice(name: str, schema: Schema) -> str:
    """The tables that have the column that is not there, or the nearest names; "" if it has no name.

    Such as ``name is a column of people`` for ``T1.name``.
    """
    columns = [(table.name, each.name) for table in schema.tables for each in table.columns]
    column = _column(name, {each.lower() for _, each in columns})
    if not column:
        return ""
    tables = [table for table, each in columns if each.lower() == column.lower()]
    if tables:
        return f"{column} is a column of {', '.join(tables)}"
    near = process.extract(
        column.lower(),
        [each.lower() for _, each in columns],
        scorer=fuzz.ratio,
        score_cutoff=_SIMILAR,
        limit=_NEAREST,
    )
    names = [".".join(columns[at]) for _, _, at in near]
    nearest = f"; the nearest names are {', '.join(names)}" if names else ""
    return f"no table has a column {column}{nearest}"


def _column(name: str, known: Collection[str]) -> str:
    """The column in SQLite's TABLE.COLUMN: what is behind the last dot, or more of it if that is known."""
    parts = name.split(".")
    ends = (".".join(parts[at:]).strip("\"'`[] ") for at in range(len(parts)))
    return next((end for end in ends if end.lower() in known), parts[-1].strip("\"'`[] "))
