"""Runs an untrusted query read-only, with a timeout and a limit of rows.

Covered: the file is opened read-only and every action except reading is refused while the statement
is compiled, so a query can neither change the database nor reach another file. A query ends at its
deadline or at its limit of rows. Temporary tables and sorting stay in memory, which is fastest. With
`spill_mb`, a query for which memory does not suffice is run again with temporary files of SQLite, within the
same deadline. These are in the folder that SQLITE_TMPDIR or TMPDIR names (default: /var/tmp), without a name
from the moment they are opened, so that nothing is left of a killed process. Their size is checked every
`_LOOKS_S` seconds, between opcodes: a query may exceed its limit by what it writes meanwhile, and by as much
again where one opcode merges a sort.

Not covered here, but by the worker processes of `pool.py`, in which the judge runs this code:
- SQLite checks the time between opcodes only. One opcode that runs for a long time (LIKE with
  many wildcards on a long text, replace() or printf() on megabytes) exceeds the deadline.
- Memory that SQLite or Python uses.

Not covered at all:
- The database is opened as immutable, unless it is `live`: if the file is changed while it is open, a query
  may fail or return wrong rows.
- random() and date('now') are allowed, so a query that calls them may return another result each time.
"""

from __future__ import annotations

import math
import os
import re
import sqlite3
import stat
import time
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar

from text2sql.databases import changes_beside, live_uri
from text2sql.errors import UserError
from text2sql.schema.queries import SQL_LENGTH

T = TypeVar("T")
Row = tuple[Any, ...]
ErrorKind = Literal[
    "syntax",
    "no_such_table",
    "no_such_column",
    "ambiguous",
    "timeout",
    "too_many_rows",
    "out_of_memory",
    "denied",
    "empty",
    "crashed",
    "other",
]

