"""What the schema of a SQLite database demands of its rows."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from text2sql.databases import live_uri
from text2sql.errors import UserError
from text2sql.schema.ddl import quote_name
from text2sql.suites.source_rows import Row, decoded, read_rows

Affinity = Literal["integer", "real", "text", "blob", "numeric"]

_LARGE = 100_000  # rowid above which a search without an index takes too long
_PROBES = 200  # values of a foreign key that are looked up
_TOKEN = re.compile(
    r"""--[^\n]* | /\*.*?(?:\*/|\Z) | '(?:[^']|'')*' | "(?:[^"]|"")*" | `[^`]*` | \[[^\]]*\]
      | (?P<word>\w+) | (?P<open>\() | (?P<close>\))""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """A stored column; `key` is its position in the primary key from 1, 0 outside it.

    `not_null` is also True for an INTEGER PRIMARY KEY and for keys of tables WITHOUT ROWID.
    """

    name: str
    type: str
    affinity: Affinity
    not_null: bool
    key: int


@dataclass(frozen=True, slots=True)
class ForeignKeyFacts:
    """Columns whose values are in `references` of `table`.

    `implied`: not declared, but a column has the name of that table's primary key and only values of it.
    `dangling` is the share, from 0 to 1, of rows in the file whose value is not there (NULL aside).
    """

    columns: tuple[str, ...]
    table: str
    references: tuple[str, ...]
    implied: bool = False
    dangling: float = 0.0


@dataclass(frozen=True, slots=True)
class TableFacts:
    """A table; generated and hidden columns are left out.

    `unique` has the columns of the primary key and of each UNIQUE constraint or index; partial indexes, those
    of expressions and those of generated columns are left out. `foreign_keys` has those of the columns here;
    `computed_keys` are declared ones with a generated column in the child or the parent.
    `checks` are the expressions of the CHECK constraints as written.
    """

    name: str
    sql: str
    columns: tuple[ColumnFacts, ...]
    unique: tuple[tuple[str, ...], ...]
    foreign_keys: tuple[ForeignKeyFacts, ...]
    checks: tuple[str, ...]
    without_rowid: bool = False
    strict: bool = False
    virtual: bool = False
    computed_keys: tuple[ForeignKeyFacts, ...] = ()

    def place(self, column: str) -> int | None:
        """The place of a column among `columns`; None if there is none of that name, in any case."""
        wanted = column.lower()
        return next((at for at, one in enumerate(self.columns) if one.name.lower() == wanted), None)

    def named(self, columns: Iterable[str]) -> tuple[str, ...]:
        """Those of the columns that exist, as the table writes their names."""
        places = map(self.place, columns)
        return tuple(self.columns[at].name for at in places if at is not None)

    @property
    def primary_key(self) -> tuple[str, ...]:
        """The columns of the primary key in its order."""
        return tuple(one.name for one in sorted(self.columns, key=lambda one: one.key) if one.key)


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """The tables in the order of their creation; the CREATE statements of indexes, and of views and triggers.

    Shadow tables, which a virtual table makes itself, and virtual tables whose module this SQLite lacks are
    left out.
    """

    tables: tuple[TableFacts, ...]
    indexes: tuple[str, ...]
    views_and_triggers: tuple[str, ...]
    encoding: str

    def table(self, name: str) -> TableFacts | None:
        """The table of that name, in any case."""
        return next((table for table in self.tables if table.name.lower() == name.lower()), None)


def read_facts(database: Path) -> DatabaseFacts:
    """Read the facts of a database file; the file is opened for reading only.

    Implied foreign keys and dangling values are found by looking up a bounded number of rows.

    Raises:
        UserError: the file is missing, damaged, no SQLite database, or has no table.
    """
    if not database.is_file():
        raise UserError(f"{database}: no such database file; put the database there")
    try:
        with opened(database) as connection:
            facts = _read(connection)
    except sqlite3.Error as error:
        raise unreadable(database, error) from error
    if not facts.tables:
        raise UserError(f"{database}: has no table; put the database there again")
    return facts


def opened(database: Path) -> closing[sqlite3.Connection]:
    """A connection that only reads; texts that are not UTF-8 are mended."""
    connection = sqlite3.connect(live_uri(database), uri=True)
    connection.text_factory = decoded
    return closing(connection)


