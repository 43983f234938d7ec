"""Small databases of random rows that obey a schema's constraints."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

from sqlglot import exp

from text2sql.schema.ddl import quote_name
from text2sql.schema.model import Column, Table
from text2sql.suites.constraints import Constraints
from text2sql.suites.trees import is_number, parse

_NULLS = 0.15


def constants_of(sql: str, facts: Constraints) -> list[int | str]:
    """The constants of a query, so that rows can meet its conditions."""
    query = parse(sql, facts.schema)
    found = query.all(exp.Literal) if query else []
    return [
        int(node.this) if node.is_int and not node.is_string else str(node.this).strip("%") for node in found
    ]


def random_database(
    path: Path, facts: Constraints, constants: list[int | str], seed: str
) -> sqlite3.Connection:
    """A database in memory with the tables and indexes of the file `path`, and up to seven rows in each.

    Values come from a few, so that they repeat and meet; where types are not enforced they are mixed.
    """
    chance = random.Random(seed)
    connection = sqlite3.connect(":memory:")
    with sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True) as source:
        made = source.execute(
            "SELECT sql FROM sqlite_master WHERE type IN ('table', 'index') AND sql NOT NULL"
            " AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY type DESC"
        ).fetchall()
    source.close()
    for (sql,) in made:
        connection.execute(sql)
    for table in facts.schema.tables:
        for _ in range(chance.choice((0, 1, 3, 5, 7))):
            row = [_value(table, column, facts, constants, chance) for column in table.columns]
            marks = ", ".join("?" * len(row))
            connection.execute(f"INSERT OR IGNORE INTO {quote_name(table.name)} VALUES ({marks})", row)
    return connection


def _value(
    table: Table, column: Column, facts: Constraints, constants: list[int | str], chance: random.Random
) -> int | float | str | None:
    if chance.random() < _NULLS:
        return None
    whole = [value for value in constants if isinstance(value, int)]
    if (table.name.lower(), column.name.lower()) in facts.integers:
        return chance.choice([1, 2, 3, *whole, *(value + 1 for value in whole)])
    few: list[int | float | str] = [1, 2, 3, 2.5] if is_number(column) else ["1", "2", "a", "A"]
    return chance.choice([*few, *constants])