_OPCODES_BETWEEN_CHECKS = 1000  # a few microseconds; checking the time more often slows every query down
_CHUNK = 1000  # rows fetched at a time
_LOOKS_S = 0.1
_OWN_FD = 3  # those before are the standard streams
_MIB = 2**20
_NUMBER_BYTES = 8
_HEADER = b"SQLite format 3\0"  # https://www.sqlite.org/fileformat2.html#the_database_header
_READING = frozenset(
    (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE)
)
# load_extension runs any code; fts3_tokenizer reads and sets addresses in memory.
_DENIED_FUNCTIONS = ("load_extension", "fts3_tokenizer")
# Their first use in a connection looks to the authorizer like CREATE TABLE.
_TABLE_FUNCTIONS = ("json_each", "json_tree")
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 10_000_000,  # bytes of one value
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: SQL_LENGTH,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 1000,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 500,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1000,  # bytes
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
}
# SQLite has one error code for all of these; only its messages differ.
_MESSAGES: tuple[tuple[str, ErrorKind], ...] = (
    (r"no such table", "no_such_table"),
    (r"no such column", "no_such_column"),
    (r"ambiguous column name", "ambiguous"),
    (r"interrupted", "timeout"),
    (r"database or disk is full", "out_of_memory"),  # by temporary files
    (r"not authorized|authorization denied|access to .* is prohibited", "denied"),
    (r"You can only execute one statement|attempt to write a readonly database", "denied"),
    (r"vtable constructor failed", "denied"),  # a table-valued function that _open did not warm up
    (r"near .*: syntax error|unrecognized token|incomplete input|parser stack overflow", "syntax"),
)
_REFUSED_BY_COMPILER: tuple[ErrorKind, ...] = (
    "syntax",
    "no_such_table",
    "no_such_column",
    "ambiguous",
    "denied",
)
_COMMENTS = re.compile(r"--[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_NO_STATEMENT = " \t\n\f\r;\ufeff"
_NOT_UTF8 = "Could not decode to UTF-8"
_FIX = "replace it by a copy that SQLite can read"


class DatabaseError(UserError):
    """A database file is missing, or SQLite cannot read it."""


class QueryError(Exception):
    """A query failed: `kind` is the class of the error, `message` is SQLite's message."""

    def __init__(self, kind: ErrorKind, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message

    @property
    def refused_by_compiler(self) -> bool:
        """Whether SQLite refused to compile the statement, whatever its literals are."""
        return self.kind in _REFUSED_BY_COMPILER


@dataclass(frozen=True, slots=True)
class Table:
    """A result with the names of its columns; `more`: it has further rows beyond the limit."""

    columns: tuple[str, ...]
    rows: list[Row]
    more: bool = False


class Sandbox:
    """A SQLite file that can only be read; use it in a `with` statement.

    `max_rows` is the number of rows that a query may return. A `live` database may be changed by others
    meanwhile: it is locked while a query reads it, see `text2sql.databases.live_uri`. `spill_mb` are the MiB
    of temporary files that a query may write (0: none, they stay in memory). With `backwards` SQLite visits
    rows in the opposite order wherever a query leaves the order open.

    Raises:
        DatabaseError: the file is missing, or not a SQLite database.
    """

    def __init__(
        self, database: Path, max_rows: int, live: bool = False, spill_mb: int = 0, backwards: bool = False
    ) -> None:
        self._max_rows, self._spill_mb = max_rows, spill_mb
        self._deadline = self._next_look = 0.0
        self._spilled = False  # whether the query has exceeded `spill_mb`
        self._connection = _open(Path(database), live)
        self._connection.execute(f"PRAGMA reverse_unordered_selects = {int(backwards)}")
        self._connection.set_authorizer(_authorize)
        self._connection.set_progress_handler(self._must_end, _OPCODES_BETWEEN_CHECKS)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def run(self, sql: str, deadline: float, keep: int | None = None) -> list[Row]:
        """Return the rows of one SELECT, at most the first `keep` of them (None: all).

        `deadline` is a time of `time.monotonic()`. Text that is not UTF-8 loses its invalid bytes, as in
        the official evaluator. Several statements are refused as a whole.

        Raises:
            QueryError: the query failed, or exceeded a limit.
        """
        table = self.table(sql, deadline, keep)
        if table.more:
            raise QueryError("too_many_rows", f"more than {self._max_rows} rows")
        return table.rows

    def table(self, sql: str, deadline: float, keep: int | None = None) -> Table:
        """As `run`, with the names of the columns; too many rows are cut off instead of an error.

        Raises:
            QueryError: the query failed, or exceeded another limit.
        """
        return self._read(sql, deadline, lambda cursor: self._fetch(_described(cursor, sql), keep))

    def head(self, sql: str, deadline: float, rows: int, most_bytes: int) -> Table:
        """The first rows of one SELECT, at most `rows` and none after `most_bytes`; others are not read.

        Raises:
            QueryError: the query failed, or exceeded another limit.
        """

        def fetch(cursor: sqlite3.Cursor) -> Table:
            kept, more = first_rows(_described(cursor, sql), rows, most_bytes)
            return Table(_columns(cursor), kept, more)

        return self._read(sql, deadline, fetch)

    def _read(self, sql: str, deadline: float, fetch: Callable[[sqlite3.Cursor], T]) -> T:
        try:
            return self._attempt(sql, deadline, fetch)
        except QueryError as error:
            if error.kind != "out_of_memory" or not self._spill_mb:
                raise
        self._store("FILE")
        try:
            return self._attempt(sql, deadline, fetch)
        finally:
            self._store("MEMORY")

    def _store(self, place: Literal["FILE", "MEMORY"]) -> None:
        """Choose where temporary tables are; the authorizer refuses this to queries."""
        self._connection.set_authorizer(None)
        self._connection.execute(f"PRAGMA temp_store = {place}")
        self._connection.set_authorizer(_authorize)

    def _attempt(self, sql: str, deadline: float, fetch: Callable[[sqlite3.Cursor], T]) -> T:
        if time.monotonic() > deadline:
            raise QueryError("timeout", "no time left")
        self._deadline, self._spilled = deadline, False
        self._next_look = time.monotonic() + _LOOKS_S if self._spill_mb else math.inf
        try:
            return self._execute(sql, fetch)
        except sqlite3.OperationalError as error:
            if self._spilled:
                message = f"more than {self._spill_mb} MiB of temporary files"
                raise QueryError("out_of_memory", message) from error
            if not str(error).startswith(_NOT_UTF8):
                raise QueryError(_classify(str(error)), str(error)) from error
        # Lenient decoding is slow, so it is used only if a text needs it.
        self._connection.text_factory = _decode_leniently
        return self._attempt(sql, deadline, fetch)

    def _execute(self, sql: str, fetch: Callable[[sqlite3.Cursor], T]) -> T:
        try:
            with closing(self._connection.cursor()) as cursor:
                return fetch(cursor.execute(sql))
        except sqlite3.OperationalError:
            raise
        except MemoryError as error:
            raise QueryError("out_of_memory", "more memory than a query may take") from error
        # Warning: several statements, in Python 3.11. UnicodeError: half a surrogate pair.
        except (sqlite3.Error, sqlite3.Warning, UnicodeError) as error:
            raise QueryError(_classify(str(error)), str(error)) from error

    def _fetch(self, cursor: sqlite3.Cursor, keep: int | None) -> Table:
        columns = _columns(cursor)
        kept: list[Row] = []
        count = 0
        while chunk := cursor.fetchmany(_CHUNK):
            count += len(chunk)
            kept += chunk if keep is None else chunk[: max(0, keep - len(kept))]
            if count > self._max_rows:
                return Table(columns, kept[: self._max_rows], more=True)
        return Table(columns, kept)

    def _must_end(self) -> bool:
        now = time.monotonic()
        if now > self._next_look:
            self._next_look = now + _LOOKS_S
            self._spilled = _unnamed_bytes() > self._spill_mb * _MIB
        return self._spilled or now > self._deadline


def first_rows(found: Iterable[Row], rows: int, most_bytes: int) -> tuple[list[Row], bool]:
    """The first rows, at most `rows` and none after `most_bytes`; and whether there are others."""
    kept: list[Row] = []
    total = 0
    for row in found:
        if len(kept) == rows or total >= most_bytes:
            return kept, True
        kept.append(row)
        total += sum(len(value) if isinstance(value, str | bytes) else _NUMBER_BYTES for value in row)
    return kept, False


def _described(cursor: sqlite3.Cursor, sql: str) -> sqlite3.Cursor:
    """The cursor of a statement, which has a description.

    Raises:
        QueryError: there was no statement, or one that has no result.
    """
    if cursor.description is None:
        if _COMMENTS.sub("", sql).strip(_NO_STATEMENT):
            raise QueryError("denied", "the statement has no result")  # such as REINDEX without an index
        raise QueryError("empty", "no statement")
    return cursor


def _columns(cursor: sqlite3.Cursor) -> tuple[str, ...]:
    return tuple(description[0] for description in cursor.description)


def is_sqlite(file: Path) -> bool:
    """Whether the file begins as a SQLite database does.

    Raises:
        OSError: it cannot be read.
    """
    with open(file, "rb") as opened:
        return opened.read(len(_HEADER)) == _HEADER


def _unnamed_bytes() -> int:
    """The size of the files that this process has open and that have no name: SQLite's temporary files."""
    total = 0
    for number in map(int, os.listdir("/dev/fd")):
        with suppress(OSError):  # the listing itself is closed by now
            status = os.fstat(number)
            if number >= _OWN_FD and status.st_nlink == 0 and stat.S_ISREG(status.st_mode):
                total += status.st_size
    return total


def _open(database: Path, live: bool) -> sqlite3.Connection:
    _check_header(database)
    if not live and (changes := changes_beside(database)):
        raise DatabaseError(changes)
    uri = live_uri(database) if live else f"{database.resolve().as_uri()}?mode=ro&immutable=1"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
        connection.execute("PRAGMA temp_store = MEMORY")
        for function in _TABLE_FUNCTIONS:
            connection.execute(f"SELECT * FROM {function}('[]')").fetchall()
    except sqlite3.DatabaseError as error:
        connection.close()
        raise DatabaseError(f"{database}: SQLite cannot read it ({error}); {_FIX}") from error
    for limit, value in _LIMITS.items():
        connection.setlimit(limit, value)
    return connection


def _check_header(database: Path) -> None:
    # To SQLite an empty file is an empty database; here it is a failed download.
    try:
        readable = is_sqlite(database)
    except OSError as error:
        raise DatabaseError(f"{database}: cannot be opened ({error.strerror}); {_FIX}") from error
    if not readable:
        raise DatabaseError(f"{database}: not a SQLite database; {_FIX}")


def _authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    """Called by SQLite for each action of a statement that it compiles."""
    if action not in _READING:
        return sqlite3.SQLITE_DENY
    denied = action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _DENIED_FUNCTIONS
    return sqlite3.SQLITE_DENY if denied else sqlite3.SQLITE_OK


def _decode_leniently(raw: bytes) -> str:
    return raw.decode(errors="ignore")


def _classify(message: str) -> ErrorKind:
    matches = (kind for pattern, kind in _MESSAGES if re.match(pattern, message, re.DOTALL))
    return next(matches, "other")
