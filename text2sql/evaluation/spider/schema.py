"""A database's schema as Spider's official scripts see it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from text2sql.errors import UserError
from text2sql.schema.spider_tables import SpiderNames, read_entries

ForeignKeys = Mapping[str, str]
"""For each column (`table.column`, in lower case) in a foreign key: the column that represents its group."""


@dataclass(frozen=True, slots=True)
class SpiderSchema:
    """The columns of each table, all in lower case, and the columns that count as the same."""

    tables: Mapping[str, tuple[str, ...]]
    foreign_keys: ForeignKeys
    names: frozenset[str] = field(init=False, repr=False)
    """All known names: each table, each `table.column`, and `*`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", frozenset(["*", *self.tables, *_columns(self.tables)]))


def schema_of(database: Path, tables: Mapping[str, ForeignKeys] | None = None) -> SpiderSchema:
    """Return the schema of a SQLite file, which is only read.

    The foreign keys are those that `tables` (see `read_tables`) has under the file's stem; if it is
    None, those of the file itself.

    Raises:
        UserError: SQLite cannot read the file, or `tables` has no entry for it.
    """
    if tables is not None and database.stem not in tables:
        raise UserError(
            f"{database}: no entry {database.stem!r} in tables.json; add one, or run without tables.json"
        )
    uri = f"{database.resolve().as_uri()}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            columns = _tables(connection)
            own = _foreign_keys(connection, columns) if tables is None else tables[database.stem]
    except sqlite3.Error as error:
        raise UserError(f"{database}: SQLite cannot read its schema ({error})") from error
    return SpiderSchema(columns, own)


def read_tables(path: Path) -> dict[str, ForeignKeys]:
    """Return the foreign keys of every database in Spider's tables.json, by its id.

    Raises:
        UserError: the file is missing or not JSON, or an entry (counted from 0) has not Spider's form.
    """
    found = {}
    for db_id, entry in read_entries(path, SpiderNames).items():
        tables = entry.table_names_original
        columns = [
            f"{tables[table]}.{column}".lower() if table >= 0 else "*"
            for table, column in entry.column_names_original
        ]
        found[db_id] = _merged(columns, entry.foreign_keys)
    return found


def read_schemas(path: Path) -> dict[str, SpiderSchema]:
    """Return the schema of every database in Spider's tables.json, by its id, for use without databases.

    Raises:
        UserError: as `read_tables`.
    """
    keys = read_tables(path)
    return {
        db_id: SpiderSchema(_named_tables(entry), keys[db_id])
        for db_id, entry in read_entries(path, SpiderNames).items()
    }


def _named_tables(entry: SpiderNames) -> dict[str, tuple[str, ...]]:
    columns: dict[str, tuple[str, ...]] = {}
    for number, name in enumerate(entry.table_names_original):
        own = (column.lower() for table, column in entry.column_names_original if table == number)
        columns[name.lower()] = tuple(own)
    return columns


_COLUMNS_OF_TABLES = """
    SELECT held.name, info.name FROM sqlite_master AS held, pragma_table_info(held.name) AS info
    WHERE held.type = 'table' ORDER BY held.rowid, info.cid
"""
# SQLite lists a table's keys from the last to the first. If a key does not name the columns that it
# points to, they are the primary key of the other table.
_TIED_COLUMNS = """
    SELECT held.name, key."from", key."table", coalesce(
        key."to", (SELECT name FROM pragma_table_info(key."table") WHERE pk = key.seq + 1), '')
    FROM sqlite_master AS held, pragma_foreign_key_list(held.name) AS key
    WHERE held.type = 'table' ORDER BY held.rowid, key.id DESC, key.seq
"""


def _tables(connection: sqlite3.Connection) -> dict[str, tuple[str, ...]]:
    tables: dict[str, tuple[str, ...]] = {}
    for table, column in connection.execute(_COLUMNS_OF_TABLES):
        tables[table.lower()] = (*tables.get(table.lower(), ()), column.lower())
    return tables


def _foreign_keys(connection: sqlite3.Connection, tables: Mapping[str, tuple[str, ...]]) -> ForeignKeys:
    columns = _columns(tables)
    place = {column: number for number, column in enumerate(columns)}
    rows = connection.execute(_TIED_COLUMNS)
    ties = [(f"{row[0]}.{row[1]}".lower(), f"{row[2]}.{row[3]}".lower()) for row in rows]
    # SQLite allows a key to point to a column that does not exist; such a key ties nothing.
    return _merged(columns, [(place[a], place[b]) for a, b in ties if a in place and b in place])


def _columns(tables: Mapping[str, tuple[str, ...]]) -> list[str]:
    return [f"{table}.{column}" for table, columns in tables.items() for column in columns]


def _merged(columns: Sequence[str], ties: Iterable[tuple[int, int]]) -> ForeignKeys:
    """Group the columns that are tied; the first column of a group represents it.

    As in the official script, a tie between two groups extends only the first of them.
    """
    groups: list[set[int]] = []
    for tie in ties:
        group = next((group for group in groups if not group.isdisjoint(tie)), None)
        if group is None:
            groups.append(group := set())
        group.update(tie)
    return {columns[column]: columns[min(group)] for group in groups for column in sorted(group)}
