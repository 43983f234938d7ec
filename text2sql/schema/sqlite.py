"""The schema of a SQLite database file."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from urllib.parse import quote

from text2sql.errors import UserError
from text2sql.schema.ddl import quote_name, read_connection
from text2sql.schema.model import Schema, Table

_CURE = "bring the database there; in the pipeline: dvc repro fetch_data"
_EXAMPLE_CHARACTERS = 60  # longer texts tell nothing about how values are spelt, and fill the prompt


def read_sqlite(path: str | os.PathLike[str], examples: int = 0) -> Schema:
    """Read tables (in the order of their creation), columns and keys of a database file.

    Names keep their case; a foreign key without columns points at the parent's primary key. Views
    and SQLite's own ``sqlite_...`` tables are left out. `examples` is how many values a column may
    bring: its most frequent ones, among equally frequent ones the smallest; NULLs, blobs, blank and
    unprintable texts and those of more than 60 characters are passed over. The file is opened for
    reading only. UserError: the file is missing, is not a SQLite database, is damaged, or holds no
    table. Without examples only the schema is read: damage to the pages that hold rows stays unseen.
    """
    file = Path(path)
    if not file.is_file():
        raise UserError(f"{path}: no such database file; {_CURE}")
    try:
        uri = f"file:{quote(str(file.absolute()))}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            tables = read_connection(connection).tables
            connection.text_factory = bytes  # not every text in a database is UTF-8
            schema = Schema(tuple(_exemplified(connection, table, examples) for table in tables))
    except sqlite3.Error as error:
        raise UserError(f"{path}: SQLite cannot read it ({error}); {_CURE}") from error
    if not schema.tables:
        raise UserError(f"{path}: holds no table; {_CURE}")
    return schema


def _exemplified(connection: sqlite3.Connection, table: Table, count: int) -> Table:
    columns = (
        replace(column, examples=tuple(islice(_values(connection, table.name, column.name), count)))
        for column in table.columns
    )
    return replace(table, columns=tuple(columns))


def _values(connection: sqlite3.Connection, table: str, column: str) -> Iterator[str]:
    name = quote_name(column)
    rows = connection.execute(
        f"SELECT {name} FROM {quote_name(table)} WHERE typeof({name}) IN ('integer', 'real', 'text')"
        f" GROUP BY {name} ORDER BY count(*) DESC, {name}"
    )
    for (value,) in rows:
        text = value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)
        # what is not UTF-8 is unprintable as well
        if text.strip() and text.isprintable() and len(text) <= _EXAMPLE_CHARACTERS:
            yield text
