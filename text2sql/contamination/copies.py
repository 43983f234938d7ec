"""Shuffled copies of a database, on which queries that mean different things give different results.

A copy has the same tables and columns and, in each column, the same values in other rows. Primary keys stay,
and a foreign key refers to a row that exists. So what a query must not rely on changes (which name is in
which row, how many rows there are), and what it may rely on stays (keys; one greatest value where there was
one).

Not covered: views, triggers, generated columns, collations and constraints are not copied, so a query that
needs a view fails on a copy.
"""

from __future__ import annotations

import random
import re
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from text2sql.databases import database_path
from text2sql.errors import UserError
from text2sql.schema.ddl import quote_name
from text2sql.schema.model import ForeignKey, Schema, Table
from text2sql.schema.sqlite import read_sqlite

COPIES = 8
"""Half of them have all rows; the others lack some, so that the numbers of rows differ as well."""

_ROWS = 1_000  # of a table; more would make queries slow and tell no more
_KEPT = 0.75  # share of the rows in a copy that lacks some
_SEED = 20

Rows = list[list[Any]]


def make_copies(databases: Path, db_id: str, folder: Path) -> list[Path]:
    """Write COPIES shuffled copies of ID/ID.sqlite below `folder`; the same ones every time.

    Raises:
        UserError: the database is missing or damaged, or a copy cannot be written.
    """
    path = database_path(databases, db_id)
    schema = _linked_by_name(read_sqlite(path))
    tables = read_rows(path, schema)
    copies = []
    for number in range(COPIES):
        rng = random.Random(f"{_SEED}:{number}")
        copies.append(folder / f"{number}.sqlite")
        write_copy(copies[-1], schema, shuffled(schema, tables, rng, kept=_KEPT if number % 2 else 1.0))
    return copies


def read_rows(path: Path, schema: Schema) -> dict[str, Rows]:
    """At most `_ROWS` rows of each table, by its name.

    Raises:
        UserError: SQLite cannot read them.
    """
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            connection.text_factory = lambda raw: raw.decode(errors="ignore")
            return {table.name: _rows(connection, table) for table in schema.tables}
    except sqlite3.Error as error:
        raise UserError(
            f"{path}: SQLite cannot read it ({error}); fetch the databases again (in the pipeline: "
            "dvc repro --force fetch_data), or leave out the rule same_result"
        ) from error


def shuffled(schema: Schema, tables: dict[str, Rows], rng: random.Random, kept: float) -> dict[str, Rows]:
    """The rows with the values of each column but the primary key in another order.

    `kept` is the share of the rows that stay. Rows that refer to a row left out are left out too, and of rows
    with equal primary keys (two foreign keys together) all but the first.
    """
    found = {table.name: _shuffle(table, tables[table.name], rng, kept) for table in schema.tables}
    for _ in schema.tables:  # a row left out may be one that other rows refer to
        for table in schema.tables:
            for key in table.foreign_keys:
                found[table.name] = _linked(table, key, schema, tables, found)
    return {table.name: _distinct(table, found[table.name]) for table in schema.tables}


def write_copy(path: Path, schema: Schema, tables: dict[str, Rows]) -> None:
    """Write a database with these rows, without keys and constraints.

    Raises:
        UserError: it cannot be written.
    """
    try:
        with closing(sqlite3.connect(path)) as connection:
            for table in schema.tables:
                columns = ", ".join(f"{quote_name(c.name)} {_plain_type(c.type)}" for c in table.columns)
                connection.execute(f"CREATE TABLE {quote_name(table.name)} ({columns})")
                marks = ", ".join("?" * len(table.columns))
                insert = f"INSERT INTO {quote_name(table.name)} VALUES ({marks})"
                connection.executemany(insert, tables[table.name])
            connection.commit()
    except sqlite3.Error as error:
        raise UserError(
            f"{path}: cannot be written ({error}); free some disk space, or set TMPDIR to another folder"
        ) from error


def _rows(connection: sqlite3.Connection, table: Table) -> Rows:
    names = ", ".join(quote_name(column.name) for column in table.columns)
    return [
        list(row) for row in connection.execute(f"SELECT {names} FROM {quote_name(table.name)} LIMIT {_ROWS}")
    ]


def _shuffle(table: Table, rows: Rows, rng: random.Random, kept: float) -> Rows:
    links = {name.casefold() for key in table.foreign_keys for name in key.columns}
    fixed = {name.casefold() for name in table.primary_key} - links
    columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
    for at, column in enumerate(table.columns[: len(columns)]):
        if column.name.casefold() not in fixed:
            columns[at] = rng.sample(columns[at], len(rows))
    count = round(kept * len(rows)) if len(rows) > 1 else len(rows)
    chosen = sorted(rng.sample(range(len(rows)), count))
    return [[values[at] for values in columns] for at in chosen]


def _linked(
    table: Table, key: ForeignKey, schema: Schema, before: dict[str, Rows], tables: dict[str, Rows]
) -> Rows:
    """The rows without those whose foreign key refers to a row that was there before."""
    rows = tables[table.name]
    parent = next((one for one in schema.tables if one.name.casefold() == key.table.casefold()), None)
    references = key.references or (parent.primary_key if parent else ())
    if parent is None or len(references) != len(key.columns):
        return rows
    mine, theirs = _picker(table, key.columns), _picker(parent, references)
    lost = set(map(theirs, before[parent.name])) - set(map(theirs, tables[parent.name]))
    return [row for row in rows if mine(row) not in lost]


def _distinct(table: Table, rows: Rows) -> Rows:
    if not table.primary_key:
        return rows
    pick = _picker(table, table.primary_key)
    return list({pick(row): row for row in reversed(rows)}.values())[::-1]


def _picker(table: Table, names: Sequence[str]) -> Callable[[list[Any]], tuple[Any, ...]]:
    places = {column.name.casefold(): at for at, column in enumerate(table.columns)}
    wanted = [places[name.casefold()] for name in names if name.casefold() in places]
    return lambda row: tuple(row[at] for at in wanted)


def _linked_by_name(schema: Schema) -> Schema:
    """The schema with a foreign key for each column that has the name of another table's primary key.

    Many databases declare none. A name that is the primary key of several tables says nothing.
    """
    keys = [(t.primary_key[0].casefold(), t) for t in schema.tables if len(t.primary_key) == 1]
    owners = {name: table for name, table in keys if [one for one, _ in keys].count(name) == 1}
    return Schema(tuple(_with_links(table, owners) for table in schema.tables))


def _with_links(table: Table, owners: dict[str, Table]) -> Table:
    declared = {name.casefold() for key in table.foreign_keys for name in key.columns}
    names = [c.name for c in table.columns if c.name.casefold() in owners.keys() - declared]
    links = [(name, owners[name.casefold()]) for name in names]
    found = [
        ForeignKey((name,), other.name, other.primary_key) for name, other in links if other is not table
    ]
    return replace(table, foreign_keys=(*table.foreign_keys, *found))


def _plain_type(declared: str) -> str:
    """The first words of the declared type, which decide how values compare, as a quoted name."""
    words = re.match(r"[A-Za-z ]*", declared)
    return quote_name(words[0].strip()) if words and words[0].strip() else ""
