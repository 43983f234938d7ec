"""Differences between CREATE TABLE text and the schema that it should have.

The sentences are for people and for a language model alike: each names the table and the column, and says
what to change.
"""

from __future__ import annotations

import re
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TypeVar

from text2sql.errors import UserError
from text2sql.schema.ddl import executed, one_line, quote_name, quote_value, read_connection
from text2sql.schema.model import Column, ForeignKey, Schema, Table

_TOKEN = re.compile(
    r"""(?P<comment> --[^\n]* | /\*.*?\*/ ) | (?P<sign> [(),] )
      | (?P<name> "(?:[^"]|"")*" | '(?:[^']|'')*' | `(?:[^`]|``)*` | \[[^\]]*\] | [\w$]+ )""",
    re.DOTALL | re.VERBOSE,
)


def complaints(ddl: str, source: Schema, with_values: bool) -> tuple[str, ...]:
    """How `ddl` differs from `source`, one sentence for each difference; () if it has the same schema.

    The text is executed in SQLite; if that fails, SQLite's message is the only complaint. Tables, columns,
    types (where the source names one), primary and foreign keys and views are compared, without regard to
    case or order; and, `with_values`, whether each example value of a column is in the comment behind the
    column or in a row of its table.
    Not covered: constraints such as NOT NULL, indexes, and values that the source does not have.
    """
    try:
        with executed(ddl) as connection:
            made = read_connection(connection)
            found = [*_views(connection), *_tables(made, source)]
            if with_values:
                found += _values(connection, made, source)
    except UserError as error:
        return (str(error),)
    return tuple(found)


def gold_problem(ddl: str, gold: str) -> str:
    """SQLite's error for the gold query on these tables, "" if it compiles.

    The query is compiled (EXPLAIN) and never run.
    Not covered: a name in double quotes that no column has, which SQLite reads as a string.
    """
    try:
        with executed(ddl) as connection:
            connection.execute(f"EXPLAIN {gold}").fetchall()
    except (sqlite3.Error, ValueError, UserError) as error:
        return f"gold does not compile: {error}"
    return ""


def _views(connection: sqlite3.Connection) -> Iterator[str]:
    found = connection.execute("SELECT type, name FROM sqlite_master WHERE type IN ('view', 'trigger')")
    for kind, name in found:
        yield f"{kind} {quote_name(name)} is not in the source: leave it out"


def _tables(made: Schema, source: Schema) -> Iterator[str]:
    found = _by_name(made.tables)
    for table in source.tables:
        made_table = found.pop(table.name.lower(), None)
        if made_table is None:
            yield f"table {quote_name(table.name)} is missing: add it"
        else:
            yield from _columns(made_table, table)
            yield from _keys(made_table, table)
    for table in found.values():
        yield f"table {quote_name(table.name)} is not in the source: leave it out"


def _columns(made: Table, source: Table) -> Iterator[str]:
    found = _by_name(made.columns)
    for column in source.columns:
        made_column, named = found.pop(column.name.lower(), None), _named(column, source)
        if made_column is None:
            yield f"{named} is missing: add it"
        elif column.type and column.type.upper() != made_column.type.upper():
            yield f"{named} has type {made_column.type or 'none'}: its type is {column.type}"
    for column in found.values():
        yield f"{_named(column, source)} is not in the source: leave it out"


def _keys(made: Table, source: Table) -> Iterator[str]:
    where = f"of table {quote_name(source.name)}"
    expected, found = _list(source.primary_key), _list(made.primary_key)
    if source.primary_key and not made.primary_key:
        yield f"the primary key ({expected}) {where} is missing: add it"
    elif made.primary_key and not source.primary_key:
        yield f"the primary key ({found}) {where} is not in the source: leave it out"
    elif _lowered(source.primary_key) != _lowered(made.primary_key):
        yield f"the primary key {where} is ({found}): it should be ({expected})"
    source_keys, made_keys = _foreign_keys(source), _foreign_keys(made)
    for folded, key in source_keys.items():
        if folded not in made_keys:
            yield f"the foreign key {_described(key)} {where} is missing: add it"
    for folded, key in made_keys.items():
        if folded not in source_keys:
            yield f"the foreign key {_described(key)} {where} is not in the source: leave it out"


def _values(connection: sqlite3.Connection, made: Schema, source: Schema) -> Iterator[str]:
    found = _by_name(made.tables)
    for table in source.tables:
        made_table = found.get(table.name.lower())
        comments = _comments(connection, made_table.name) if made_table else {}
        names = set(_by_name(made_table.columns)) if made_table else set()
        for column in table.columns:
            if column.name.lower() in names:  # a missing column is reported elsewhere
                comment = comments[column.name.lower()]
                for value in dict.fromkeys(column.examples):
                    if not _in_comment(value, comment) and not _in_rows(connection, table, column, value):
                        text = quote_value(value, column.type)
                        yield f"{_named(column, table)} has lost its example value {text}: add it"


def _comments(connection: sqlite3.Connection, table: str) -> dict[str, str]:
    """The comments behind each column (lower case) of a table; SQLite stores them with the statement."""
    query = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?"
    (sql,) = connection.execute(query, (table,)).fetchone()
    comments: dict[str, str] = defaultdict(str)
    column, depth, begins = "", 0, False
    for token in _TOKEN.finditer(sql):
        if token["comment"]:
            comments[column] += token["comment"] + "\n"
        elif token["sign"]:
            depth += {"(": 1, ")": -1}.get(token["sign"], 0)
            begins = depth == 1 and token["sign"] != ")"
        elif token["name"] and begins:
            column, begins = _bare(token["name"]).lower(), False
    return comments


def _bare(name: str) -> str:
    if name[0] in "\"'`":
        return name[1:-1].replace(name[0] * 2, name[0])
    return name[1:-1] if name[0] == "[" else name


def _in_comment(value: str, comment: str) -> bool:
    text = one_line(value)
    if quote_value(text, "TEXT") in comment:
        return True
    return bool(text.strip()) and bool(re.search(rf"(?<!\w){re.escape(text)}(?!\w)", comment))


def _in_rows(connection: sqlite3.Connection, table: Table, column: Column, value: str) -> bool:
    name = quote_name(column.name)
    query = f"SELECT 1 FROM {quote_name(table.name)} WHERE {name} = ? OR CAST({name} AS TEXT) = ? LIMIT 1"
    return connection.execute(query, (value, value)).fetchone() is not None


Named = TypeVar("Named", Table, Column)


def _by_name(things: Iterable[Named]) -> dict[str, Named]:
    return {thing.name.lower(): thing for thing in things}


def _foreign_keys(table: Table) -> dict[ForeignKey, ForeignKey]:
    """The keys of a table by their lower-case form."""
    return {
        ForeignKey(_lowered(key.columns), key.table.lower(), _lowered(key.references)): key
        for key in table.foreign_keys
    }


def _lowered(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name.lower() for name in names)


def _named(column: Column, table: Table) -> str:
    return f"column {quote_name(column.name)} of table {quote_name(table.name)}"


def _described(key: ForeignKey) -> str:
    return f"({_list(key.columns)}) to {quote_name(key.table)} ({_list(key.references)})"


def _list(names: Iterable[str]) -> str:
    return ", ".join(quote_name(name) for name in names)
