"""Small databases for the tests of context."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

SINGERS = (
    "CREATE TABLE singer (Singer_ID INTEGER PRIMARY KEY, Name TEXT, Country TEXT, Age INTEGER);"
    "CREATE TABLE concert (concert_ID INTEGER PRIMARY KEY, Theme TEXT, Year TEXT);"
    "CREATE TABLE singer_in_concert (concert_ID INTEGER REFERENCES concert (concert_ID),"
    " Singer_ID INTEGER REFERENCES singer (Singer_ID), PRIMARY KEY (concert_ID, Singer_ID));"
)
ROWS: dict[str, Iterable[Sequence[object]]] = {
    "singer": [
        (1, "Joe Sharp", "Netherlands", 52),
        (2, "José Peña", "France", 32),
        (3, "O'Brien", "France", 29),
    ],
    "concert": [(1, "New York", "2014"), (2, "York", "2015")],
    "singer_in_concert": [(1, 1), (2, 2)],
}


def make_database(file: Path, ddl: str, rows: Mapping[str, Iterable[Sequence[object]]] | None = None) -> Path:
    """A database file with these tables and rows."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.executescript(ddl)
        for table, values in (rows or {}).items():
            for row in values:
                connection.execute(f'INSERT INTO "{table}" VALUES ({", ".join("?" * len(row))})', row)
    return file


def singers(folder: Path, db_id: str = "concert_singer") -> Path:
    """The database of singers and concerts, as ID/ID.sqlite in `folder`."""
    return make_database(folder / db_id / f"{db_id}.sqlite", SINGERS, ROWS)
