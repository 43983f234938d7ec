"""Whether a training row can be used, and if not, why.

SQLite decides whether the SQL is a query and whether its tables and columns exist: it compiles the query on
the row's schema. Only queries that it refuses are also parsed, which takes five times as long, and tried as
queries of other dialects. text2sql/preparation/meaning.py finds what SQLite compiles and has no sense.
"""

from __future__ import annotations

import json
import re
import sqlite3
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from text2sql.evaluation.execution.sandbox import QueryError, Sandbox
from text2sql.preparation import meaning
from text2sql.preparation.named_schemas import NamedSchemas
from text2sql.preparation.plain import PlainCheck
from text2sql.preparation.rejects import Unusable
from text2sql.preparation.schemas import Connection, Database, SchemaError, Schemas
from text2sql.preparation.settings import Prepare, TrainingSource
from text2sql.preparation.shapes import Fields, fields_of
from text2sql.preparation.sources import BadLine, Chunk
from text2sql.preparation.transpile import candidates
from text2sql.prompts import with_evidence
from text2sql.records import TrainingRow
from text2sql.schema.queries import SQL_LENGTH, parse_query

QUESTION_LENGTH = 20_000
"""Most characters of a question; a longer one would be truncated in every prompt."""

RUN_SECONDS, RUN_ROWS = 2.0, 100_000
"""Limits of time and of rows for an answer that is run."""

_QUERY = re.compile(r"(select|with)\b", re.IGNORECASE)
# SQLite has one error code for all of these; only its messages differ.
_NAME_ERRORS = (
    ("no such table", "SQL names an unknown table"),
    ("no such column", "SQL names an unknown column"),
    ("no such function", "SQL calls an unknown function"),
    ("ambiguous column name", "SQL names an ambiguous column"),
)
# Reasons after which SQL is tried as another dialect; with an unknown table or column that would not help.
_OF_DIALECT = ("SQL does not compile", "SQL does not parse as one query", "SQL calls an unknown function")
_encode = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(slots=True)
class Checked:
    """The rows of a chunk after the check, as JSON lines, and the number of rejects for each reason.

    `notes` counts kept rows of which something was changed or skipped, by what it was. `columns`: those of
    the source's `columns` that a row has; `keys`: those of the first row, where there are `columns`.
    """

    source: str
    position: int
    kept: list[str] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    columns: set[str] = field(default_factory=set)
    keys: tuple[str, ...] = ()


