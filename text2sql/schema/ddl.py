"""CREATE TABLE text: written from a `Schema`, and read by executing it in SQLite."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import zip_longest

from text2sql.errors import UserError
from text2sql.schema.model import Column, ForeignKey, Schema, Table
from text2sql.schema.settings import Values

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
# Words that SQLite's parser rejects as an unquoted name, in CREATE TABLE or in a query: the list of
# https://www.sqlite.org/lang_keywords.html without those that it also accepts as identifiers.
_RESERVED = frozenset(
    """add all alter and as autoincrement between case cast check collate commit constraint create cross
    current_date current_time current_timestamp default deferrable delete distinct drop else escape
    except exists foreign from full group having if in index inner insert intersect into is isnull join
    left limit natural not nothing notnull null on or order outer primary raise references returning right
    select set table then to transaction union unique update using values when where""".split()  # noqa: SIM905
)
# SQLite reserves names that begin like this for its own tables and refuses to create them.
_INTERNAL = "sqlite_"
# Numbers that SQLite returns as they were written: no leading zero, few enough digits.
_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,17}|-?(?:0|[1-9][0-9]{0,8})\.(?:0|[0-9]{0,5}[1-9])")
_STATEMENT_STEPS = 10_000_000  # of SQLite's virtual machine: about half a second


def quote_name(name: str) -> str:
    """Quote a table or column name only where SQLite needs it."""
    if _PLAIN_NAME.match(name) and name.lower() not in _RESERVED:
        return name
    return '"' + name.replace('"', '""') + '"'


def quote_value(value: str, declared: str = "") -> str:
    """Write an example value as SQL: a number without quotes, unless the column's type stores text."""
    kind = declared.upper()  # the rules of https://www.sqlite.org/datatype3.html, 3.1
    text = "INT" not in kind and any(word in kind for word in ("CHAR", "CLOB", "TEXT"))
    return value if _NUMBER.fullmatch(value) and not text else _quoted(value)


def write_ddl(schema: Schema, types: bool = True, values: Values = "none") -> str:
    """Write the CREATE TABLE statements, one a line; `types=False` leaves the column types out.

    `values` says how the columns' example values are written: "none" leaves them out; "comment" writes each
    column of a table with examples on a line of its own, ending in ``-- e.g. 1, 'b'`` (line breaks in a value
    become spaces); "insert" writes an INSERT after the table, whose rows are made of the columns' examples
    and NULLs and need not be rows of the database. Tables with a reserved sqlite_ name are left out: SQLite
    makes those itself and refuses to create them.
    """
    tables = (table for table in schema.tables if not table.name.lower().startswith(_INTERNAL))
    return "\n".join(_write_table(table, types, values) for table in tables)


def read_ddl(text: str) -> Schema:
    """Read CREATE TABLE text by executing it in an empty in-memory SQLite database.

    Raises:
        UserError: SQLite rejects the text, or it creates no table.
    """
    with executed(text) as connection:
        schema = read_connection(connection)
    if not schema.tables:
        raise UserError("CREATE TABLE text creates no table")
    return schema


@contextmanager
def executed(text: str) -> Iterator[sqlite3.Connection]:
    """Yield an in-memory SQLite database in which `text`, including its INSERTs, has been executed.

    Not covered: memory that the text asks for.

    Raises:
        UserError: SQLite rejects the text, or one of its statements takes more than 10 million steps.
    """
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.set_authorizer(_allow_schema_only)
        connection.set_progress_handler(lambda: 1, _STATEMENT_STEPS)
        try:
            connection.executescript(text)
        except (sqlite3.Error, ValueError) as error:
            raise UserError(f"CREATE TABLE text does not execute in SQLite: {error}") from error
        connection.set_authorizer(None)
        yield connection


def one_line(value: str) -> str:
    """An example value on one line, for a comment: line breaks become spaces."""
    return " ".join(value.splitlines())


def read_connection(connection: sqlite3.Connection) -> Schema:
    """Read the schema of an open SQLite database, tables in the order of their creation."""
    names = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        " ORDER BY rowid"
    )
    return Schema(tuple(_read_table(connection, name) for (name,) in names.fetchall()))


def _allow_schema_only(action: int, first: str | None, *_: object) -> int:
    # Training rows are untrusted text: only building tables and rows in memory is allowed.
    return sqlite3.SQLITE_DENY if action in _DENIED else sqlite3.SQLITE_OK