def unreadable(database: Path, error: sqlite3.Error) -> UserError:
    """The user's error for a file that SQLite does not read."""
    return UserError(f"{database}: SQLite cannot read it ({error}); put the database there again")


def affinity(declared: str) -> Affinity:
    """The affinity of a column of this declared type (https://www.sqlite.org/datatype3.html, 3.1)."""
    kind = declared.upper()
    if "INT" in kind:
        return "integer"
    if any(word in kind for word in ("CHAR", "CLOB", "TEXT")):
        return "text"
    if "BLOB" in kind or not kind:
        return "blob"
    return "real" if any(word in kind for word in ("REAL", "FLOA", "DOUB")) else "numeric"


def checks(sql: str) -> tuple[str, ...]:
    """The expressions of the CHECK constraints in the text of a CREATE TABLE statement."""
    found: list[str] = []
    depth, begin, outer, word = 0, -1, 0, ""
    for token in _TOKEN.finditer(sql):
        if token.lastgroup == "open":
            if begin < 0 and word == "check":
                begin, outer = token.end(), depth
            depth += 1
        elif token.lastgroup == "close":
            depth -= 1
            if begin >= 0 and depth == outer:
                found.append(sql[begin : token.start()].strip())
                begin = -1
        if not token[0].startswith(("--", "/*")):
            word = token[0].lower() if token.lastgroup == "word" else ""
    return tuple(found)


# -- reading --


def _read(connection: sqlite3.Connection) -> DatabaseFacts:
    master = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY rowid").fetchall()
    kinds = {
        name: (kind, bool(without), bool(strict))
        for kind, name, without, strict in connection.execute(
            "SELECT type, name, wr, strict FROM pragma_table_list WHERE schema = 'main'"
        )
    }
    tables = tuple(
        _table(connection, name, sql, kinds[name])
        for kind, name, sql in master
        if kind == "table" and _is_users(name, kinds)
    )
    tables = tuple(_with_keys(connection, table, tables) for table in tables)
    others = [(kind, sql) for kind, _, sql in master if sql and kind != "table"]
    (encoding,) = connection.execute("PRAGMA encoding").fetchone()
    return DatabaseFacts(
        tables,
        tuple(sql for kind, sql in others if kind == "index"),
        # in two steps, as a trigger needs its view
        tuple(sql for wanted in ("view", "trigger") for kind, sql in others if kind == wanted),
        encoding,
    )


def _is_users(name: str, kinds: dict[str, tuple[str, bool, bool]]) -> bool:
    # without its module a virtual table is not in the list
    return not name.lower().startswith("sqlite_") and kinds.get(name, ("shadow",))[0] != "shadow"


def _table(connection: sqlite3.Connection, name: str, sql: str, kind: tuple[str, bool, bool]) -> TableFacts:
    what, without_rowid, strict = kind
    described = connection.execute(f"PRAGMA table_xinfo({quote_name(name)})").fetchall()
    indexes = connection.execute(f"PRAGMA index_list({quote_name(name)})").fetchall()
    has_key_index = any(origin == "pk" for _, _, _, origin, _ in indexes)
    columns = tuple(
        ColumnFacts(
            column,
            declared,
            affinity(declared),
            bool(not_null or _is_rowid(key, without_rowid, has_key_index)),
            key,
        )
        for _, column, declared, not_null, _, key, hidden in described
        if not hidden
    )
    table = TableFacts(name, sql, columns, (), (), checks(sql), without_rowid, strict, what == "virtual")
    if table.virtual:
        return table
    unique = [table.primary_key, *_unique(connection, indexes)]
    kept = (columns for columns in unique if columns and len(table.named(columns)) == len(columns))
    return replace(table, unique=tuple(dict.fromkeys(kept)))


def _is_rowid(key: int, without_rowid: bool, has_key_index: bool) -> bool:
    """Whether NULL is never stored in a column of the key: it is the rowid, or there is none."""
    return bool(key) and (without_rowid or not has_key_index)


def _unique(connection: sqlite3.Connection, indexes: Sequence[Any]) -> Iterator[tuple[str, ...]]:
    for _, name, unique, _, partial in sorted(indexes, reverse=True):
        if unique and not partial:
            parts = connection.execute(f"PRAGMA index_xinfo({quote_name(name)})").fetchall()
            columns = tuple(column for _, _, column, _, _, key in parts if key)
            if None not in columns:
                yield columns