class Checker:
    """Brings rows into the canonical form or rejects them; use it in a `with` statement.

    `schemas` is the folder with SOURCE.json, the schemas of databases by id, for rows that only name one.
    `comments`: whether schemas keep the comments of columns.
    """

    def __init__(self, settings: Prepare, schemas: Path | None = None, comments: bool = False) -> None:
        runs = settings.sql_check == "execute"
        self._settings = settings
        self._names_exist = settings.sql_check != "parse"
        self._plain = PlainCheck()
        self._schemas = Schemas(settings.insert_rows, comments, runs)
        self._named = NamedSchemas(schemas)
        self._runner = _Runner() if runs else None
        self._notes: Counter[str] = Counter()  # of the row that is checked

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
        columns = set((self._settings.source(chunk.source).columns or {}).values())
        for number, (text, value) in enumerate(chunk.rows, chunk.first):
            if columns and isinstance(value, dict):
                checked.columns |= columns & value.keys()
                checked.keys = checked.keys or tuple(map(str, value))
            try:
                row = self.training_row(chunk.source, number, value)
                checked.kept.append(_encode(_fields(row)))
                if self._notes:
                    checked.notes.update(self._notes)
            except Unusable as fault:
                checked.reasons[fault.reason] += 1
                checked.rejected.append(_rejected(chunk.source, number, fault, text))
        return checked

    def training_row(self, source: str, number: int, value: object) -> TrainingRow:
        """The canonical row.

        The schema becomes CREATE TABLE text in the same form as the test schemas (NOT NULL and the like are
        left out, and INSERTs unless `insert_rows` wants them); SQLite's SQL stays as it is, without a final
        semicolon and without the names of schemas, which SQLite does not have. With `as_written` all texts
        stay as they are.

        Raises:
            Unusable: `value` is not a usable row.
        """
        self._notes.clear()
        found = self._found(source, value)
        db_id = _optional(str(found.db_id) if isinstance(found.db_id, int) else found.db_id, "db_id")
        if self._settings.as_written:
            return self._unchecked(f"{source}:{number}", source, found, db_id)
        schema = _optional(found.schema, "schema") or self._named.schema(source, db_id)
        sql = _text(found.sql, "SQL").rstrip("; \t\r\n")
        question = with_evidence(_text(found.question, "question"), _optional(found.evidence, "evidence"))
        _require_size(question, sql)
        ddl, sql = self._on_schema(source, schema, sql)
        fault = meaning.fault(sql, ddl) if self._names_exist else None
        if fault:
            raise Unusable(*fault)
        return TrainingRow(f"{source}:{number}", source, question, ddl, sql, db_id)

    def _unchecked(self, row_id: str, source: str, found: Fields, db_id: str) -> TrainingRow:
        """The row with the texts of its file, white space and final semicolons included.

        Raises:
            Unusable: a text is missing, blank or cannot be written.
        """
        for value, name in ((found.question, "question"), (found.sql, "SQL")):
            _text(value, name)
        evidence = _optional(found.evidence, "evidence")
        question = with_evidence(found.question, evidence) if evidence else found.question
        schema = found.schema if _optional(found.schema, "schema") else self._named.schema(source, db_id)
        return TrainingRow(row_id, source, question, schema, found.sql, db_id)

    def _found(self, source: str, value: object) -> Fields:
        """The fields of a row.

        Raises:
            Unusable: the row is damaged or of an unknown form.
        """
        if isinstance(value, BadLine):
            raise Unusable(value.reason, value.detail)
        if not isinstance(value, dict):
            raise Unusable("not an object")
        if None in value:  # the key under which csv.DictReader puts cells beyond the header
            raise Unusable("more cells than columns")
        found = fields_of(value, self._settings.source(source).columns)
        if found is None or found.sql is None or found.question is None:
            lacks = "missing SQL" if found and found.sql is None else "missing question"
            keys = f"its keys are {', '.join(map(str, value)) or 'none'}"
            raise Unusable(lacks if found else "unknown form of row", keys)
        return found

    def _on_schema(self, source: str, schema: str, sql: str) -> tuple[str, str]:
        """The schema as canonical CREATE TABLE text, and the SQL as a query on it.

        Raises:
            Unusable: the schema cannot be read, or `sql` does not pass the check.
        """
        own = self._settings.source(source)
        usual = self._runner is None and own.dialect in (None, "sqlite")
        ddl = self._plain.ddl(schema, sql) if usual else None
        return (ddl, sql) if ddl is not None else self._check(schema, sql, own)

    def _check(self, schema: str, sql: str, own: TrainingSource) -> tuple[str, str]:
        try:
            database = self._schemas.load(schema, own.dialect)
        except SchemaError as error:
            raise Unusable(error.reason, error.detail) from error
        try:
            sql = self._answer(database, database.answer(sql), own)
        except Unusable as fault:
            if database.unreadable and fault.reason == "SQL names an unknown table":
                unread = "; ".join(f"{name}: {why}" for name, why in database.unreadable.items())
                raise Unusable("DDL does not execute", unread) from fault
            raise
        self._notes.update(f"schema without its {kind}" for kind in database.skipped)
        self._notes.update("schema without a table that cannot be read" for _ in database.unreadable)
        return database.ddl, sql

    def _answer(self, database: Database, sql: str, own: TrainingSource) -> str:
        """The SQL as SQLite's, or as it is where that is asked for.

        Raises:
            Unusable: it is not a query that passes the check, in SQLite's dialect or in another.
        """
        dialect, on_dialect = own.dialect, own.on_dialect or self._settings.on_dialect
        if dialect in (None, "sqlite") or on_dialect == "reject":
            try:
                return self._pass(database, sql)
            except Unusable as fault:
                if not _may_be_dialect(fault, dialect):
                    raise
                refusal = fault
        else:
            refusal = Unusable(f"SQL is not {dialect}, or SQLite has nothing like it")
        for name, translated in candidates(sql, dialect):
            try:
                passed = self._pass(database, translated)
            except Unusable as fault:
                refusal = fault if dialect else refusal
                continue
            if name == "sqlite":
                self._notes["SQL without the names of schemas"] += 1
                return passed
            if on_dialect == "reject":
                raise Unusable("SQL is of another dialect", name) from refusal
            self._notes[f"SQL {'translated from' if on_dialect == 'transpile' else 'kept in'} {name}"] += 1
            return passed if on_dialect == "transpile" else sql
        raise refusal

    def _pass(self, database: Database, sql: str) -> str:
        """`sql`, which passes the check.

        Raises:
            Unusable: it does not.
        """
        _compile(database.connection, sql, self._names_exist)
        if self._runner:
            self._runner.run(database, sql)
        return sql


def _may_be_dialect(fault: Unusable, dialect: str | None) -> bool:
    """Whether SQL that SQLite does not take may be of another dialect, or names schemas."""
    schemas = fault.detail.startswith("no such table: ") and "." in fault.detail.partition(": ")[2]
    return schemas or (dialect is None and fault.reason in _OF_DIALECT)


def _optional(value: Any, name: str) -> str:
    """The text of a field that may be missing, then ""."""
    return "" if not value or (isinstance(value, str) and not value.strip()) else _text(value, name)


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
    fields = {"id": row.id, "source": row.source, "question": row.question, "ddl": row.ddl, "sql": row.sql}
    return {**fields, "db_id": row.db_id} if row.db_id else fields


def _rejected(source: str, number: int, fault: Unusable, text: str) -> str:
    row = {"source": source, "row": number, "reason": fault.reason, "detail": fault.detail, "text": text}
    return _encode(row)
