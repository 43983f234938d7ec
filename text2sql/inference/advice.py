"""What a schema tells about a name that SQLite does not know, for a model that corrects its query."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Literal, NamedTuple

from rapidfuzz import fuzz, process

from text2sql.schema.model import Schema

_UNKNOWN = re.compile(
    r"(?:no such (?P<kind>column|table)|ambiguous column name): "
    r"(?P<name>.*?)(?: - should this be a string literal.*)?\Z",
    re.DOTALL,
)
_NEAREST = 3
_SIMILAR = 60.0  # percent, of two names
_LISTED = 20  # most tables that a note lists


class Unknown(NamedTuple):
    """A name that SQLite does not know, or that is ambiguous, as its message has it: TABLE.COLUMN or less."""

    kind: Literal["column", "table"]
    name: str


def unknown_name(failure: str) -> Unknown | None:
    """The table or column in SQLite's message that it is not there or ambiguous; None for other messages."""
    found = _UNKNOWN.search(failure)
    if not found or not _bare(found["name"], ()):
        return None
    return Unknown("table" if found["kind"] == "table" else "column", found["name"])


def advice(unknown: Unknown, schema: Schema) -> str:
    """The tables that have the column, or the nearest names, such as ``name is a column of people``.

    Where no table has a name like that of a missing table, all of them unless they are too many.
    """
    if unknown.kind == "column":
        return _of_column(unknown.name, schema)
    return _of_table(unknown.name, [table.name for table in schema.tables])


def _of_table(name: str, tables: Sequence[str]) -> str:
    known = {each.lower() for each in tables}
    missing = _bare(name, known)
    if missing.lower() in known:  # the name of a database stands before it
        return f"the table {name} is called {missing}"
    near = _nearest(missing, tables, tables)
    if not near and len(tables) <= _LISTED:
        return f"no table is called {missing}; the tables are {', '.join(tables)}"
    return f"no table is called {missing}{near}"


def _of_column(name: str, schema: Schema) -> str:
    columns = [(table.name, each.name) for table in schema.tables for each in table.columns]
    column = _bare(name, {each.lower() for _, each in columns})
    tables = [table for table, each in columns if each.lower() == column.lower()]
    if tables:
        return f"{column} is a column of {', '.join(tables)}"
    near = _nearest(column, [each for _, each in columns], [".".join(each) for each in columns])
    return f"no table has a column {column}{near}"


def _nearest(name: str, names: Sequence[str], shown: Sequence[str]) -> str:
    """What to write of the names most like `name`, each as `shown` has it; "" where none is alike."""
    lowered = [each.lower() for each in names]
    near = process.extract(name.lower(), lowered, scorer=fuzz.ratio, score_cutoff=_SIMILAR, limit=_NEAREST)
    return f"; the nearest names are {', '.join(shown[at] for _, _, at in near)}" if near else ""


def _bare(name: str, known: Collection[str]) -> str:
    """The last part of SQLite's A.B: what is behind the last dot, or more of it if that is known."""
    parts = name.split(".")
    ends = (".".join(parts[at:]).strip("\"'`[] ") for at in range(len(parts)))
    return next((end for end in ends if end.lower() in known), parts[-1].strip("\"'`[] "))
