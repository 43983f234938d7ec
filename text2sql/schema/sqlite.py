"""The schema of a SQLite database file."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path

from text2sql.databases import live_uri
from text2sql.errors import UserError
from text2sql.schema.ddl import is_incomplete, quote_name, read_connection
from text2sql.schema.descriptions import with_descriptions
from text2sql.schema.model import Schema, Table

_REMEDY = "put the database there; in the pipeline: dvc repro fetch_data"
_EXAMPLE_CHARACTERS = 60  # longer texts do not show how values are spelled, and fill the prompt


def read_sqlite(path: str | os.PathLike[str], examples: int = 0, comments: bool = False) -> Schema:
    """Read tables (in the order of their creation), columns and keys of a database file.

    Names keep their case; a foreign key without columns refers to the parent's primary key. Views and
    SQLite's own ``sqlite_...`` tables are left out. So is a virtual table whose module SQLite lacks, with a
    line on stderr. `examples` is the number of values for each column: the most frequent ones, and of equally
    frequent ones the smallest; NULLs, blobs, blank and unprintable texts and those of more than 60 characters
    are skipped. `comments`: whether columns have comments, those in the database's own CREATE TABLE text and
    those of BIRD's ``database_description/TABLE.csv`` beside the file. The file is opened for reading only.
    Not covered: without examples only the schema is read, so damage to the pages with rows is not noticed.

    Raises:
        UserError: the file is missing, is not a SQLite database, is damaged, or has no table.
    """
    file = Path(path)
    if not file.is_file():
        raise UserError(f"{path}: no such database file; {_REMEDY}")
    try:
        with closing(sqlite3.connect(live_uri(file), uri=True)) as connection:
            unreadable: dict[str, str] = {}
            tables = read_connection(connection, comments, unreadable).tables
            connection.text_factory = bytes  # not every text in a database is UTF-8
            schema = Schema(tuple(_with_examples(file, connection, table, examples) for table in tables))
    except (sqlite3.Error, UnicodeDecodeError) as error:  # names and messages may be no UTF-8
        raise UserError(f"{path}: SQLite cannot read it ({error}); {_REMEDY}") from error
    for name, reason in unreadable.items():
        print(f"{path}: table {name} is left out: {reason}", file=sys.stderr)
    if not schema.tables:
        raise UserError(f"{path}: has no table; {_REMEDY}")
    return with_descriptions(schema, file) if comments else schema


def _with_examples(file: Path, connection: sqlite3.Connection, table: Table, count: int) -> Table:
    """The table with example values; without, and a line on stderr, if something that it needs is missing."""
    try:
        columns = [
            replace(column, examples=tuple(islice(_values(connection, table.name, column.name), count)))
            for column in table.columns
        ]
    except sqlite3.OperationalError as error:
        if not is_incomplete(error):
            raise
        print(f"{file}: table {table.name} has no example values: {error}", file=sys.stderr)
        return table
    return replace(table, columns=tuple(columns))


def _values(connection: sqlite3.Connection, table: str, column: str) -> Iterator[str]:
    name = quote_name(column)
    rows = connection.execute(
        f"SELECT {name} FROM {quote_name(table)} WHERE typeof({name}) IN ('integer', 'real', 'text')"
        f" GROUP BY {name} ORDER BY count(*) DESC, {name}"
    )
    for (value,) in rows:
        text = value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)
        # text that is not UTF-8 counts as unprintable
        if text.strip() and text.isprintable() and len(text) <= _EXAMPLE_CHARACTERS:
            yield text
