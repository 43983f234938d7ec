"""Running a query that nobody has vouched for.

Covered: the file is opened read-only and every action but reading is refused while the statement
is compiled, so it can neither change the database nor reach another file. A query ends at its
deadline, at its limit of rows, or when its result outgrows `MAX_RESULT_BYTES`.

Not covered:
- SQLite looks at the clock between opcodes only. One opcode that runs long by itself (LIKE with
  many wildcards on a long text, replace() or printf() on megabytes) outlasts the deadline. The
  limits below keep such values small; only a process of its own could end them for certain.
- Memory and disk that SQLite takes for sorting or for temporary tables: the deadline bounds them,
  nothing else does.
- The database is opened as immutable: transactions that wait in a -wal file beside it are not seen,
  and whoever changes the file while it is open may make a query fail or lie.
- random() and date('now') are allowed, so a query that calls them may not repeat its result.
"""

from __future__ import annotations

import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from text2sql.records import UserError

Row = tuple[Any, ...]
ErrorKind = Literal[
    "syntax",
    "no_such_table",
    "no_such_column",
    "ambiguous",
    "timeout",
    "too_many_rows",
    "denied",
    "empty",
    "other",
]

MAX_RESULT_BYTES = 256 * 1024 * 1024
"""Rough size of a result in memory; a larger one counts as too_many_rows."""

_VALUE_BYTES = 16  # a value's share beside its text; Python takes more, but not much
_OPCODES_BETWEEN_LOOKS = 1000  # some microseconds; looking more often slows every query down
_HEADER = b"SQLite format 3\0"  # https://www.sqlite.org/fileformat2.html#the_database_header
_READING = (
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
)
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 10_000_000,  # bytes of one value
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 100_000,  # bytes
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 1000,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 100,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1000,  # bytes
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
}
# SQLite has one error code for all of these; only its messages tell them apart.
_MESSAGES: tuple[tuple[str, ErrorKind], ...] = (
    (r"no such table", "no_such_table"),
    (r"no such column", "no_such_column"),
    (r"ambiguous column name", "ambiguous"),
    (r"interrupted", "timeout"),
    (r"not authorized|access to .* is prohibited|You can only execute one statement", "denied"),
    (r"attempt to write a readonly database", "denied"),
    (r"near .*: syntax error|unrecognized token|incomplete input|parser stack overflow", "syntax"),
)


class QueryError(Exception):
    """A query that gave no result: `kind` is its class, `message` what SQLite said."""

    def __init__(self, kind: ErrorKind, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message


class Sandbox:
    """A SQLite file that can be read and nothing else; use it in a `with` statement.

    `timeout_s` is the time that one query may take, in seconds, `max_rows` the number of rows that
    it may return. UserError: the file is missing or is no SQLite database.
    """

    def __init__(self, database: Path, timeout_s: float, max_rows: int) -> None:
        self._timeout_s = timeout_s
        self._max_rows = max_rows
        self._deadline = 0.0
        self._connection = _open(Path(database))
        self._connection.set_authorizer(_authorize)
        self._connection.set_progress_handler(self._is_late, _OPCODES_BETWEEN_LOOKS)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def run(self, sql: str) -> list[Row]:
        """Return the rows of one SELECT. QueryError: it failed, or broke a limit.

        Text that is not UTF-8 loses its bad bytes, as in the official evaluator. Of several
        statements none is run.
        """
        self._deadline = time.monotonic() + self._timeout_s
        try:
            with closing(self._connection.cursor()) as cursor:
                return self._fetch(cursor.execute(sql))
        # Warning: several statements, in Python 3.11. UnicodeError: half a surrogate pair.
        except (sqlite3.Error, sqlite3.Warning, UnicodeError) as error:
            raise QueryError(_classify(str(error)), str(error)) from error

    def _fetch(self, cursor: sqlite3.Cursor) -> list[Row]:
        if cursor.description is None:
            raise QueryError("empty", "no statement")
        rows: list[Row] = []
        size = 0
        for row in cursor:
            size += _size(row)
            if len(rows) == self._max_rows or size > MAX_RESULT_BYTES:
                limits = f"{self._max_rows} rows or {MAX_RESULT_BYTES} bytes"
                raise QueryError("too_many_rows", f"more than {limits}")
            rows.append(row)
        return rows

    def _is_late(self) -> bool:
        return time.monotonic() > self._deadline


def _open(database: Path) -> sqlite3.Connection:
    _check_header(database)
    uri = f"{database.resolve().as_uri()}?mode=ro&immutable=1"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
    except sqlite3.DatabaseError as error:
        connection.close()
        raise UserError(f"{database}: SQLite cannot read it ({error}); {_CURE}") from error
    connection.text_factory = lambda raw: raw.decode(errors="ignore")
    for limit, value in _LIMITS.items():
        connection.setlimit(limit, value)
    return connection


_CURE = "`dvc repro --force fetch_data` brings the databases anew"


def _check_header(database: Path) -> None:
    # SQLite itself takes an empty file for an empty database; here it is a download gone wrong.
    try:
        with open(database, "rb") as file:
            header = file.read(len(_HEADER))
    except OSError as error:
        raise UserError(f"{database}: cannot be opened ({error.strerror}); {_CURE}") from error
    if header != _HEADER:
        raise UserError(f"{database}: not a SQLite database; {_CURE}")


def _authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    """SQLite asks this for each action of a statement that it compiles."""
    loads = action == sqlite3.SQLITE_FUNCTION and (second or "").lower() == "load_extension"
    return sqlite3.SQLITE_OK if action in _READING and not loads else sqlite3.SQLITE_DENY


def _size(row: Row) -> int:
    return sum(_VALUE_BYTES + (len(value) if isinstance(value, str | bytes) else 0) for value in row)


def _classify(message: str) -> ErrorKind:
    matches = (kind for pattern, kind in _MESSAGES if re.match(pattern, message, re.DOTALL))
    return next(matches, "other")
