"""Databases that a user asks: SQLite and DuckDB files, PostgreSQL and MySQL servers. Nothing here writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from text2sql.targets.model import Target


def open_target(database: str) -> Target:
    """The database at a path or a URL; a server is asked later, when something is wanted of it.

    Raises:
        UserError: the file is not a database, or the URL is not one of a known server.
    """
    # imported here, as every query starts a process that imports this package
    if "://" not in database:
        from text2sql.targets.files import FileTarget, file_dialect

        path = Path(database).expanduser()
        return FileTarget(path, file_dialect(path))
    from text2sql.targets.server import server_target

    return server_target(database)
