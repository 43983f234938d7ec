"""Where a database file is, in Spider's layout."""

from __future__ import annotations

from pathlib import Path


def database_path(databases: Path, db_id: str) -> Path:
    """Return the path of the database `db_id` in the folder `databases`: ID/ID.sqlite."""
    return databases / db_id / f"{db_id}.sqlite"
