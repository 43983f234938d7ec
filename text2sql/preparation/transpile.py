"""SQL of another dialect, translated to SQLite's by sqlglot."""

from __future__ import annotations

import re
from collections.abc import Iterator

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

GUESSED = ("postgres", "mysql", "tsql", "oracle", "snowflake", "bigquery")
"""Dialects that are tried, in this order, for SQL that SQLite does not compile."""


_BARE_OFFSET = re.compile(r"\bOFFSET\s+\d+\s*\Z", re.IGNORECASE)


# What sqlglot raises for text that it cannot read or write; the last five are faults of its own on odd text.
_FAULTS = (SqlglotError, RecursionError, ValueError, TypeError, AttributeError, KeyError, IndexError)


def candidates(sql: str, dialect: str | None) -> Iterator[tuple[str, str]]:
    """Yield dialects with what the query is in SQLite's SQL: of the given dialect, or of those guessed.

    SQLite has no schemas, so a query that names some (SCHEMA.TABLE) follows without them; for the dialect
    "sqlite" that is all. No dialect is guessed for OFFSET without LIMIT: in sql-create-context it is what
    became of a number with a comma ("attendance > 43 OFFSET 211").
    Not covered: sqlglot does not know whether functions that it does not translate exist in SQLite; compile
    the result.
    """
    guess = dialect is None
    if guess and _BARE_OFFSET.search(sql) and "limit" not in sql.lower():
        return
    for name in ("sqlite", *GUESSED) if dialect is None else (dialect,):
        try:
            yield from [(name, text) for text in _forms(sql, name)]
        except _FAULTS:
            continue


def _forms(sql: str, dialect: str) -> Iterator[str]:
    """A query in SQLite's SQL, and without its schemas if it names some; nothing if it is not one query."""
    trees = [tree for tree in sqlglot.parse(sql, read=dialect) if tree is not None]
    if len(trees) != 1 or not isinstance(trees[0], exp.Query):
        return
    if dialect != "sqlite":
        yield _written(trees[0])
    qualified = [table for table in trees[0].find_all(exp.Table) if table.db]
    for table in qualified:
        table.set("db", None)
        table.set("catalog", None)
    if qualified:
        yield _written(trees[0])


def _written(tree: exp.Query) -> str:
    return tree.sql("sqlite", unsupported_level=sqlglot.ErrorLevel.RAISE)
