"""What every database that a user asks has in common: its schema, and queries that only read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from text2sql.schema.model import Schema

Dialect = Literal["sqlite", "duckdb", "postgres", "mysql"]
"""sqlglot's names of the SQL dialects; MariaDB counts as mysql."""

Value = str | int | float | bytes | bool | None
Row = tuple[Value, ...]

RESULT_BYTES = 32_000_000
"""Size at which a result ends, besides its number of rows: text and blobs may be of any length."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one query: its time in seconds, and the number of rows that are kept of its result."""

    seconds: float = 30.0
    rows: int = 100


@dataclass(frozen=True, slots=True)
class Result:
    """Column names and rows; `more` says that the query has further rows, which were left out."""

    columns: tuple[str, ...]
    rows: list[Row]
    more: bool = False


class QueryRefused(Exception):
    """A text that is not run, because it is not one query that only reads."""


class QueryFailed(Exception):
    """The database's message about a query that failed; `timeout`: it took too long."""

    def __init__(self, message: str, timeout: bool = False) -> None:
        super().__init__(message)
        self.timeout = timeout


class Target(Protocol):
    """A database that can only be read."""

    @property
    def label(self) -> str:
        """Its name in messages; never with a password."""

    @property
    def dialect(self) -> Dialect:
        """The SQL that it understands."""

    def schema(self, examples: int = 0, comments: bool = False) -> Schema:
        """Its tables. `examples` is the number of example values of a column, for SQLite only.

        Raises:
            UserError: the database cannot be read, or has no table.
        """

    def run(self, sql: str, limits: Limits) -> Result:
        """The result of one query in the database's dialect.

        Raises:
            QueryRefused: the text is not one query that only reads.
            QueryFailed: the query fails, or takes too long.
            UserError: the database cannot be reached.
        """

    def plan(self, sql: str, limits: Limits) -> list[str]:
        """The lines of the database's EXPLAIN for a query, which is not run. Raises: as `run`."""


def plain(value: Any) -> Value:
    """A database's value as one that JSON, CSV and every process know.

    Dates and exact numbers are text; arrays, structs and JSON are JSON's text.
    """
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, dict | list):
        return json.dumps(value, default=str, ensure_ascii=False)
    return str(value)
