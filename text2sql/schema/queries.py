"""The syntax tree of a query."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlglot import exp

SQL_LENGTH = 100_000
"""Most bytes of SQL that SQLite is given; real answers are far shorter."""


def parse_query(sql: str) -> exp.Query | None:
    """The syntax tree of one query (SELECT, WITH, UNION ...) in SQLite's dialect; None for any other text.

    None, too, if sqlglot cannot read the query, if it is nested too deeply, or longer than SQL_LENGTH
    characters, which SQLite is not given either. A query in brackets is a Subquery here; SQLite refuses it.
    Each call returns a new tree, which the caller may change.
    """
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    if len(sql) > SQL_LENGTH:
        return None
    try:
        statements = sqlglot.parse(sql, read="sqlite")
    except (SqlglotError, RecursionError):
        return None
    # between two semicolons there may be nothing, or a comment
    found = [tree for tree in statements if tree is not None and not isinstance(tree, exp.Semicolon)]
    return found[0] if len(found) == 1 and isinstance(found[0], exp.Query) else None
