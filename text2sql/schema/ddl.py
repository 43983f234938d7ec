"""CREATE TABLE text: written from a `Schema`, and read by executing it in SQLite."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import zip_longest

from text2sql.errors import UserError
from text2sql.schema.create_table import column_comments, table_name
from text2sql.schema.model import Column, ForeignKey, Schema, Table
from text2sql.schema.script import statements
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


def write_ddl(
    schema: Schema,
    types: bool = True,
    values: Values = "none",
    comments: bool = False,
    notes: Mapping[tuple[str, str], str] | None = None,
) -> str:
    """Write the CREATE TABLE statements, one a line; `types=False` leaves the column types out.

    `values` says how the columns' example values are written: "none" leaves them out; "comment" writes each
    column of a table with examples on a line of its own, ending in ``-- e.g. 1, 'b'`` (line breaks in a value
    become spaces); "insert" writes an INSERT after the table, whose rows are made of the columns' examples
    and NULLs and need not be rows of the database. With `comments` a column's comment is behind it too, as
    ``-- text``, before the examples. `notes` are written behind columns, given by table and column in lower
    case, as ``/* note */``; they have no line break and no ``*/``. Tables with a reserved sqlite_ name are
    left out: SQLite makes those itself and refuses to create them.
    """
    tables = (table for table in schema.tables if not table.name.lower().startswith(_INTERNAL))
    return "\n".join(_write_table(table, types, values, comments, notes or {}) for table in tables)


def read_ddl(text: str, comments: bool = False) -> Schema:
    """Read CREATE TABLE text by executing it in an empty in-memory SQLite database.

    `comments`: whether the columns' comments are read too.

    Raises:
        UserError: SQLite rejects the text, or it creates no table.
    """
    with executed(text) as connection:
        schema = read_connection(connection, comments)
    if not schema.tables:
        raise UserError("CREATE TABLE text creates no table")
    return schema


def without_types(ddl: str, comments: bool = False) -> str:
    """CREATE TABLE text without column types; its INSERTs, and with `comments` its comments, stay.

    Raises:
        UserError: SQLite rejects the text, or it creates no table.
    """
    schema = read_ddl(ddl, comments)
    tables = {
        table.name.lower(): [write_ddl(Schema((table,)), False, comments=comments)] for table in schema.tables
    }
    if "insert" in ddl.lower():
        for part in statements(ddl):
            path = table_name(part.text) if part.kind == "INSERT" else ()
            tables.get(path[-1].lower() if path else "", []).append(f"{part.text};")
    return "\n".join(text for texts in tables.values() for text in texts)


@contextmanager
def executed(text: str) -> Iterator[sqlite3.Connection]:
    """Yield an in-memory SQLite database in which `text`, including its INSERTs, has been executed.

    Not covered: memory that the text asks for.

    Raises:
        UserError: SQLite rejects the text, or one of its statements takes more than 10 million steps.
    """
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.set_authorizer(allow_schema_only)
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


def read_connection(
    connection: sqlite3.Connection, comments: bool = False, unreadable: dict[str, str] | None = None
) -> Schema:
    """Read the schema of an open SQLite database, tables in the order of their creation.

    Generated columns are columns like others. A virtual table is a table; its hidden columns and its shadow
    tables are left out, as are views. `comments`: whether the comments behind the columns are read. A table
    that cannot be read, because SQLite lacks its module, is left out and put into `unreadable` with SQLite's
    message.

    Raises:
        sqlite3.Error: the database is damaged, or a table cannot be read and `unreadable` is None.
    """
    found = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'table'"
        " AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid"
    ).fetchall()
    virtual = [name for name, sql in found if is_virtual(sql)]
    if virtual:
        shadows = _shadow_tables(connection, virtual)
        found = [(name, sql) for name, sql in found if name.lower() not in shadows]
    tables = []
    for name, sql in found:
        try:
            tables.append(_read_table(connection, name, sql if comments else ""))
        except sqlite3.OperationalError as error:
            if unreadable is None or not is_virtual(sql):
                raise
            unreadable[name] = str(error)
    return Schema(tuple(tables))


def is_virtual(sql: str) -> bool:
    """Whether a statement creates a virtual table; SQLite stores it with these words in capital letters."""
    return sql.startswith("CREATE VIRTUAL TABLE")


def read_rows(connection: sqlite3.Connection, table: Table, limit: int | None) -> str:
    """The first rows of a table, None: all, as one INSERT statement; "" if it has none."""
    names = _names(column.name for column in table.columns)
    values = ", ".join(f"quote({quote_name(column.name)})" for column in table.columns)
    found = connection.execute(
        f"SELECT {values} FROM {quote_name(table.name)} LIMIT ?", (-1 if limit is None else limit,)
    ).fetchall()
    rows = ", ".join(f"({', '.join(row)})" for row in found)
    return f"INSERT INTO {quote_name(table.name)} ({names}) VALUES {rows};" if rows else ""


def is_incomplete(error: sqlite3.OperationalError) -> bool:
    """Whether a table's rows cannot be read because something outside it is missing.

    For example the table to which a virtual table refers, or a function of a generated column.
    """
    return str(error).startswith(("no such", "unknown"))


def allow_schema_only(action: int, first: str | None, second: str | None = None, *_: object) -> int:
    """An authorizer for untrusted text: it may build tables and rows in memory, and nothing else."""
    if action == sqlite3.SQLITE_PRAGMA:
        # the modules of virtual tables ask for these
        asks = (first or "").lower() in READ_PRAGMAS and second is None
        return sqlite3.SQLITE_OK if asks else sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_DENY if action in _DENIED else sqlite3.SQLITE_OK


_DENIED = {sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH}
READ_PRAGMAS = frozenset(("page_size", "data_version"))
"""What the modules of virtual tables read."""


def _shadow_tables(connection: sqlite3.Connection, virtual: Iterable[str]) -> set[str]:
    """The tables (lower case) in which virtual tables keep their content.

    Known by their names, which SQLite lists only for the modules that it has.
    """
    listed = connection.execute("PRAGMA table_list").fetchall()
    shadows = {name.lower() for _, name, kind, *_ in listed if kind == "shadow"}
    ends = (f"{name}_{end}".lower() for name in virtual for end in _SHADOWS)
    return shadows | set(ends)


# of FTS3, FTS4, FTS5, R-Tree and Geopoly
_SHADOWS = "content segments segdir docsize stat data idx config node parent rowid".split()  # noqa: SIM905


def _write_table(
    table: Table, types: bool, values: Values, comments: bool, noted: Mapping[tuple[str, str], str]
) -> str:
    parts = [_write_column(column, table, types) for column in table.columns]
    for number, column in enumerate(table.columns if noted else ()):
        note = noted.get((table.name.lower(), column.name.lower()))
        parts[number] += f" /* {note} */" if note else ""
    if len(table.primary_key) > 1:
        parts.append(f"PRIMARY KEY ({_names(table.primary_key)})")
    for key in table.foreign_keys:
        if len(key.columns) > 1:
            parts.append(f"FOREIGN KEY ({_names(key.columns)}) {_references(key)}")
    wanted = comments or values == "comment"
    notes = [_write_comment(c, values == "comment", comments) for c in table.columns] if wanted else []
    if any(notes):
        lines = [*(f"{part}," for part in parts[:-1]), parts[-1]]
        body = "\n".join(f"  {line}{note}" for line, note in zip_longest(lines, notes, fillvalue=""))
        text = f"CREATE TABLE {quote_name(table.name)} (\n{body}\n);"
    else:
        text = f"CREATE TABLE {quote_name(table.name)} ({', '.join(parts)});"
    has_rows = values == "insert" and any(column.examples for column in table.columns)
    return f"{text}\n{_write_rows(table)}" if has_rows else text


def _write_comment(column: Column, examples: bool, comments: bool) -> str:
    notes = [one_line(column.comment)] if comments and column.comment else []
    if examples and column.examples:
        values = (quote_value(one_line(value), column.type) for value in dict.fromkeys(column.examples))
        notes.append(f"e.g. {', '.join(values)}")
    return f" -- {'; '.join(notes)}" if notes else ""


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
    columns = f" ({_names(key.references)})" if key.references else ""
    return f"REFERENCES {quote_name(key.table)}{columns}"


def _names(names: Iterable[str]) -> str:
    return ", ".join(quote_name(name) for name in names)


def _read_table(connection: sqlite3.Connection, name: str, sql: str) -> Table:
    """Read a table; `sql` is the statement whose comments are read, or ""."""
    # unlike table_info, table_xinfo has generated columns; hidden is 1 for those that only a module sees
    info = connection.execute(f"PRAGMA table_xinfo({_quoted(name)})").fetchall()
    columns = [Column(column, kind) for _, column, kind, _, _, _, hidden in info if hidden != _HIDDEN]
    if "--" in sql or "/*" in sql:
        notes = column_comments(sql)
        columns = [replace(column, comment=notes.get(column.name.lower(), "")) for column in columns]
    keyed = sorted((position, column) for _, column, _, _, _, position, _ in info if position)
    return Table(name, tuple(columns), tuple(c for _, c in keyed), _read_foreign_keys(connection, name))


_HIDDEN = 1


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