def _with_keys(connection: sqlite3.Connection, table: TableFacts, tables: Sequence[TableFacts]) -> TableFacts:
    """The table with its foreign keys, declared and implied."""
    rows = read_rows(connection, table.name, [column.name for column in table.columns])
    found: list[ForeignKeyFacts] = []
    computed: list[ForeignKeyFacts] = []
    for key in [*_declared(connection, table, tables), *_implied(table, tables)]:
        owner = next(one for one in tables if one.name == key.table)
        if len(table.named(key.columns)) < len(key.columns) or len(owner.named(key.references)) < len(
            key.columns
        ):
            mine = read_rows(connection, table.name, key.columns)
            computed.append(replace(key, dangling=_dangling(connection, key, mine, owner)))
            continue
        places = [at for at in map(table.place, key.columns) if at is not None]
        values = [tuple(row[at] for at in places) for row in rows]
        dangling = _dangling(connection, key, values, owner)
        known = {name.lower() for one in found for name in one.columns}
        if not key.implied or (not dangling and key.columns[0].lower() not in known):
            found.append(replace(key, dangling=dangling))
    return replace(table, foreign_keys=tuple(found), computed_keys=tuple(computed))


def _declared(
    connection: sqlite3.Connection, table: TableFacts, tables: Sequence[TableFacts]
) -> Iterator[ForeignKeyFacts]:
    """The declared foreign keys to columns that exist."""
    parts: dict[int, list[tuple[str, str, str | None]]] = {}
    for number, _, parent, column, reference, *_ in connection.execute(
        f"PRAGMA foreign_key_list({quote_name(table.name)})"
    ):
        parts.setdefault(number, []).append((parent, column, reference))
    for _, key in sorted(parts.items()):
        owner = next((one for one in tables if one.name.lower() == key[0][0].lower()), None)
        columns = tuple(column for _, column, _ in key)
        if owner is None:
            continue
        named = tuple(reference for _, _, reference in key if reference is not None)
        references = named or owner.primary_key
        if len(references) != len(columns):
            continue
        mine, theirs = (_existing(connection, *one) for one in ((table, columns), (owner, references)))
        if len(mine) == len(theirs) == len(columns):
            yield ForeignKeyFacts(mine, owner.name, theirs)


def _existing(connection: sqlite3.Connection, table: TableFacts, columns: Iterable[str]) -> tuple[str, ...]:
    """Those of the columns that exist, generated ones as well, as the table writes their names."""
    described = connection.execute(f"PRAGMA table_xinfo({quote_name(table.name)})").fetchall()
    names = {name.lower(): name for _, name, *_ in described}
    return tuple(names[name.lower()] for name in columns if name.lower() in names)


def _implied(table: TableFacts, tables: Sequence[TableFacts]) -> Iterator[ForeignKeyFacts]:
    """A key for each column with the name of one other table's primary key."""
    for column in () if table.virtual else table.columns:
        name = column.name.lower()
        owners = [one for one in tables if [key.lower() for key in one.primary_key] == [name]]
        if len(owners) == 1 and owners[0].name != table.name:
            yield ForeignKeyFacts((column.name,), owners[0].name, owners[0].primary_key, implied=True)


def _dangling(
    connection: sqlite3.Connection, key: ForeignKeyFacts, rows: Sequence[Row], owner: TableFacts
) -> float:
    """The share of (some of) the child's values that are not in the parent; 0 where that takes too long."""
    values = [value for value in rows if None not in value][:_PROBES]
    if not values or (key.references not in owner.unique and _is_large(connection, owner)):
        return 0.0
    # the comparison uses the parent's affinity, as that of a foreign key does
    same = " AND ".join(f"{quote_name(name)} = ?" for name in key.references)
    sql = f"SELECT EXISTS (SELECT 1 FROM {quote_name(key.table)} WHERE {same})"
    missing = sum(not connection.execute(sql, value).fetchone()[0] for value in values)
    return missing / len(values)


def _is_large(connection: sqlite3.Connection, table: TableFacts) -> bool:
    if table.without_rowid or table.virtual:
        return True
    sql = f"SELECT count(*) FROM (SELECT 1 FROM {quote_name(table.name)} LIMIT {_LARGE})"
    return bool(connection.execute(sql).fetchone()[0] == _LARGE)
