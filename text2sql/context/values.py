"""The values of a database's columns, read once and kept in the work store.

Bounds, so that a database of any size takes about a second for 100 MB: of a table with more rows than `CELLS`
divided by the number of all columns, every k-th row is read, or the first rows where none has such a number;
of a column at most `VALUES` distinct texts are kept, the first ones, and fewer where all columns together
have more than `TEXTS`. `limits` names the tables and columns of which these bounds left something out. A text
of more than `CHARACTERS` characters is never kept.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path

from text2sql.context.settings import EXAMPLES
from text2sql.errors import UserError
from text2sql.files import replacing
from text2sql.schema.ddl import quote_name, read_connection
from text2sql.workstore import WorkStore, hash_path, locked

CELLS = 1_000_000
VALUES = 10_000
TEXTS = 50_000
CHARACTERS = 100
_VERSION = 2  # of what is kept
_EXAMPLE_CHARACTERS = 60  # longer texts do not show how values are spelled, and fill the prompt


@dataclass(frozen=True, slots=True)
class ColumnValues:
    """Distinct texts of a column, and its first distinct numbers as SQLite writes them."""

    table: str
    column: str
    texts: Sequence[str]
    numbers: Sequence[str] = ()

    def examples(self, count: int) -> list[str]:
        """The first values as SQL: texts in quotes, numbers without."""
        texts = [text for text in self.texts if len(text) <= _EXAMPLE_CHARACTERS]
        return [*map(quoted, texts[:count]), *self.numbers][:count]


@dataclass(frozen=True, slots=True)
class DatabaseValues:
    """The values of a database; `limits`: what a bound left out, `unreadable`: tables, with the reason."""

    columns: Sequence[ColumnValues]
    limits: Sequence[str] = ()
    unreadable: dict[str, str] = field(default_factory=dict)


def database_values(file: Path, store: WorkStore) -> DatabaseValues:
    """The values of a database file; a file with these bytes that was read before is not read again.

    Raises:
        UserError: the file is missing, is not a SQLite database, is damaged, or has no table.
    """
    if not file.is_file():
        raise UserError(f"{file}: no such database file; in the pipeline: dvc repro fetch_data")
    bounds = [CELLS, VALUES, TEXTS, CHARACTERS]
    key = {"version": _VERSION, "bounds": bounds, "database": hash_path(file)}
    folder = store.open("add_context", key)
    with locked(folder):
        path = folder / "values.json"
        if kept := _kept(path):
            return kept
        values = read_values(file)
        with replacing(path) as output:
            json.dump(asdict(values), output, ensure_ascii=False)
        return values


def _kept(path: Path) -> DatabaseValues | None:
    """What an earlier run kept; None if there is nothing or the file is torn, as after a loss of power."""
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        columns = [ColumnValues(**column) for column in found["columns"]]
        return DatabaseValues(columns, found["limits"], found["unreadable"])
    except (ValueError, KeyError, TypeError):
        return None


def read_values(file: Path) -> DatabaseValues:
    """Read the values of a database file, which is opened read-only and as immutable: no lock counts.

    Texts that are blank, not UTF-8 or not printable are left out, and so are infinite numbers, blobs and
    views.
    Not covered: transactions in a -wal file beside it.

    Raises:
        UserError: it is not a SQLite database, is damaged, or has no table.
    """
    address = f"{file.resolve().as_uri()}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(address, uri=True)) as connection:
            connection.execute("PRAGMA temp_store = memory")
            unreadable: dict[str, str] = {}
            tables = read_connection(connection, unreadable=unreadable).tables
            if not tables and not unreadable:
                raise UserError(f"{file}: has no table; put a complete database there")
            connection.text_factory = bytes  # not every text in a database is UTF-8
            columns = sum(len(table.columns) for table in tables)
            reader = _Reader(connection, max(columns, 1), unreadable)
            for table in tables:
                reader.read(table.name, [column.name for column in table.columns])
    except (sqlite3.Error, UnicodeDecodeError) as error:  # names and messages may be no UTF-8
        raise UserError(f"{file}: SQLite cannot read it ({error}); put a complete database there") from error
    return DatabaseValues(reader.columns, reader.limits, unreadable)


def quoted(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


class _Reader:
    """Reads one table after another within the bounds."""

    def __init__(self, connection: sqlite3.Connection, columns: int, unreadable: dict[str, str]) -> None:
        """`columns`: those of the whole database."""
        self.columns: list[ColumnValues] = []
        self._connection, self._unreadable = connection, unreadable
        self._rows = CELLS // columns
        self._sampled: list[str] = []
        self._cut: set[tuple[str, str]] = set()
        self._most = VALUES  # texts of a column; fewer where all columns have more than `TEXTS`

    @property
    def limits(self) -> list[str]:
        """What the bounds left out."""
        cut = [f"{table}.{column}: {self._most} distinct texts" for table, column in sorted(self._cut)]
        return [*self._sampled, *cut]

    def read(self, table: str, columns: Sequence[str]) -> None:
        """Read a table; one whose rows cannot be read, such as a virtual table, becomes unreadable."""
        try:
            source = self._sample(table)
            self.columns += [self._column(table, column, source) for column in columns]
        except sqlite3.OperationalError as error:
            self._unreadable[table] = str(error)
        self._trim()

    def _sample(self, table: str) -> str:
        """The table as it is, or a temporary one with every k-th of its rows; quoted."""
        name = f"main.{quote_name(table)}"  # a temporary table of the same name would come first
        (rows,) = self._connection.execute(f"SELECT count(*) FROM {name}").fetchone()
        if rows <= self._rows:
            return name
        step = -(-rows // self._rows)
        condition = f"WHERE rowid % {step} = 0"
        if self._has_rows(f"{name} {condition}"):
            self._sampled.append(f"{table}: every row whose number is a multiple of {step}")
        else:
            condition = ""
            self._sampled.append(f"{table}: the first {self._rows} rows")
        self._connection.execute("DROP TABLE IF EXISTS temp.sample")
        self._connection.execute(
            f"CREATE TEMP TABLE sample AS SELECT * FROM {name} {condition} LIMIT {self._rows}"
        )
        return "temp.sample"

    def _has_rows(self, source: str) -> bool:
        """False also for rows chosen by number of a table WITHOUT ROWID."""
        try:
            return self._connection.execute(f"SELECT 1 FROM {source} LIMIT 1").fetchone() is not None
        except sqlite3.OperationalError:
            return False

    def _column(self, table: str, column: str, source: str) -> ColumnValues:
        texts = list(islice(self._texts(column, source), self._most + 1))
        if len(texts) > self._most:
            self._cut.add((table, column))
            del texts[self._most :]
        numbers = self._numbers(column, source) if len(texts) < EXAMPLES else []
        return ColumnValues(table, column, texts, numbers)

    def _trim(self) -> None:
        """Shorten the longest columns so that all have at most `TEXTS` texts; short ones stay whole."""
        sizes = sorted((len(column.texts) for column in self.columns), reverse=True)
        if sum(sizes) <= TEXTS:
            return
        rest, self._most = TEXTS, 0
        for at, size in enumerate(reversed(sizes)):
            self._most = rest // (len(sizes) - at)
            if size > self._most:
                break
            rest -= size
        self._cut |= {(c.table, c.column) for c in self.columns if len(c.texts) > self._most}
        self.columns = [replace(c, texts=c.texts[: self._most]) for c in self.columns]

    def _texts(self, column: str, source: str) -> Iterator[str]:
        name = quote_name(column)
        rows = self._connection.execute(
            f"SELECT DISTINCT {name} FROM {source}"
            f" WHERE typeof({name}) = 'text' AND length({name}) <= {CHARACTERS}"
        )
        for (value,) in rows:
            text = value.decode("utf-8", "surrogateescape")
            # text that is not UTF-8 counts as unprintable
            if text.isprintable() and text.strip():
                yield text

    def _numbers(self, column: str, source: str) -> list[str]:
        name = quote_name(column)
        rows = self._connection.execute(
            f"SELECT DISTINCT {name} FROM {source}"
            f" WHERE typeof({name}) IN ('integer', 'real') AND {name} > -9e999 AND {name} < 9e999"
            f" LIMIT {EXAMPLES}"
        )
        return [str(value) for (value,) in rows]
