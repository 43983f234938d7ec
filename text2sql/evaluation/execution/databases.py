"""The open databases of a judge, and the results of gold queries in memory."""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path

from text2sql.evaluation.execution.gold_cache import GoldCache
from text2sql.evaluation.execution.sandbox import DatabaseError, QueryError, Row, Sandbox, is_sqlite
from text2sql.schema.database_files import find_database

_OPEN = 128
_GOLD_CELLS = 500_000  # values of gold results in memory, some 50 MB
_DATABASE_NAME = re.compile(r"\.sqlite[\d_]*\Z")
_CELLS_OF_A_ROW = 3  # memory of a row besides its values


class Databases:
    """Runs queries; drops the least recently used files and gold results when there are too many.

    `max_rows` is the number of rows that a query may return; `cache` keeps gold results for other
    processes (None: memory only); `spill_mb` are MiB of temporary files, see `Sandbox`.
    """

    def __init__(self, max_rows: int, cache: GoldCache | None = None, spill_mb: int = 0) -> None:
        self._max_rows, self._cache, self._spill_mb = max_rows, cache, spill_mb
        self._sandboxes: OrderedDict[Path, Sandbox] = OrderedDict()
        self._golds: OrderedDict[tuple[Path, str], list[Row]] = OrderedDict()
        self._cells = 0

    def open(self, file: Path) -> Sandbox:
        """Return the file's sandbox.

        Raises:
            DatabaseError: the file is missing, or not a SQLite database.
        """
        if file not in self._sandboxes:
            self._sandboxes[file] = Sandbox(file, self._max_rows, spill_mb=self._spill_mb)
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
        try:
            return self.open(file).run(sql, deadline, keep)
        except QueryError as error:
            if error.kind != "out_of_memory" or len(self._sandboxes) == 1:
                raise
        # Each open database keeps some MiB of its pages in memory.
        while len(self._sandboxes) > 1:
            self._sandboxes.popitem(last=False)[1].close()
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

    The first file may be kept in another way (see `find_database`); where it has no folder of its own, it is
    the only one. See `ignored_files` for what is left out, unlike in the official evaluator.

    Raises:
        DatabaseError: there is no such file.
    """
    own = find_database(databases, db_id)
    if not own.is_file():
        raise DatabaseError(f"{own}: no such file; each db_id needs an ID/ID.sqlite or ID.sqlite")
    return [own, *(path for path in _beside(own, databases) if _is_database(path))]


def ignored_files(databases: Path, db_id: str) -> list[Path]:
    """Return the files beside ID/ID.sqlite that are in no test suite, although they officially would be.

    Officially each file with ".sqlite" in its name is a database. Here its name must also end with that, or
    with a number behind it, and not begin with a period; and it must be a SQLite file.
    """
    beside = _beside(find_database(databases, db_id), databases)
    return [path for path in beside if not _is_database(path)]


def warning_of_ignored(databases: Path, db_ids: Iterable[str]) -> str:
    """A sentence about the files that these databases' test suites leave out; "" if there are none."""
    found = [path for db_id in dict.fromkeys(db_ids) for path in ignored_files(databases, db_id)]
    if not found:
        return ""
    rest = f" and {len(found) - 1} others" if len(found) > 1 else ""
    return f"{found[0]}{rest}: no SQLite database by name or content, so it is not used"


def _beside(own: Path, databases: Path) -> list[Path]:
    if own.parent == databases or not own.parent.is_dir():
        return []
    others = (path for path in own.parent.iterdir() if ".sqlite" in path.name and path != own)
    return sorted(path for path in others if path.is_file())


def _is_database(path: Path) -> bool:
    if path.name.startswith(".") or not _DATABASE_NAME.search(path.name):
        return False
    try:
        return is_sqlite(path)
    except OSError:  # opening it, when it is needed, says why
        return True


def _cells(rows: Sequence[Row]) -> int:
    return (_CELLS_OF_A_ROW + len(rows[0])) * len(rows) if rows else 1
