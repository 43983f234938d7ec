"""The SQLite files of a user's folder, which may be kept in other ways than ID/ID.sqlite."""

from __future__ import annotations

from pathlib import Path

from text2sql.databases import database_path

SUFFIXES = (".sqlite", ".db", ".sqlite3")


def find_database(databases: Path, db_id: str) -> Path:
    """The file of a database in a user's folder; ID/ID.sqlite if there is none.

    It may be ID/ID.sqlite or ID.sqlite, or end in .db or .sqlite3. Of several, one in a folder of its own
    comes first, then the suffixes in this order.
    """
    choices = [
        folder / f"{db_id}{suffix}" for folder in (databases / db_id, databases) for suffix in SUFFIXES
    ]
    return next((path for path in choices if path.is_file()), database_path(databases, db_id))


def database_ids(databases: Path) -> list[str]:
    """The ids of all databases that `find_database` finds in a folder, sorted; none if it is missing."""
    flat = (path for path in databases.glob("*") if path.is_file())
    nested = (path for path in databases.glob("*/*") if path.stem == path.parent.name and path.is_file())
    return sorted({path.stem for path in (*flat, *nested) if path.suffix in SUFFIXES})


def is_database_id(text: str) -> bool:
    """Whether `text` can be the name of a folder of its own, so that its database stays inside the folder."""
    return text not in ("", ".", "..") and not set(text) & set("/\\\0")
