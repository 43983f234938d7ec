"""SQLite and DuckDB files. Each query runs in a process of its own, which ends at the time limit."""

from __future__ import annotations

import marshal
import os
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from text2sql.errors import UserError
from text2sql.schema.model import Column, ForeignKey, Schema, Table
from text2sql.schema.sqlite import read_sqlite
from text2sql.targets.model import Dialect, Limits, QueryFailed, QueryRefused, Result

_SQLITE = b"SQLite format 3\0"  # https://www.sqlite.org/fileformat2.html#the_database_header
_DUCKDB = (8, b"DUCK")  # https://duckdb.org/docs/stable/internals/storage: after a checksum of 8 bytes
_START_S = 20.0  # a process starts in a tenth of a second, on a busy machine in seconds
_SCHEMA_S = 60.0
_PLAN_ROWS = 1000
_REMEDY = "name another database, or ask again when no other program changes it"


def file_dialect(path: Path) -> Dialect:
    """Whether a file is SQLite's or DuckDB's, by its first bytes.

    Raises:
        UserError: it is missing, unreadable, empty, or of neither.
    """
    if path.is_dir():
        raise UserError(f"{path}: is a folder; name the database file in it")
    try:
        with path.open("rb") as file:
            header = file.read(16)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; name a database file, or a URL") from error
    at, magic = _DUCKDB
    if header == _SQLITE:
        return "sqlite"
    if header[at : at + len(magic)] == magic:
        if "?" in str(path.absolute()):
            raise UserError(f"{path}: DuckDB opens no path with a question mark; copy or rename the file")
        return "duckdb"
    what = "is empty" if not header else "is neither a SQLite nor a DuckDB database"
    raise UserError(f"{path}: {what}; if it is encrypted, export it without encryption and name that file")


@dataclass(frozen=True, slots=True)
class FileTarget:
    """A database file; the functions are those of `text2sql.targets.model.Target`."""

    path: Path
    dialect: Dialect

    @property
    def label(self) -> str:
        """The file's path."""
        return str(self.path)

    def schema(self, examples: int = 0, comments: bool = False) -> Schema:
        """Its tables; `examples` and `comments` are for SQLite only."""
        if self.dialect == "sqlite":
            return self._sqlite_schema(examples, comments)
        found = _schema(self._ask({"do": "schema", **asdict(Limits())}, _SCHEMA_S))
        if not found.tables:
            raise UserError(f"{self.path}: has no table; name another database")
        return found

    def _sqlite_schema(self, examples: int, comments: bool) -> Schema:
        try:
            return read_sqlite(self.path, examples, comments)
        except UserError as error:  # its remedy is for the pipeline's databases
            reason = str(error).removeprefix(f"{self.path}: ").partition("; ")[0]
            raise UserError(f"{self.path}: {reason}; {_REMEDY}") from error

    def run(self, sql: str, limits: Limits) -> Result:
        """The result of one query."""
        return self._result({"do": "run", "sql": sql}, limits)

    def plan(self, sql: str, limits: Limits) -> list[str]:
        """The lines of the database's EXPLAIN."""
        found = self._result({"do": "plan", "sql": sql}, replace(limits, rows=_PLAN_ROWS))
        # the last column is the text: of SQLite a step, of DuckDB the whole tree
        return [line for row in found.rows for line in str(row[-1]).splitlines()]

    def _result(self, request: dict[str, Any], limits: Limits) -> Result:
        columns, rows, more = self._ask({**request, **asdict(limits)}, limits.seconds)
        return Result(tuple(columns), rows, more)

    def _ask(self, request: dict[str, Any], seconds: float) -> Any:
        """What the worker process answers.

        Raises:
            QueryRefused, QueryFailed, UserError: see `Target.run`.
        """
        # from the root, as DuckDB takes a path such as ":memory:x" or "md:x" for something else
        about = {"path": str(self.path.absolute()), "dialect": self.dialect, "parent": os.getpid()}
        command = [sys.executable, "-P", "-m", "text2sql.targets.file_worker"]
        try:
            done = subprocess.run(
                command,
                input=marshal.dumps(request | about),
                capture_output=True,
                timeout=seconds + _START_S,
            )
        except subprocess.TimeoutExpired as error:
            raise QueryFailed(f"it took more than {seconds:g} s", timeout=True) from error
        if done.returncode != 0:
            last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
            reason = last or f"exit status {done.returncode}"
            raise QueryFailed(f"its process ended ({reason}), perhaps for lack of memory")
        kind, value = marshal.loads(done.stdout)
        if kind == "result":
            return value
        if kind == "refused":
            raise QueryRefused(value)
        if kind == "failed":
            raise QueryFailed(*value)
        raise UserError(f"{self.path}: {value}")


def _schema(tables: list[dict[str, Any]]) -> Schema:
    """The schema that the worker process reads from DuckDB."""
    return Schema(
        tuple(
            Table(
                table["name"],
                tuple(Column(*column) for column in table["columns"]),
                tuple(table["primary_key"]),
                tuple(ForeignKey(tuple(own), to, tuple(theirs)) for own, to, theirs in table["foreign_keys"]),
            )
            for table in tables
        )
    )
