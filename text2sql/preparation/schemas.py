"""Schemas of training rows, each loaded into an empty in-memory SQLite database.

The text is untrusted. It can build tables and rows in memory and nothing else: it cannot open another file,
it is limited to `SECONDS` and `PAGES`, and everything that it did is rolled back before the next text.
Not covered: one opcode that runs long by itself, as in `text2sql/evaluation/execution/sandbox.py`.
"""

from __future__ import annotations

import sqlite3
import time
from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from text2sql.errors import UserError
from text2sql.schema.ddl import READ_PRAGMAS, is_incomplete, read_connection, read_rows, write_ddl
from text2sql.schema.model import Schema
from text2sql.schema.prose import read_prose
from text2sql.schema.reader import Script, read_script, sqlite_insert, unqualified

SECONDS = 2.0
"""Time limit for executing a schema and its rows."""

PAGES = 4096
"""Memory limit for them, in pages of 4 KiB: enough for some lines of example values, not for a database."""

_PROSE = " contains tables such as "
_OPEN = 256  # databases kept open; the rows of a shuffled data set have some hundred schemas
_OPCODES_BETWEEN_CHECKS = 100_000  # of the time limit
# SQLite's messages for a text that exceeds a limit; another way to read it would not help.
_LIMITS = ("interrupted", "is full", "string or blob too big")
_READ = 5_000_000  # characters of a text that SQLite refuses, at most, for it to be read as another dialect
_VALUE = 10_000_000  # bytes of one value, and of one statement
_READ_ACTIONS = frozenset(
    (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE)
)
_DENIED = frozenset((sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH))
_PRAGMAS = frozenset(("table_xinfo", "table_list", "foreign_key_list", "page_count"))  # read-only

# Table-valued functions that answers may use. SQLite makes their tables at the first use, which is not
# allowed while an answer is compiled.
_FUNCTIONS = ("json_each", "json_tree")


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
        for function in _FUNCTIONS:
            self.execute(f"SELECT 1 FROM {function}('[]')").close()
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

    def insert(self, statements: Iterable[str]) -> int:
        """Run INSERT statements within what is left of the time; returns how many SQLite refused.

        Raises:
            sqlite3.OperationalError: the rows exceed the limit of time or of memory.
        """
        refused = 0
        for statement in statements:
            try:
                self.execute(statement).close()
            except (sqlite3.Error, sqlite3.Warning) as error:
                if any(sign in str(error) for sign in _LIMITS):
                    raise
                refused += 1
        return refused

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

    def _authorize(self, action: int, first: str | None, second: str | None = None, *_: str | None) -> int:
        """SQLite calls this for each action of a statement that it compiles."""
        if self._compiling:
            return sqlite3.SQLITE_OK if action in _READ_ACTIONS else sqlite3.SQLITE_DENY
        denied = (
            action in _DENIED
            or (action == sqlite3.SQLITE_PRAGMA and first not in _PRAGMAS and not _may_read(first, second))
            or (action == sqlite3.SQLITE_TRANSACTION and first != "BEGIN" and not self._ending)
        )
        return sqlite3.SQLITE_DENY if denied else sqlite3.SQLITE_OK


def _may_read(pragma: str | None, argument: str | None) -> bool:
    folded = (pragma or "").lower()
    return folded in _PRAGMAS or (folded in READ_PRAGMAS and argument is None)


@dataclass(frozen=True, slots=True)
class Database:
    """A schema as canonical CREATE TABLE text, and an open database with it and the rows of its source.

    `skipped` counts the statements of the source of which the text has nothing, by kind; `unreadable` has the
    reason for each table that is left out. `names`: see `text2sql.schema.reader.Script`.
    """

    ddl: str
    connection: Connection
    skipped: Counter[str] = field(default_factory=Counter)
    unreadable: dict[str, str] = field(default_factory=dict)
    names: dict[tuple[str, ...], str] = field(default_factory=dict)

    def answer(self, sql: str) -> str:
        """A query on the source as a query on this database: SCHEMA.TABLE becomes the table's name here."""
        return unqualified(sql, self.names)


