"""Training rows whose query gives what a test query gives, on the test database and on shuffled copies."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlglot import exp

from text2sql.contamination.copies import make_copies
from text2sql.contamination.databases import NO_SCHEMA, Place
from text2sql.contamination.folding import Signature, schema_signature, words
from text2sql.contamination.query_runner import Job, QueryRunner, Result
from text2sql.cpu import allowed_cores
from text2sql.databases import database_path
from text2sql.errors import UserError
from text2sql.progress import Progress
from text2sql.records import TestQuestion, TrainingRow
from text2sql.schema.queries import parse_query
from text2sql.schema.sqlite import read_sqlite

TELLING_COPIES = 2
"""Copies on which a test query must give something, so that an equal result there says anything."""

_SHARED = 0.5  # share of a row's columns, in tables of these names, that the test database must have


@dataclass(frozen=True, slots=True)
class _Gold:
    """A test question, its query and what it gives on the database (first) and on each copy."""

    place: int
    sql: str
    results: list[Result]


class SameResults:
    """The results of the test queries, in which the query of a training row finds an equal one.

    Two results are equal if their distinct rows are, in some order of the columns; if both queries sort the
    whole result, then in the same order. On a copy, where several rows may be the greatest, a query with
    LIMIT may give some of the rows that the other one gives.
    """

    def __init__(self, test: Sequence[TestQuestion], databases: Path) -> None:
        """Copy the databases of the test questions below a temporary folder, and run the test queries.

        Questions without a query or without the name of a database are left out.

        Raises:
            UserError: a database is missing or damaged; the message says how to go on.
        """
        self._folder = TemporaryDirectory(prefix="text2sql-copies-")
        asked = [(at, question) for at, question in enumerate(test) if question.gold and question.db_id]
        self._schemas = {name: _schema(databases, name) for name in {q.db_id: 0 for _, q in asked}}
        self._names = {name.casefold(): name for name in self._schemas}
        self._files = {name: self._copy(databases, name) for name in self._schemas}
        self._tables = {name: {table for table, _ in schema} for name, schema in self._schemas.items()}
        self._golds = self._run_golds(asked)
        wanted = {name: frozenset(key for n, key in self._golds if n == name) for name in self._files}
        self._runner = QueryRunner(self._files, allowed_cores(), wanted)
        self._known: dict[Job, int | None] = {}

    def close(self) -> None:
        """End the processes and remove the copies."""
        self._runner.close()
        self._folder.cleanup()

    def find(
        self, rows: Sequence[TrainingRow], place_of: Callable[[TrainingRow], Place | None]
    ) -> list[int | None]:
        """The number of the first test question with the result of each row's query, or None."""
        jobs = [[(name, row.sql) for name in self._databases_of(row, place_of)] for row in rows]
        fresh = list(dict.fromkeys(job for some in jobs for job in some if job not in self._known))
        for job, results in zip(fresh, self._runner.run(fresh), strict=True):
            self._known[job] = self._same(job, results) if results else None
        found = ([at for job in some if (at := self._known[job]) is not None] for some in jobs)
        return [min(places, default=None) for places in found]

    def _databases_of(
        self, row: TrainingRow, place_of: Callable[[TrainingRow], Place | None]
    ) -> Iterator[str]:
        """The test databases that a row's query may be on: the one of its name, or those with its tables."""
        named = self._names.get(row.db_id.casefold())
        if named:
            yield named
            return
        present = words(row.sql)
        names = [name for name, tables in self._tables.items() if _names_one(tables, present)]
        place = place_of(row) if names else None
        if place:
            yield from (name for name in names if _fits(place.signature, self._schemas[name]))

    def _same(self, job: Job, results: list[Result]) -> int | None:
        golds = self._golds.get((job[0], results[0].as_set), ())
        return next((gold.place for gold in golds if _equal(gold, job[1], results)), None)

    def _copy(self, databases: Path, name: str) -> list[Path]:
        folder = Path(self._folder.name) / str(len(list(Path(self._folder.name).iterdir())))
        folder.mkdir()
        return [database_path(databases, name), *make_copies(databases, name, folder)]

    def _run_golds(
        self, asked: Sequence[tuple[int, TestQuestion]]
    ) -> Mapping[tuple[str, bytes], list[_Gold]]:
        progress = Progress(len(asked), "test queries", "same_result")
        jobs = [(question.db_id, question.gold) for _, question in asked]
        with closing(QueryRunner(self._files, allowed_cores())) as runner:
            ran = runner.run(jobs, progress.advance)
        found: dict[tuple[str, bytes], list[_Gold]] = {}
        for (place, question), results in zip(asked, ran, strict=True):
            if results and is_telling(results):
                gold = _Gold(place, question.gold, results)
                found.setdefault((question.db_id, results[0].as_set), []).append(gold)
        return found


def is_telling(results: Sequence[Result]) -> bool:
    """Whether an equal result of another query says anything: it is not empty, and the copies differ."""
    something = [result for result in results[1:] if not result.is_nothing]
    differ = len({result.as_set for result in results}) > 1
    return not results[0].is_nothing and len(something) >= TELLING_COPIES and differ


def _equal(gold: _Gold, sql: str, results: Sequence[Result]) -> bool:
    one, other = _sorting(gold.sql), _sorting(sql)
    is_sorted = (one.whole or other.whole) and results[0].rows > 1
    if is_sorted and (one.whole != other.whole or gold.results[0].as_list != results[0].as_list):
        return False
    limited = one.limited or other.limited
    pairs = zip(gold.results[1:], results[1:], strict=True)
    return all(mine.as_set == its.as_set or (limited and _nested(mine, its)) for mine, its in pairs)


def _nested(one: Result, other: Result) -> bool:
    if one.few is None or other.few is None or not (one.few and other.few):
        return False
    return one.few <= other.few or other.few <= one.few


@dataclass(frozen=True, slots=True)
class _Sorting:
    """Whether a query sorts its whole result, and whether it takes some rows of an order."""

    whole: bool
    limited: bool


@functools.lru_cache(maxsize=8_192)
def _sorting(sql: str) -> _Sorting:
    tree = parse_query(sql)
    if tree is None:
        return _Sorting(False, False)
    limited = tree.find(exp.Limit) is not None
    return _Sorting(bool(tree.args.get("order")) and not tree.args.get("limit"), limited)


def _schema(databases: Path, name: str) -> Signature:
    try:
        return schema_signature(read_sqlite(database_path(databases, name)))
    except UserError as error:
        raise UserError(f"{error}; or leave out the rule same_result, which needs it") from error


def _names_one(tables: set[str], present: set[str]) -> bool:
    return any(table in present or (len(parts := words(table)) > 1 and parts <= present) for table in tables)


def _fits(mine: Signature, test: Signature) -> bool:
    """Whether a row's schema may be that of a test database; a row often shows invented columns as well."""
    if mine == NO_SCHEMA:
        return True
    tables = {table for table, _ in test}
    named = [pair for pair in mine if pair[0] in tables]
    return bool(named) and sum(pair in test for pair in named) >= _SHARED * len(named)
