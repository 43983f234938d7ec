"""Schemas of training rows, each loaded into an empty in-memory SQLite database.

The text comes from outside. It can build tables and rows in memory and nothing else: no other file is
within reach, it has `SECONDS` and `PAGES`, and what it leaves behind is rolled back before the next
text. Not covered: one opcode that runs long by itself, as in `text2sql/evaluation/execution/sandbox.py`.
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
"""That a schema and its rows may take to execute."""

PAGES = 4096
"""Of 4 KiB, that they may take: some lines of example values, not a database."""

_PROSE = " contains tables such as "
_OPEN = 256  # databases at a time; rows of a shuffled set share some hundred schemas
_OPCODES_BETWEEN_LOOKS = 100_000
# What SQLite says of it. Of a table told twice, say, it would be no cure to read the text otherwise.
_OF_ANOTHER_DIALECT = (
    "syntax error",
    "unrecognized token",
    "unknown database",
    "unknown function",
    "AUTOINCREMENT",
    "not authorized",
)
_VALUE = 10_000_000  # bytes of one value, and of one statement
_READING = frozenset(
    (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE)
)
_DENIED = frozenset((sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH))
_PRAGMAS = frozenset(("table_info", "foreign_key_list", "page_count"))  # they only read


class SchemaError(Exception):
    """A schema that cannot be used: `reason` is its class, `detail` the words of whoever refused it."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Connection(sqlite3.Connection):
    """An empty database in memory, on which texts are run one after the other."""

    def __init__(self) -> None:
        super().__init__(":memory:", isolation_level=None, cached_statements=0)
        self.spent = False  # something was done that `clear` cannot take back
        self._deadline = 0.0
        self._compiling = False  # a query, or else CREATE TABLE text is run
        self._ending = False  # transactions may be ended
        self.execute(f"PRAGMA max_page_count = {PAGES}")
        self.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _VALUE)
        self.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        self.set_progress_handler(self._is_late, _OPCODES_BETWEEN_LOOKS)
        self.set_authorizer(self._authorize)

    def build(self, text: str) -> None:
        """Run CREATE TABLE text. sqlite3.Error: SQLite refuses it."""
        self._compiling = self._ending = False
        self._deadline = time.monotonic() + SECONDS
        try:
            self.executescript("BEGIN;" + text)
        except sqlite3.Error:
            # A dump begins and ends transactions by itself, so the text gets a second chance.
            self.clear()
            self.spent = True
            self.executescript(text)

    def clear(self) -> None:
        """Take back what `build` has made."""
        self._compiling, self._ending = False, True
        if self.in_transaction:
            self.execute("ROLLBACK")

    def compile(self, sql: str) -> None:
        """Compile a query without running it. sqlite3.Error: SQLite refuses it, or it is no query."""
        self._compiling = True
        self.execute("EXPLAIN " + sql).close()

    def image(self) -> bytes:
        """The database as a SQLite file."""
        self._compiling = False
        return self.serialize()

    def _is_late(self) -> bool:
        return time.monotonic() > self._deadline

    def _authorize(self, action: int, first: str | None, *_: str | None) -> int:
        """SQLite asks this for each action of a statement that it compiles."""
        if self._compiling:
            return sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY
        denied = (
            action in _DENIED
            or (action == sqlite3.SQLITE_PRAGMA and (first or "").lower() not in _PRAGMAS)
            or (action == sqlite3.SQLITE_TRANSACTION and first != "BEGIN" and not self._ending)
        )
        return sqlite3.SQLITE_DENY if denied else sqlite3.SQLITE_OK


@dataclass(frozen=True, slots=True)
class Database:
    """A schema in its one written form, and an open database that has it, and the source's rows."""

    ddl: str
    connection: Connection


class Schemas:
    """The schemas met of late, each with its database open. Not for use by several threads."""

    def __init__(self) -> None:
        self._met: OrderedDict[str, Database | SchemaError] = OrderedDict()
        self._free: list[Connection] = []

    def load(self, text: str) -> Database:
        """The database of a schema told in prose or as CREATE TABLE text. SchemaError: it is none."""
        found = self._met.get(text)
        if found is not None:
            self._met.move_to_end(text)
        else:
            if len(self._met) >= _OPEN:
                self._forget(self._met.popitem(last=False)[1])
            found = self._met[text] = self._make(text)
        if isinstance(found, SchemaError):
            raise found
        return found

    def close(self) -> None:
        """Close every database."""
        while self._met:
            self._forget(self._met.popitem()[1])
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
            foreign = any(sign in str(error) for sign in _OF_ANOTHER_DIALECT)
            made = self._translate(text) if foreign else None
            return made or SchemaError("DDL does not execute", str(error))

    def _translate(self, text: str) -> Database | None:
        """The database of what may be another dialect's CREATE TABLE text."""
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
            connection.close()  # what the model is not shown must not be there for its answer either
            return self._build(write_ddl(schema))
        return Database(write_ddl(schema), connection)

    def _forget(self, met: Database | SchemaError) -> None:
        if isinstance(met, SchemaError):
            return
        if met.connection.spent:
            met.connection.close()
        else:
            met.connection.clear()
            self._free.append(met.connection)


def _has_view(connection: Connection, text: str) -> bool:
    if "view" not in text.lower():
        return False
    return bool(connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'view'").fetchall())