class Schemas:
    """The most recently used schemas, each with its database open. Not thread-safe.

    `insert_rows`: how many rows of a table the text has as an INSERT statement, "all" of them, or None: it
    has no rows. `comments`: whether it has the columns' comments. `run`: whether answers are run, so that
    the database needs the rows in any case.
    """

    def __init__(
        self, insert_rows: int | Literal["all"] | None = None, comments: bool = False, run: bool = False
    ) -> None:
        self._recent: OrderedDict[tuple[str, str | None], Database | SchemaError] = OrderedDict()
        self._free: list[Connection] = []
        self._insert_rows = insert_rows
        self._comments = comments
        self._fills = run or insert_rows is not None

    def load(self, text: str, dialect: str | None = None) -> Database:
        """The database of a schema, which is DB-GPT's prose or CREATE TABLE text.

        `dialect` is sqlglot's name of the database system that the text is for; None: SQLite, or else what
        it looks like.

        Raises:
            SchemaError: the schema cannot be used.
        """
        key = (text, dialect)
        found = self._recent.get(key)
        if found is not None:
            self._recent.move_to_end(key)
        else:
            if len(self._recent) >= _OPEN:
                self._release(self._recent.popitem(last=False)[1])
            found = self._recent[key] = self._make(text, dialect)
        if isinstance(found, SchemaError):
            raise found
        return found

    def close(self) -> None:
        """Close every database."""
        while self._recent:
            self._release(self._recent.popitem()[1])
        while self._free:
            self._free.pop().close()

    def _make(self, text: str, dialect: str | None) -> Database | SchemaError:
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
            if any(sign in str(error) for sign in _LIMITS) or len(text) > _READ:
                return SchemaError("DDL does not execute", str(error))
            return self._read(text, dialect, error)

    def _read(self, text: str, dialect: str | None, refusal: Exception) -> Database | SchemaError:
        """The database of a text that SQLite refuses as a whole."""
        script = read_script(text, dialect)
        if not script.schema.tables:
            reasons = next(iter(script.unreadable.values()), str(refusal))
            return SchemaError("DDL does not execute", reasons)
        try:
            return self._fill(script)
        except (sqlite3.Error, UserError) as error:
            return SchemaError("DDL does not execute", str(error))

    def _fill(self, script: Script) -> Database:
        """The database of a script, with the rows that SQLite takes."""
        plain = Schema(tuple(t for t in script.schema.tables if t.name not in script.virtual))
        connection = self._open(
            "\n".join([write_ddl(plain), *(f"{one};" for one in script.virtual.values())])
        )
        skipped = Counter(script.skipped)
        try:
            if self._fills:
                inserts = (sqlite_insert(one, script) for one in script.inserts)
                skipped["INSERT that SQLite refuses"] += connection.insert(inserts)
            ddl = self._written(connection, script.schema, skipped)
        except sqlite3.Error:
            connection.close()
            raise
        return Database(ddl, connection, +skipped, script.unreadable, script.names)

    def _build(self, text: str) -> Database:
        """The database of a text that SQLite takes."""
        connection = self._open(text)
        try:
            unreadable: dict[str, str] = {}
            schema = read_connection(connection, self._comments, unreadable)
            if not schema.tables:
                raise UserError("it creates no table")
            skipped = _left_out(connection, text)
            ddl = self._written(connection, schema, skipped)
        except (sqlite3.Error, UserError):
            connection.close()
            raise
        if any(kind in skipped for kind in _NOT_SHOWN):
            connection.close()  # what is not in the prompt, an answer must not find either
            connection = self._open(ddl)
        return Database(ddl, connection, skipped, unreadable)

    def _open(self, text: str) -> Connection:
        """A database in which the text was run.

        Raises:
            sqlite3.Error: SQLite refuses it.
        """
        connection = self._free.pop() if self._free else Connection()
        try:
            connection.build(text)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _written(self, connection: Connection, schema: Schema, skipped: Counter[str]) -> str:
        """The canonical text, with as many rows of each table as are wanted."""
        if self._insert_rows is None:
            return write_ddl(schema, comments=self._comments)
        limit = None if self._insert_rows == "all" else self._insert_rows
        parts = []
        for table in schema.tables:
            parts.append(write_ddl(Schema((table,)), comments=self._comments))
            try:
                parts.append(read_rows(connection, table, limit))
            except sqlite3.OperationalError as error:
                if not is_incomplete(error):
                    raise
                skipped["rows that SQLite cannot read"] += 1
        return "\n".join(filter(None, parts))

    def _release(self, used: Database | SchemaError) -> None:
        if isinstance(used, SchemaError):
            return
        if used.connection.spent:
            used.connection.close()
        else:
            used.connection.clear()
            self._free.append(used.connection)


_NOT_SHOWN = ("CREATE VIEW", "CREATE TEMPORARY TABLE", "CREATE TEMPORARY VIEW")
_OTHERS = "SELECT type, count(*) FROM sqlite_master WHERE type != 'table' AND sql NOT NULL GROUP BY type"
_TEMPORARY = "SELECT 'temporary ' || type, count(*) FROM sqlite_temp_master WHERE sql NOT NULL GROUP BY type"


def _left_out(connection: Connection, text: str) -> Counter[str]:
    """How many views, triggers, indexes and temporary tables a text creates."""
    folded = text.lower()
    found: list[tuple[str, int]] = []
    if "view" in folded or "trigger" in folded or "index" in folded:
        found += connection.execute(_OTHERS).fetchall()
    if "temp" in folded:
        found += connection.execute(_TEMPORARY).fetchall()
    return Counter({f"CREATE {kind.upper()}": number for kind, number in found})
