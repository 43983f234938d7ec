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


def to_sqlite(sql: str, dialect: str) -> str | None:
    """One query of a dialect as SQLite's SQL; None if it is not one, or SQLite has nothing like it.

    Not covered: sqlglot does not know whether functions that it does not translate exist in SQLite; compile
    the result.
    """
    try:
        tree = _query(sql, dialect)
        return tree.sql("sqlite", unsupported_level=sqlglot.ErrorLevel.RAISE) if tree else None
    except (SqlglotError, RecursionError):
        return None


def candidates(sql: str, dialect: str | None) -> Iterator[tuple[str, str]]:
    """Yield dialects with what the query is in SQLite's SQL: of the given dialect, or of those guessed.

    No dialect is guessed for OFFSET without LIMIT: in sql-create-context it is what became of a number with a
    comma ("attendance > 43 OFFSET 211").
    """
    if dialect is None and _BARE_OFFSET.search(sql) and "limit" not in sql.lower():
        return
    for name in (dialect,) if dialect else GUESSED:
        translated = to_sqlite(sql, name)
        if translated is not None:
            yield name, translated


def _query(sql: str, dialect: str) -> exp.Query | None:
    trees = [tree for tree in sqlglot.parse(sql, read=dialect) if tree is not None]
    return trees[0] if len(trees) == 1 and isinstance(trees[0], exp.Query) else None
