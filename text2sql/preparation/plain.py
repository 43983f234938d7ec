"""A fast check of the most common kind of row: plain CREATE TABLE text and a plain SELECT.

SQLite needs several times as long to build the tables as to compile a query on them, and in public data most
schemas occur once. So the tables are given to the query as common table expressions instead, `WITH
item(id, name) AS (SELECT 0, 0) SELECT ...`, for which SQLite resolves names in the same way. This check only
accepts: a row that is not plain, or does not compile in this way, goes through the full check.
"""

from __future__ import annotations

import functools
import re
import sqlite3
from dataclasses import dataclass
from itertools import chain

from text2sql.preparation.schemas import Connection
from text2sql.schema.ddl import quote_name

# Statements as `write_ddl` writes them, so that the text is in its canonical form already. CONSTRAINT is the
# only other word that may begin an item of the list of columns.
_COLUMN = (
    r"(?!(?i:constraint)\b)[A-Za-z_]\w* (?:BOOLEAN|DATE|DATETIME|FLOAT|INT|INTEGER|NUMERIC|REAL|TEXT|VARCHAR)"
    r"(?:\(\d+\))?(?: PRIMARY KEY)?(?: REFERENCES [A-Za-z_]\w* \([A-Za-z_]\w*\))?"
)
_TABLE = rf"CREATE TABLE (?!(?i:sqlite_))[A-Za-z_]\w* \({_COLUMN}(?:, {_COLUMN})*\)"
_PLAIN = re.compile(rf"{_TABLE}(?:;\s*{_TABLE})*;?", re.ASCII)
_SELECT = re.compile(r"select\b", re.IGNORECASE)
_REFERENCE = re.compile(r" REFERENCES (\w+) \((\w+)\)")
_BREAK = re.compile(r";\s*")
_SCHEMAS = 4096  # in the cache


@dataclass(frozen=True, slots=True)
class _Plain:
    """A schema as canonical CREATE TABLE text, and the same tables as common table expressions."""

    ddl: str
    tables: str


class PlainCheck:
    """Compiles plain queries on plain schemas."""

    def __init__(self) -> None:
        self._connection = Connection()

    def ddl(self, schema: str, sql: str) -> str | None:
        """The schema as canonical CREATE TABLE text if `sql` is a query that compiles on it, else None."""
        plain = _plain(schema) if _SELECT.match(sql) else None
        if plain is None:
            return None
        try:
            self._connection.compile(f"WITH {plain.tables} {sql}")
        except (sqlite3.Error, sqlite3.Warning):
            return None
        return plain.ddl

    def close(self) -> None:
        self._connection.close()


@functools.lru_cache(maxsize=_SCHEMAS)
def _plain(schema: str) -> _Plain | None:
    if not _PLAIN.fullmatch(schema):
        return None
    statements = _BREAK.split(schema.removesuffix(";"))
    tables = [_common_table(statement) for statement in statements]
    return _Plain(";\n".join(statements) + ";", ", ".join(tables)) if all(tables) else None


def _common_table(statement: str) -> str:
    """The table as `name(columns) AS (SELECT 0, ...)`; "" if SQLite refuses the table or a name needs quotes.

    SQLite rejects a repeated table in both forms, but a repeated column only in CREATE TABLE.
    """
    name, _, rest = statement.removeprefix("CREATE TABLE ").partition(" (")
    columns = [column.partition(" ")[0] for column in rest[:-1].split(", ")]
    names = [name, *columns, *chain.from_iterable(_REFERENCE.findall(rest))]
    refused = len({column.lower() for column in columns}) < len(columns) or rest.count(" PRIMARY KEY") > 1
    if refused or any(quote_name(name) != name for name in names):
        return ""
    return f"{name}({', '.join(columns)}) AS (SELECT {', '.join('0' * len(columns))})"
