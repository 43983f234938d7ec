"""Whether a training row can be used, and if not, why.

SQLite decides whether the SQL is a query and whether its tables and columns exist: it compiles the query on
the row's schema. Only queries that it refuses are also parsed, which takes five times as long.
Not covered: SQLite reads "x" in double quotes as a string if no column has that name, so a misspelled name in
double quotes is not noticed.
"""

from __future__ import annotations

import json
import re
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from text2sql.contamination.folding import parse_query
from text2sql.evaluation.execution.sandbox import SQL_LENGTH, QueryError, Sandbox
from text2sql.preparation.plain import PlainCheck
from text2sql.preparation.schemas import Connection, Database, SchemaError, Schemas
from text2sql.preparation.settings import Prepare
from text2sql.preparation.sources import SHAPES, Chunk
from text2sql.records import TrainingRow

QUESTION_LENGTH = 20_000
"""Most characters of a question; a longer one would be truncated in every prompt."""

RUN_SECONDS, RUN_ROWS = 2.0, 100_000
"""Limits of time and of rows for an answer that is run."""

_NAMES = ("question", "schema", "SQL")
_QUERY = re.compile(r"(select|with)\b", re.IGNORECASE)
# SQLite has one error code for all of these; only its messages differ.
_NAME_ERRORS = (
    ("no such table", "SQL names an unknown table"),
    ("no such column", "SQL names an unknown column"),
    ("no such function", "SQL calls an unknown function"),
    ("ambiguous column name", "SQL names an ambiguous column"),
)
_encode = json.JSONEncoder(ensure_ascii=False).encode


class Unusable(Exception):
    """A row that is left out: `reason` is one of a few classes, `detail` is SQLite's message, if any."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


@dataclass(slots=True)
class Checked:
    """The rows of a chunk after the check, as JSON lines, and the number of rejects for each reason."""

    source: str
    position: int
    kept: list[str] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)


class Checker:
    """Brings rows into the canonical form or rejects them; use it in a `with` statement.

    `comments`: whether schemas keep the comments of columns.
    """

    def __init__(self, settings: Prepare, comments: bool = False) -> None:
        self._names_exist = settings.sql_check != "parse"
        columns = settings.columns
        named = (columns["question"], columns["schema"], columns["sql"]) if columns else None
        self._shapes = (named,) if named else SHAPES
        self._plain = PlainCheck()
        runs = settings.sql_check == "execute"
        self._schemas = Schemas(settings.insert_rows, comments, runs)
        self._runner = _Runner() if runs else None

    def __enter__(self) -> Checker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._plain.close()
        self._schemas.close()
        if self._runner:
            self._runner.close()

    def check_chunk(self, chunk: Chunk) -> Checked:
        """Check all rows of a chunk; the id of a row is SOURCE:NUMBER."""
        checked = Checked(chunk.source, chunk.position)
        for number, (text, value) in enumerate(chunk.rows, chunk.first):
            try:
                row = self.training_row(chunk.source, number, value)
                checked.kept.append(_encode(_fields(row)))
            except Unusable as fault:
                checked.reasons[fault.reason] += 1
                checked.rejected.append(_rejected(chunk.source, number, fault, text))
        return checked

    def training_row(self, source: str, number: int, value: object) -> TrainingRow:
        """The canonical row.

        The schema becomes CREATE TABLE text in the same form as the test schemas (NOT NULL and the like are
        left out, and INSERTs unless `insert_rows` wants them); the SQL stays as it is, without a final
        semicolon and without the names of schemas, which SQLite does not have.

        Raises:
            Unusable: `value` is not a usable row.
        """
        question, schema, sql = self._texts(value)
        sql = sql.rstrip("; \t\r\n")
        _require_size(question, sql)
        ddl = None if self._runner else self._plain.ddl(schema, sql)
        if ddl is None:
            ddl, sql = self._check(schema, sql)
        return TrainingRow(f"{source}:{number}", source, question, ddl, sql)

    def _check(self, schema: str, sql: str) -> tuple[str, str]:
        """The schema as canonical CREATE TABLE text, and the SQL as a query on it.

        Raises:
            Unusable: the schema cannot be read, or `sql` does not pass the check.
        """
        try:
            database = self._schemas.load(schema)
        except SchemaError as error:
            raise Unusable(error.reason, error.detail) from error
        sql = database.answer(sql)
        try:
            _compile(database.connection, sql, self._names_exist)
        except Unusable as fault:
            if database.unreadable and fault.reason == "SQL names an unknown table":
                unread = "; ".join(f"{name}: {why}" for name, why in database.unreadable.items())
                raise Unusable("DDL does not execute", unread) from fault
            raise
        if self._runner:
            self._runner.run(database, sql)
        return database.ddl, sql

    def _texts(self, value: object) -> Iterator[str]:
        """Question, schema and SQL of a row, without surrounding white space.

        Raises:
            Unusable: the row has another form, or a text is missing or empty.
        """
        if not isinstance(value, dict):
            raise Unusable("not an object")
        if None in value:  # the key under which csv.DictReader puts cells beyond the header
            raise Unusable("more cells than columns")
        shape = next((shape for shape in self._shapes if all(key in value for key in shape[:2])), None)
        if shape is None:
            raise Unusable("missing question or schema")
        return (_text(value.get(key), name) for key, name in zip(shape, _NAMES, strict=True))


def _text(value: Any, name: str) -> str:
    if value is None:
        raise Unusable(f"missing {name}")
    if not isinstance(value, str):
        raise Unusable(f"{name} is not text")
    text = value.strip()
    if not text:
        raise Unusable(f"missing {name}")
    if is_unfit(text):
        raise Unusable("NUL or broken Unicode")
    return text


def is_unfit(text: str) -> bool:
    """Whether a text contains NUL, at which SQLite stops reading, or half of a surrogate pair."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return True
    return "\0" in text


