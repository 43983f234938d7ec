"""The schema of a SQLite database file."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from text2sql.records import UserError
from text2sql.schema.ddl import read_connection
from text2sql.schema.model import Schema


def read_sqlite(path: str | os.PathLike[str]) -> Schema:
    """Read tables (in the order of their creation), columns and keys of a database file.

    Names keep their case; a foreign key without columns points at the parent's primary key. Views
    and SQLite's own ``sqlite_...`` tables are left out. The file is opened for reading only.
    UserError: the file is missing, is not a SQLite database, is damaged, or holds no table. Only
    the schema is read, so damage to the pages that hold rows stays unseen.
    """
    file = Path(path)
    if not file.is_file():
        raise UserError(f"{path}: no such database file; fetch the data again: dvc repro fetch_data")
    try:
        connection = sqlite3.connect(f"file:{quote(str(file.absolute()))}?mode=ro", uri=True)
        try:
            schema = read_connection(connection)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise UserError(
            f"{path}: SQLite cannot read it ({error}); fetch the data again: dvc repro fetch_data"
        ) from error
    if not schema.tables:
        raise UserError(f"{path}: holds no table; fetch the data again: dvc repro fetch_data")
    return schema
