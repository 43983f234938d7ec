"""A bounded number of rows of a table, spread over the whole of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from text2sql.schema.ddl import quote_name

Value = int | float | str | bytes | None
Row = tuple[Value, ...]

ROWS: Final = 300
"""Rows that are read of a table at most."""

_TEXT, _BLOB = 300, 64  # characters and bytes that are kept: variants are to be small


def decoded(raw: bytes) -> str:
    """Text of a database; what is not UTF-8 becomes U+FFFD, since sqlite3 cannot write it back."""
    return raw.decode(errors="replace")


def read_rows(connection: sqlite3.Connection, table: str, columns: Sequence[str]) -> list[Row]:
    """At most ROWS rows with these columns, the same ones every time.

    A table with more rows gives rows at even distances of their rowids. Not covered: of a large table WITHOUT
    ROWID the first rows in the order of the key are read; long texts and BLOBs are cut.

    Raises:
        sqlite3.Error: SQLite cannot read the table.
    """
    shown = ", ".join(_short(quote_name(name)) for name in columns)
    first = connection.execute(f"SELECT {shown} FROM {quote_name(table)} LIMIT {ROWS + 1}").fetchall()
    rowid = rowid_name(columns)
    if len(first) <= ROWS or rowid is None or not _has_rowid(connection, table):
        return first[:ROWS]
    low, high = connection.execute(f"SELECT min({rowid}), max({rowid}) FROM {quote_name(table)}").fetchone()
    sql = f"SELECT {rowid}, {shown} FROM {quote_name(table)} WHERE {rowid} >= ? ORDER BY {rowid} LIMIT 1"
    found: dict[int, Row] = {}
    for number in range(ROWS):
        at, *row = connection.execute(sql, (low + (high - low) * number // (ROWS - 1),)).fetchone()
        found[at] = tuple(row)
    return list(found.values())


def rowid_name(columns: Sequence[str]) -> str | None:
    """A name of the rowid that none of the table's columns has; None if there is none."""
    return next((name for name in ("rowid", "_rowid_", "oid") if name not in map(str.lower, columns)), None)


def _short(name: str) -> str:
    cut = f"WHEN 'text' THEN substr({name}, 1, {_TEXT}) WHEN 'blob' THEN substr({name}, 1, {_BLOB})"
    return f"CASE typeof({name}) {cut} ELSE {name} END"


def _has_rowid(connection: sqlite3.Connection, table: str) -> bool:
    kinds = connection.execute("SELECT type, wr FROM pragma_table_list WHERE name = ?", (table,))
    return any(kind == "table" and not without for kind, without in kinds)