def _require_size(question: str, sql: str) -> None:
    if not sql:
        raise Unusable("missing SQL")
    if len(question) > QUESTION_LENGTH:
        raise Unusable("question is too long", f"{len(question)} characters, limit {QUESTION_LENGTH}")
    if len(sql) > SQL_LENGTH:
        raise Unusable("SQL is too long", f"{len(sql)} characters, limit {SQL_LENGTH}")


def _compile(connection: Connection, sql: str, names_exist: bool) -> None:
    """Check that `sql` is one query and, with `names_exist`, that SQLite can compile it.

    Raises:
        Unusable: it is not.
    """
    if not _QUERY.match(sql):
        _require_query(sql, "")
    try:
        connection.compile(sql)
    except (sqlite3.Error, sqlite3.Warning) as error:
        said = str(error)
        reason = next((reason for start, reason in _NAME_ERRORS if said.startswith(start)), None)
        if reason is None or not names_exist:
            _require_query(sql, said)
        if names_exist:
            raise Unusable(reason or "SQL does not compile", said) from error


def _require_query(sql: str, detail: str) -> None:
    if parse_query(sql) is None:
        raise Unusable("SQL does not parse as one query", detail)


class _Runner:
    """Runs answers on the schema and the rows of their source, in the sandbox, which needs a file."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="prepare-")
        self._database: Database | None = None
        self._sandbox: Sandbox | None = None

    def run(self, database: Database, sql: str) -> None:
        """Run an answer within the limits.

        Raises:
            Unusable: it fails or exceeds a limit.
        """
        try:
            self._open(database).run(sql, time.monotonic() + RUN_SECONDS, keep=0)
        except QueryError as error:
            raise Unusable("SQL fails when run", str(error)) from error

    def close(self) -> None:
        if self._sandbox:
            self._sandbox.close()
        self._folder.cleanup()

    def _open(self, database: Database) -> Sandbox:
        if self._sandbox is None or self._database is not database:
            if self._sandbox:
                self._sandbox.close()
            path = Path(self._folder.name) / "rows.sqlite"
            path.write_bytes(database.connection.image())
            self._database, self._sandbox = database, Sandbox(path, RUN_ROWS)
        return self._sandbox


def _fields(row: TrainingRow) -> dict[str, str]:
    # dataclasses.asdict makes deep copies, which takes longer than the rest of writing a row
    return {"id": row.id, "source": row.source, "question": row.question, "ddl": row.ddl, "sql": row.sql}


def _rejected(source: str, number: int, fault: Unusable, text: str) -> str:
    row = {"source": source, "row": number, "reason": fault.reason, "detail": fault.detail, "text": text}
    return _encode(row)
