"""What a schema tells about a name that SQLite does not know, for a model that corrects its query."""

from __future__ import annotations

import re

from rapidfuzz import fuzz, process

from text2sql.schema.model import Schema

_UNKNOWN = re.compile(r"(?:no such column|ambiguous column name): (?:.*\.)?(?P<column>[^.]+)$")
_NEAREST = 3
_SIMILAR = 60.0  # percent, of two names


def advice(failure: str, schema: Schema) -> str:
    """The tables that have the column of SQLite's message, or the nearest names; "" for other messages.

    Such as ``name is a column of people`` after ``no such column: T1.name``.
    """
    found = _UNKNOWN.search(failure)
    if found is None:
        return ""
    column = found["column"].strip("\"'`[] ")
    columns = [(table.name, each.name) for table in schema.tables for each in table.columns]
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
