"""Schemas of training rows, each loaded into an empty in-memory SQLite database.

The text is untrusted. It can build tables and rows in memory and nothing else: it cannot open another file,
it is limited to `SECONDS` and `PAGES`, and everything that it did is rolled back before the next text.
Not covered: one opcode that runs long by itself, as in `text2sql/evaluation/execution/sandbox.py`.
"""

from __future__ import annotations

import sqlite3
import time
from collections import OrderedDict
from dataclasses import dataclass

from text2sql.errors import UserError
from text2sql.preparation.dialects import read_dialect
from text2sql.schema.ddl import read_connection, write_ddl
from text2sql.schema.prose import read_prose

SECONDS = 2.0
"""Time limit for executing a schema and its rows."""

PAGES = 4096
"""Memory limit for them, in pages of 4 KiB: enough for some lines of example values, not for a database."""

_PROSE = " contains tables such as "
_OPEN = 256  # databases kept open; the rows of a shuffled data set have some hundred schemas
_OPCODES_BETWEEN_CHECKS = 100_000  # of the time limit
# Parts of SQLite's messages after which the text is tried in another dialect. With other faults, such as a
# repeated table, that would not help.
_OTHER_DIALECT = (
    "syntax error",
    "unrecognized token",
    "unknown database",
    "unknown function",
    "AUTOINCREMENT",
    "not authorized",
)
_VALUE = 10_000_000  # bytes of one value, and of one statement
_READ_ACTIONS = frozenset(
    (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE)
)
_DENIED = frozenset((sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH))
_PRAGMAS = frozenset(("table_info", "foreign_key_list", "page_count"))  # read-only


class SchemaError(Exception):
    """A schema that cannot be used: `reason` is the class of the fault, `detail` the parser's message."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Connection(sqlite3.Connection):
    """A database in memory, in which texts are run one after the other."""

    def __init__(self) -> None:
        super().__init__(":memory:", isolation_level=None, cached_statements=0)
        self.spent = False  # whether something was done that `clear` cannot undo
        self._deadline = 0.0
        self._compiling = False  # whether a query is compiled; else CREATE TABLE text is run
        self._ending = False  # whether transactions may be ended
        self.execute(f"PRAGMA max_page_count = {PAGES}")
        self.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _VALUE)
        self.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        self.set_progress_handler(self._is_late, _OPCODES_BETWEEN_CHECKS)
        self.set_authorizer(self._authorize)

    def build(self, text: str) -> None:
        """Run CREATE TABLE text.

        Raises:
            sqlite3.Error: SQLite refuses it.
        """
        self._compiling = self._ending = False
        self._deadline = time.monotonic() + SECONDS
        try:
            self.executescript("BEGIN;" + text)
        except sqlite3.Error:
            # the text may be a dump, which has transactions of its own: try again without ours
            self.clear()
            self.spent = True
            self.executescript(text)

    def clear(self) -> None:
        """Undo what `build` did."""
        self._compiling, self._ending = False, True
        if self.in_transaction:
            self.execute("ROLLBACK")

    def compile(self, sql: str) -> None:
        """Compile a query without running it.

        Raises:
            sqlite3.Error: SQLite refuses it, or it is not a query.
        """
        self._compiling = True
        self.execute("EXPLAIN " + sql).close()

    def image(self) -> bytes:
        """The bytes of a SQLite file with this database."""
        self._compiling = False
        return self.serialize()

    def _is_late(self) -> bool:
        return time.monotonic() > self._deadline

    def _authorize(self, action: int, first: str | None, *_: str | None) -> int:
        """SQLite calls this for each action of a statement that it compiles."""
        if self._compiling:
            return sqlite3.SQLITE_OK if action in _READ_ACTIONS else sqlite3.SQLITE_DENY
        denied = (
            action in _DENIED
            or (action == sqlite3.SQLITE_PRAGMA and (first or "").lower() not in _PRAGMAS)
            or (action == sqlite3.SQLITE_TRANSACTION and first != "BEGIN" and not self._ending)
        )
        return sqlite3.SQLITE_DENY if denied else sqlite3.SQLITE_OK


@dataclass(frozen=True, slots=True)
class Database:
    """A schema as canonical CREATE TABLE text, and an open database with it and the rows of its source."""

    ddl: str
    connection: Connection


class Schemas:
    """The most recently used schemas, each with its database open. Not thread-safe."""

    def __init__(self) -> None:
        self._recent: OrderedDict[str, Database | SchemaError] = OrderedDict()
        self._free: list[Connection] = []

    def load(self, text: str) -> Database:
        """The database of a schema, which is DB-GPT's prose or CREATE TABLE text.

        Raises:
            SchemaError: the schema cannot be used.
        """
        found = self._recent.get(text)
        if found is not None:
            self._recent.move_to_end(text)
        else:
            if len(self._recent) >= _OPEN:
                self._release(self._recent.popitem(last=False)[1])
            found = self._recent[text] = self._make(text)
        if isinstance(found, SchemaError):
            raise found
        return found

    def close(self) -> None:
        """Close every database."""
        while self._recent:
            self._release(self._recent.popitem()[1])
        while self._free:
            self._free.pop().close()

    def _make(self, text: str) -> Database | SchemaError:
        if _PROSE in text:
            try:
                return self._build(write_ddl(read_prose(text)[1]))
            except UserError as error:
                return SchemaError("schema prose does not fit", str(error))
            except sqlite3.Error as error:
                return SchemaError("schema prose does not fit", f"SQLite: {error}")
        try:
            return self._build(text)
        except (sqlite3.Error, UserError) as error:
            other_dialect = any(sign in str(error) for sign in _OTHER_DIALECT)
            made = self._translate(text) if other_dialect else None
            return made or SchemaError("DDL does not execute", str(error))

    def _translate(self, text: str) -> Database | None:
        """The database of CREATE TABLE text in another dialect; None if it is not such text."""
        schema = read_dialect(text)
        try:
            return self._build(write_ddl(schema)) if schema else None
        except (sqlite3.Error, UserError):
            return None

    def _build(self, text: str) -> Database:
        connection = self._free.pop() if self._free else Connection()
        try:
            connection.build(text)
            schema = read_connection(connection)
            if not schema.tables:
                raise UserError("it creates no table")
        except (sqlite3.Error, UserError):
            connection.close()
            raise
        if _has_view(connection, text):
            connection.close()  # a view is not in the prompt, so the answer must not find it either
            return self._build(write_ddl(schema))
        return Database(write_ddl(schema), connection)

    def _release(self, used: Database | SchemaError) -> None:
        if isinstance(used, SchemaError):
            return
        if used.connection.spent:
            used.connection.close()
        else:
            used.connection.clear()
            self._free.append(used.connection)


def _has_view(connection: Connection, text: str) -> bool:
    if "view" not in text.lower():
        return False
    return bool(connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'view'").fetchall())
