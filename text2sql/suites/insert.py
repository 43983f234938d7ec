"""The database of a variant, built in memory: the statements of the source with other rows."""

from __future__ import annotations

import random
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress

from text2sql.schema.ddl import quote_name
from text2sql.suites.facts import DatabaseFacts, ForeignKeyFacts, TableFacts
from text2sql.suites.rows import Draft, Drafts, in_order
from text2sql.suites.source_rows import Value, rowid_name

_PAGE = 1024  # bytes; each table and index takes a page at least
_ATTEMPTS = 10  # to make a row that meets the CHECK constraints
_FULL_TEXT = re.compile(r"\bUSING\s+fts[345]\b", re.IGNORECASE)
_OTHER_CONTENT = re.compile(r"\bcontent\s*=", re.IGNORECASE)


def build(facts: DatabaseFacts, drafts: Drafts, chance: random.Random) -> sqlite3.Connection:
    """Make the database in memory; rows that a constraint does not allow are replaced or left out.

    Raises:
        sqlite3.Error: SQLite does not take a statement of the source.
    """
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        connection.execute(f"PRAGMA page_size = {_PAGE}")
        connection.execute(f"PRAGMA encoding = '{facts.encoding}'")
        for setting in ("foreign_keys = OFF", "secure_delete = ON"):
            connection.execute(f"PRAGMA {setting}")
        connection.execute("BEGIN")
        for statement in (*(table.sql for table in facts.tables), *facts.indexes):
            connection.execute(statement)
        for table in in_order(facts):
            draft = drafts[table.name.lower()]
            for key in table.computed_keys:
                _refer(connection, draft, key, chance)
            _insert(connection, draft, chance)
        _mend(connection, facts)
        for statement in facts.views_and_triggers:
            connection.execute(statement)
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def _insert(connection: sqlite3.Connection, draft: Draft, chance: random.Random) -> None:
    table = draft.facts
    if table.virtual and (not _FULL_TEXT.search(table.sql) or _OTHER_CONTENT.search(table.sql)):
        return
    names = ", ".join(quote_name(column.name) for column in table.columns)
    marks = ", ".join("?" * len(table.columns))
    insert = f"INTO {quote_name(table.name)} ({names}) VALUES ({marks})"
    if table.checks or table.strict:
        for row in draft.rows:
            _insert_checked(connection, f"INSERT {insert}", draft, row, chance)
        return
    for row in draft.rows:
        try:
            connection.execute(f"INSERT OR IGNORE {insert}", row)
        except sqlite3.OperationalError:  # of a generated column or an index: a text that is no JSON
            _insert_checked(connection, f"INSERT OR IGNORE {insert}", draft, row, chance)


def _insert_checked(
    connection: sqlite3.Connection, insert: str, draft: Draft, row: Sequence[Value], chance: random.Random
) -> None:
    """Insert the row, or one with its keys and other values of a source row, or else one as it is there."""
    keys = {at for columns in draft.facts.unique for at in draft.places(columns)} | draft.fixed
    keys |= {at for key in draft.facts.foreign_keys for at in draft.places(key.columns)}
    sources = [list(chance.choice(draft.source)) for _ in range(_ATTEMPTS) if draft.source]
    drawn = [[values.draw(chance) for values in draft.values] for _ in range(_ATTEMPTS) if not draft.source]
    mixed = [
        [row[at] if at in keys else value for at, value in enumerate(other)] for other in (*sources, *drawn)
    ]
    originals = [chance.choice(draft.original) for _ in range(_ATTEMPTS) if draft.original]
    for candidate in (row, *mixed, *sources, *originals):
        try:
            connection.execute(insert, candidate)
            return
        except (sqlite3.IntegrityError, sqlite3.OperationalError):
            continue  # the next candidate may meet the constraints


# -- foreign keys --


def _refer(connection: sqlite3.Connection, draft: Draft, key: ForeignKeyFacts, chance: random.Random) -> None:
    """Give the rows, NULL aside, values that the parent has computed, if it has rows."""
    places = draft.places(key.columns)
    names = ", ".join(map(quote_name, key.references))
    given = " AND ".join(f"{quote_name(name)} IS NOT NULL" for name in key.references)
    found = connection.execute(f"SELECT {names} FROM {quote_name(key.table)} WHERE {given}").fetchall()
    if not found or key.dangling or len(places) < len(key.columns):
        return  # nothing to refer to, or the child's columns are computed themselves
    for row in draft.rows:
        if None not in [row[at] for at in places]:
            for at, value in zip(places, chance.choice(found), strict=True):
                row[at] = value


def _mend(connection: sqlite3.Connection, facts: DatabaseFacts) -> None:
    """Remove values that refer to no row, or the rows that have them, until there are none."""
    before = -1
    while before != connection.total_changes:
        before = connection.total_changes
        for table in facts.tables:
            for key in (*table.foreign_keys, *table.computed_keys):
                if not key.dangling:
                    for statement in _mending(table, key):
                        # an index or a generated column may have no value for NULL; the row is deleted then
                        with suppress(sqlite3.IntegrityError, sqlite3.OperationalError):
                            connection.execute(statement)
            _delete_orphans(connection, table)


def _mending(table: TableFacts, key: ForeignKeyFacts) -> Iterator[str]:
    """The statements that set a column of dangling foreign keys to NULL, or else delete the rows."""
    child, parent = quote_name(table.name), quote_name(f"parent of {table.name}")
    same = " AND ".join(
        f"{parent}.{quote_name(its)} = {child}.{quote_name(mine)}"
        for mine, its in zip(key.columns, key.references, strict=True)
    )
    given = " AND ".join(f"{quote_name(name)} IS NOT NULL" for name in key.columns)
    where = f"{given} AND NOT EXISTS (SELECT 1 FROM {quote_name(key.table)} AS {parent} WHERE {same})"
    columns = [table.columns[at] for at in map(table.place, key.columns) if at is not None]
    nullable = next((column for column in columns if not column.not_null and not column.key), None)
    if nullable:
        yield f"UPDATE OR IGNORE {child} SET {quote_name(nullable.name)} = NULL WHERE {where}"
    yield f"DELETE FROM {child} WHERE {where}"


def _delete_orphans(connection: sqlite3.Connection, table: TableFacts) -> None:
    """Delete the rows that SQLite's own check finds, for foreign keys that hold in the source.

    Its comparison is not quite that of `=`: it uses the parent's affinity and collation alone.
    """
    rowid = rowid_name([column.name for column in table.columns])
    if table.virtual or table.without_rowid or rowid is None:
        return
    keys = [key for key in (*table.foreign_keys, *table.computed_keys) if not (key.implied or key.dangling)]
    held = {tuple(name.lower() for name in key.columns) for key in keys}
    declared: dict[int, list[str]] = {}
    for number, _, _, column, *_ in connection.execute(f"PRAGMA foreign_key_list({quote_name(table.name)})"):
        declared.setdefault(number, []).append(column.lower())
    kept = {number for number, columns in declared.items() if tuple(columns) in held}
    with suppress(sqlite3.OperationalError):  # SQLite cannot tell where the parent's columns are not unique
        found = connection.execute(f"PRAGMA foreign_key_check({quote_name(table.name)})").fetchall()
        orphans = {(row,) for _, row, _, number in found if number in kept}
        connection.executemany(f"DELETE FROM {quote_name(table.name)} WHERE {rowid} = ?", sorted(orphans))
