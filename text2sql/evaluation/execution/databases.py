"""The open databases of a judge, and the results of gold queries in memory."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from text2sql.evaluation.execution.gold_cache import GoldCache
from text2sql.evaluation.execution.sandbox import DatabaseError, Row, Sandbox
from text2sql.schema.database_files import find_database

_OPEN = 128
_GOLD_CELLS = 500_000  # values of gold results in memory, some 50 MB
_CELLS_OF_A_ROW = 3  # memory of a row besides its values


class Databases:
    """Runs queries; drops the least recently used files and gold results when there are too many.

    `max_rows` is the number of rows that a query may return; `cache` keeps gold results for other
    processes (None: memory only).
    """

    def __init__(self, max_rows: int, cache: GoldCache | None = None) -> None:
        self._max_rows, self._cache = max_rows, cache
        self._sandboxes: OrderedDict[Path, Sandbox] = OrderedDict()
        self._golds: OrderedDict[tuple[Path, str], list[Row]] = OrderedDict()
        self._cells = 0

    def open(self, file: Path) -> Sandbox:
        """Return the file's sandbox.

        Raises:
            DatabaseError: the file is missing, or not a SQLite database.
        """
        if file not in self._sandboxes:
            self._sandboxes[file] = Sandbox(file, self._max_rows)
        self._sandboxes.move_to_end(file)
        if len(self._sandboxes) > _OPEN:
            self._sandboxes.popitem(last=False)[1].close()
        return self._sandboxes[file]

    def run(self, file: Path, sql: str, deadline: float, keep: int | None = None) -> list[Row]:
        """Return the rows of a query, as `Sandbox.run` does.

        Raises:
            DatabaseError: see `open`.
            QueryError: the query fails.
        """
        return self.open(file).run(sql, deadline, keep)

    def gold(self, file: Path, sql: str, timeout_s: float) -> list[Row]:
        """Return the rows of a gold query, which is run once.

        Raises:
            DatabaseError: see `open`.
            QueryError: the query fails.
            UserError: the cache cannot be read or written.
        """
        rows = self._golds.get((file, sql))
        if rows is None:
            rows = self._golds[file, sql] = self._run_gold(file, sql, timeout_s)
            self._cells += _cells(rows)
        self._golds.move_to_end((file, sql))
        while self._cells > _GOLD_CELLS and len(self._golds) > 1:
            self._cells -= _cells(self._golds.popitem(last=False)[1])
        return rows

    def _run_gold(self, file: Path, sql: str, timeout_s: float) -> list[Row]:
        rows = self._cache.get(file, sql) if self._cache else None
        if rows is None:
            rows = self.run(file, sql, time.monotonic() + timeout_s)
            if self._cache:
                self._cache.put(file, sql, rows)
        return rows


def database_files(databases: Path, db_id: str) -> list[Path]:
    """Return ID/ID.sqlite, followed by every other database in its folder (a test suite).

    As in the official evaluator, a database is a file with ".sqlite" in its name. The first file may be
    kept in another way (see `find_database`); where it has no folder of its own, it is the only one.

    Raises:
        DatabaseError: there is no such file.
    """
    own = find_database(databases, db_id)
    if not own.is_file():
        raise DatabaseError(f"{own}: no such file; each db_id needs an ID/ID.sqlite or ID.sqlite")
    if own.parent == databases:
        return [own]
    others = (path for path in own.parent.iterdir() if ".sqlite" in path.name and path != own)
    return [own, *sorted(path for path in others if path.is_file())]


def _cells(rows: Sequence[Row]) -> int:
    return (_CELLS_OF_A_ROW + len(rows[0])) * len(rows) if rows else 1
