"""A copy of a database with the rows of each table in reverse order.

SQL promises no order of rows that a query does not ask for, so both must give the same results.
Not covered, and refused: large files, virtual tables, and columns with a collation, which a copy would lack.
Indices and constraints are not copied, so SQLite may also join tables in another order.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from text2sql.schema.ddl import quote_name

_MOST_BYTES = 200 * 2**20
_COLLATION = re.compile(r"\bcollate\b(?!\s+[\"'`\[]?binary\b)", re.IGNORECASE)
_VIRTUAL = re.compile(r"\s*create\s+virtual\b", re.IGNORECASE)


class NotCopied(Exception):
    """The database cannot be copied; the message says why."""


def write_reversed(source: Path, target: Path) -> None:
    """Write the copy of `source` to `target`, which is complete or absent.

    Raises:
        NotCopied: the database is too large, of a kind that is not covered, or cannot be read or written.
    """
    if source.stat().st_size > _MOST_BYTES:
        raise NotCopied(f"the file has more than {_MOST_BYTES >> 20} MiB")
    partial = target.with_name(f"{target.name}.{os.getpid()}")
    try:
        address = partial.resolve().as_uri()
        with closing(sqlite3.connect(address, uri=True, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = OFF")
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("ATTACH ? AS source", (f"{source.resolve().as_uri()}?mode=ro&immutable=1",))
            _copy(connection)
        os.replace(partial, target)
    except sqlite3.Error as error:
        raise NotCopied(f"SQLite cannot copy it ({error})") from error
    finally:
        partial.unlink(missing_ok=True)


def _copy(connection: sqlite3.Connection) -> None:
    found = connection.execute(
        "SELECT type, name, sql FROM source.sqlite_master WHERE sql IS NOT NULL"
    ).fetchall()
    tables = [(name, sql) for kind, name, sql in found if kind == "table" and not name.startswith("sqlite_")]
    for name, sql in tables:
        if _VIRTUAL.match(sql):
            raise NotCopied(f"table {name} is virtual")
        if _COLLATION.search(sql):
            raise NotCopied(f"table {name} has a collation")
    connection.execute("BEGIN")
    for name, _ in tables:
        for statement in _statements(connection, name):
            connection.execute(statement)
    for kind, _, sql in found:
        if kind == "view":
            connection.execute(sql)
    connection.execute("COMMIT")


def _statements(connection: sqlite3.Connection, table: str) -> Iterator[str]:
    name = quote_name(table)
    columns = connection.execute(
        "SELECT name, type FROM pragma_table_xinfo(?, 'source')", (table,)
    ).fetchall()
    # A quoted type keeps its meaning, and INTEGER PRIMARY KEY, which fixes the order, is not written.
    declared = ", ".join(f"{quote_name(c)} {quote_name(kind) if kind else ''}" for c, kind in columns)
    names = ", ".join(quote_name(column) for column, _ in columns)
    yield f"CREATE TABLE main.{name} ({declared})"
    keys = ["rowid"] if _has_rowid(connection, name) else [quote_name(column) for column, _ in columns]
    order = ", ".join(f"{key} DESC" for key in keys)
    yield f"INSERT INTO main.{name} SELECT {names} FROM source.{name} ORDER BY {order}"


def _has_rowid(connection: sqlite3.Connection, name: str) -> bool:
    try:
        connection.execute(f"SELECT rowid FROM source.{name} LIMIT 0")
    except sqlite3.OperationalError:  # WITHOUT ROWID
        return False
    return True
