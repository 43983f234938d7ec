"""What the constraints of a database guarantee beyond its `Schema`."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from text2sql.databases import live_uri
from text2sql.errors import UserError
from text2sql.schema.ddl import quote_name
from text2sql.schema.model import Schema, Table
from text2sql.schema.sqlite import read_sqlite

Key = tuple[str, str]
"""Table and column in lower case."""

_NO_ROW_ID = re.compile(r"without\s+rowid|primary\s+key\s+desc")


@dataclass(frozen=True, slots=True)
class Constraints:
    """A schema, and what holds for every row; names in lower case.

    `not_null`: columns that are never NULL. `unique`: tables with a set of columns of which no two rows have
    equal values, unless one is NULL. `integers`: columns that hold nothing but whole numbers and NULL.
    `references`: columns whose values, NULL aside, are all in another column. `collations`: whether a table
    names a collation, so that texts can be equal that are not the same.
    """

    schema: Schema
    not_null: frozenset[Key] = frozenset()
    unique: frozenset[tuple[str, frozenset[str]]] = frozenset()
    integers: frozenset[Key] = frozenset()
    references: frozenset[tuple[Key, Key]] = frozenset()
    collations: bool = False


def schema_constraints(schema: Schema) -> Constraints:
    """What follows from the schema alone, if SQLite made its tables as `write_ddl` writes them.

    That is: primary keys are unique, and one of type INTEGER is a whole number and never NULL. In SQLite any
    other primary key may be NULL. Not covered: a table that was made with WITHOUT ROWID.
    """
    row_ids = frozenset(_row_ids(schema))
    keys = ((table.name.lower(), table.primary_key) for table in schema.tables if table.primary_key)
    unique = frozenset((table, frozenset(name.lower() for name in key)) for table, key in keys)
    return Constraints(schema, row_ids, unique, row_ids)


def read_constraints(path: Path, as_filled: bool = False) -> Constraints:
    """Read the constraints of a database file: its NOT NULL, UNIQUE and primary keys.

    A column declared INTEGER counts as whole numbers if it holds nothing else now, as SQLite does not enforce
    that. `as_filled` says whether to rely on what else its rows show, and variants of it keep: a column of a
    table with rows and without a NULL never has one, and a foreign key that holds for all rows always holds.

    Raises:
        UserError: the file is missing, or SQLite cannot read it.
    """
    schema = read_sqlite(path)
    of_schema = schema_constraints(schema)
    try:
        with closing(sqlite3.connect(live_uri(path), uri=True)) as connection:
            found = [_of_table(connection, table) for table in schema.tables]
            shown = frozenset(_never_null(connection, schema)) if as_filled else frozenset[Key]()
            kept = frozenset(_kept_references(connection, schema)) if as_filled else frozenset()
            texts = connection.execute("SELECT lower(sql) FROM sqlite_master WHERE type = 'table'").fetchall()
    except sqlite3.Error as error:
        raise UserError(f"{path}: SQLite cannot read it ({error}); bring the database again") from error
    # In these tables a primary key of type INTEGER is not the row's own number, and may hold anything.
    without_id = any(_NO_ROW_ID.search(text) for (text,) in texts if text)
    row_ids = frozenset() if without_id else of_schema.not_null
    return Constraints(
        schema,
        row_ids.union(shown, *(not_null for not_null, _, _ in found)),
        of_schema.unique.union(*(unique for _, unique, _ in found)),
        row_ids.union(*(integers for _, _, integers in found)),
        kept,
        any("collate" in text for (text,) in texts if text),
    )


def _row_ids(schema: Schema) -> Iterator[Key]:
    for table in schema.tables:
        for column in table.columns:
            if column.type.upper() == "INTEGER" and [column.name.lower()] == _lower(table.primary_key):
                yield table.name.lower(), column.name.lower()


def _of_table(
    connection: sqlite3.Connection, table: Table
) -> tuple[set[Key], set[tuple[str, frozenset[str]]], set[Key]]:
    """The NOT NULL columns, the unique ones and those of whole numbers."""
    name = table.name.lower()
    info = connection.execute('SELECT lower(name), "notnull" FROM pragma_table_xinfo(?)', (table.name,))
    not_null = {(name, column) for column, flag in info.fetchall() if flag}
    indexes = connection.execute(
        'SELECT name FROM pragma_index_list(?) WHERE "unique" AND NOT partial', (table.name,)
    ).fetchall()
    keys = [
        [column for (column,) in connection.execute("SELECT lower(name) FROM pragma_index_info(?)", index)]
        for index in indexes
    ]
    unique = {(name, frozenset(key)) for key in keys if None not in key}  # None: an expression
    whole = {
        (name, own.name.lower()) for own in table.columns if _is_whole(connection, table, own.name, own.type)
    }
    return not_null, unique, whole


def _is_whole(connection: sqlite3.Connection, table: Table, column: str, declared: str) -> bool:
    if "INT" not in declared.upper():
        return False
    name = quote_name(column)
    other = f"SELECT 1 FROM {quote_name(table.name)} WHERE typeof({name}) NOT IN ('integer', 'null') LIMIT 1"
    return connection.execute(other).fetchone() is None


def _never_null(connection: sqlite3.Connection, schema: Schema) -> Iterator[Key]:
    """The columns without a NULL, of tables with rows."""
    for table in schema.tables:
        rows = quote_name(table.name)
        if connection.execute(f"SELECT 1 FROM {rows} LIMIT 1").fetchone() is None:
            continue
        for column in table.columns:
            null = f"SELECT 1 FROM {rows} WHERE {quote_name(column.name)} IS NULL LIMIT 1"
            if connection.execute(null).fetchone() is None:
                yield table.name.lower(), column.name.lower()


def _kept_references(connection: sqlite3.Connection, schema: Schema) -> Iterator[tuple[Key, Key]]:
    """The foreign keys of one column that hold for all rows."""
    for table in schema.tables:
        for key in table.foreign_keys:
            if len(key.columns) == 1 == len(key.references):
                child, parent = quote_name(table.name), quote_name(key.table)
                mine, its = quote_name(key.columns[0]), quote_name(key.references[0])
                parents = f"SELECT {its} FROM {parent} WHERE {its} NOT NULL"
                lost = f"SELECT 1 FROM {child} WHERE {mine} NOT IN ({parents})"
                if connection.execute(f"{lost} LIMIT 1").fetchone() is None:
                    own, other = (key.columns[0], table.name), (key.references[0], key.table)
                    yield (own[1].lower(), own[0].lower()), (other[1].lower(), other[0].lower())


def _lower(names: tuple[str, ...]) -> list[str]:
    return [name.lower() for name in names]
