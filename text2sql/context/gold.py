"""What a gold query uses: its tables and columns, as SQLite resolves their names, and its strings."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from sqlglot import exp

from text2sql.contamination.folding import is_string
from text2sql.schema.model import Place
from text2sql.schema.queries import parse_query


@dataclass(frozen=True, slots=True)
class Gold:
    """Tables and columns in lower case. `strings`: those that a column is compared with by =, != or IN."""

    tables: frozenset[str]
    columns: frozenset[Place]
    strings: frozenset[str]


def read_gold(connection: sqlite3.Connection, sql: str) -> Gold | None:
    """What a query uses on a database with its schema; None if it cannot be compiled or parsed.

    SQLite itself names what it reads while it compiles the query. Nothing is run.
    """
    tables, columns = set[str](), set[Place]()

    def note(action: int, table: str | None, column: str | None, *_: object) -> int:
        if action == sqlite3.SQLITE_READ and table:
            tables.add(table.lower())
            if column:
                columns.add((table.lower(), column.lower()))
        return sqlite3.SQLITE_OK

    tree = parse_query(sql)
    if tree is None:
        return None
    connection.set_authorizer(note)
    try:
        connection.execute(f"EXPLAIN {sql}").close()
    except (sqlite3.Error, sqlite3.Warning):
        return None
    finally:
        connection.set_authorizer(None)
    return Gold(frozenset(tables), frozenset(columns), _strings(tree, {name for _, name in columns}))


def _strings(tree: exp.Query, columns: set[str]) -> frozenset[str]:
    compared = [
        side
        for node in tree.find_all(exp.EQ, exp.NEQ, exp.In)
        for side in (*node.args.get("expressions", ()), node.this, node.args.get("expression"))
    ]
    literals = {side.name for side in compared if isinstance(side, exp.Literal) and side.is_string}
    return frozenset(literals | {side.name for side in compared if is_string(side, columns)})
