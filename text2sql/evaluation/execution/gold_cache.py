"""Results of gold queries, kept for the next arm.

All arms are judged against the same gold queries, so their results are kept in one SQLite file. The key
of a result is everything it depends on: the database's bytes, the query, the limit of rows, the versions
of SQLite and of Python's encoding. Failures are not kept: a timeout may not happen again.
Not covered: a power cut while the file is written; a damaged file is reported, and may be deleted.
"""

from __future__ import annotations

import hashlib
import marshal
import sqlite3
from functools import lru_cache
from pathlib import Path

from text2sql.errors import RERUN, UserError
from text2sql.evaluation.execution.sandbox import Row
from text2sql.workstore import hash_path

_WAIT_S = 60.0  # while another worker writes
_VERSIONS = f"{sqlite3.sqlite_version} {marshal.version}"


class GoldCache:
    """Rows by database and query in the file `path`, which several processes may use at the same time.

    Raises:
        UserError: the file is damaged or cannot be written.
    """

    def __init__(self, path: Path, max_rows: int) -> None:
        self._path, self._max_rows = path, max_rows
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise UserError(f"{path}: {error}; fix that, then {RERUN}") from error
        self._execute("PRAGMA synchronous = OFF")
        self._execute("CREATE TABLE IF NOT EXISTS gold (key BLOB PRIMARY KEY, rows BLOB) WITHOUT ROWID")

    def get(self, database: Path, sql: str) -> list[Row] | None:
        """Return the rows of `sql` on `database`, or None if they are not in the cache.

        Raises:
            UserError: the file is damaged.
        """
        found = self._execute("SELECT rows FROM gold WHERE key = ?", self._key(database, sql))
        return marshal.loads(found[0][0]) if found else None

    def put(self, database: Path, sql: str, rows: list[Row]) -> None:
        """Store the rows of `sql` on `database`.

        Raises:
            UserError: the file is damaged, or the disk is full.
        """
        self._execute(
            "INSERT OR IGNORE INTO gold VALUES (?, ?)", self._key(database, sql), marshal.dumps(rows)
        )

    def _key(self, database: Path, sql: str) -> bytes:
        parts = (_hash_once(database), str(self._max_rows), _VERSIONS, sql)
        return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).digest()

    def _execute(self, sql: str, *values: bytes) -> list[tuple[bytes]]:
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            remedy = "delete the file, it is only a cache"
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                remedy = f"free some space on that disk, then {RERUN}"
            raise UserError(f"{self._path}: {error}; {remedy}") from error


@lru_cache(maxsize=4096)
def _hash_once(database: Path) -> str:
    return hash_path(database)