_DENIED = {sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH, sqlite3.SQLITE_PRAGMA}


def _write_table(table: Table, types: bool, values: Values) -> str:
    parts = [_write_column(column, table, types) for column in table.columns]
    if len(table.primary_key) > 1:
        parts.append(f"PRIMARY KEY ({_names(table.primary_key)})")
    for key in table.foreign_keys:
        if len(key.columns) > 1:
            parts.append(f"FOREIGN KEY ({_names(key.columns)}) {_references(key)}")
    if values == "none" or not any(column.examples for column in table.columns):
        return f"CREATE TABLE {quote_name(table.name)} ({', '.join(parts)});"
    if values == "insert":
        return f"CREATE TABLE {quote_name(table.name)} ({', '.join(parts)});\n{_write_rows(table)}"
    lines = [*(f"{part}," for part in parts[:-1]), parts[-1]]
    notes = [_write_comment(column) for column in table.columns]
    body = "\n".join(f"  {line}{note}" for line, note in zip_longest(lines, notes, fillvalue=""))
    return f"CREATE TABLE {quote_name(table.name)} (\n{body}\n);"


def _write_comment(column: Column) -> str:
    values = (quote_value(one_line(value), column.type) for value in dict.fromkeys(column.examples))
    return f" -- e.g. {', '.join(values)}" if column.examples else ""


def _write_rows(table: Table) -> str:
    columns = [column for column in table.columns if column.examples]
    # each value once, because a key may not repeat; NULLs come last, and SQLite never treats two as equal
    values = [[quote_value(v, c.type) for v in dict.fromkeys(c.examples)] for c in columns]
    rows = ", ".join(f"({', '.join(row)})" for row in zip_longest(*values, fillvalue="NULL"))
    return f"INSERT INTO {quote_name(table.name)} ({_names(c.name for c in columns)}) VALUES {rows};"


def _write_column(column: Column, table: Table, types: bool) -> str:
    """A column with its own keys beside it, which makes prompts shorter than clauses at the end do."""
    words = [quote_name(column.name)]
    if types and column.type:
        words.append(column.type)
    if _only(table.primary_key) == column.name.lower():
        words.append("PRIMARY KEY")
    keys = [key for key in table.foreign_keys if _only(key.columns) == column.name.lower()]
    return " ".join([*words, *map(_references, keys)])


def _only(names: tuple[str, ...]) -> str | None:
    return names[0].lower() if len(names) == 1 else None


def _references(key: ForeignKey) -> str:
    return f"REFERENCES {quote_name(key.table)} ({_names(key.references)})"


def _names(names: Iterable[str]) -> str:
    return ", ".join(quote_name(name) for name in names)


def _read_table(connection: sqlite3.Connection, name: str) -> Table:
    info = connection.execute(f"PRAGMA table_info({_quoted(name)})").fetchall()
    columns = tuple(Column(column, kind) for _, column, kind, *_ in info)
    keyed = sorted((position, column) for _, column, _, _, _, position in info if position)
    return Table(name, columns, tuple(c for _, c in keyed), _read_foreign_keys(connection, name))


def _read_foreign_keys(connection: sqlite3.Connection, name: str) -> tuple[ForeignKey, ...]:
    groups: dict[int, list[tuple[str, str, str | None]]] = {}
    # SQLite lists and numbers the keys from last to first; sort them into the order of the source
    rows = connection.execute(f"PRAGMA foreign_key_list({_quoted(name)})").fetchall()
    for key, _, table, column, target, *_ in sorted(rows, key=lambda row: (-row[0], row[1])):
        groups.setdefault(key, []).append((table, column, target))
    return tuple(_foreign_key(connection, group) for group in groups.values())


def _foreign_key(connection: sqlite3.Connection, group: list[tuple[str, str, str | None]]) -> ForeignKey:
    table = group[0][0]
    references = tuple(target for _, _, target in group if target is not None)
    if not references:  # REFERENCES without columns means the primary key
        info = connection.execute(f"PRAGMA table_info({_quoted(table)})").fetchall()
        keyed = sorted((position, column) for _, column, _, _, _, position in info if position)
        references = tuple(column for _, column in keyed)
    return ForeignKey(tuple(column for _, column, _ in group), table, references)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
