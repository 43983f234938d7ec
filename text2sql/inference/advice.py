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


def advice(failure: str, schema: Schema) -> str:
    """The tables that have the column of SQLite's message, or the nearest names; "" for other messages.

    Such as ``name is a column of people`` after ``no such column: T1.name``.
    """
    found = _UNKNOWN.search(failure)
    if found is None:
        return ""
    columns = [(table.name, each.name) for table in schema.tables for each in table.columns]
    column = _column(found["name"], {name.lower() for _, name in columns})
    if not column:
        return ""
    tables = [table for table, name in columns if name.lower() == column.lower()]
    if tables:
        return f"{column} is a column of {', '.join(tables)}"
    near = process.extract(
        column.lower(),
        [name.lower() for _, name in columns],
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
