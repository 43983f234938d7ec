"""Makes test suites: for each database, variants that tell its gold queries from their near-misses.

Candidates are made for each database, all gold queries and near-misses run on each of them, and the few
that tell the most apart are kept. The idea is that of Zhong, Yu, Klein, "Semantic Evaluation for
Text-to-SQL with Distilled Test Suites", EMNLP 2020 (https://arxiv.org/abs/2010.02840).

All work is kept in the work store by database: a killed run resumes, and a database whose rows and gold
queries are the same is not worked on again. The same seed gives the same bytes.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, astuple, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from text2sql.errors import UserError
from text2sql.evaluation.execution.suite import DatabaseSuite, write_manifest
from text2sql.files import read_json, replacing_folder, write_json, write_jsonl
from text2sql.processes import spread
from text2sql.progress import Progress
from text2sql.schema.database_files import find_database
from text2sql.schema.ddl import quote_name
from text2sql.schema.model import Schema
from text2sql.schema.sqlite import read_sqlite
from text2sql.suites.constraints import read_constraints
from text2sql.suites.equality import proved_equal
from text2sql.suites.facts import DatabaseFacts, opened, read_facts, unreadable
from text2sql.suites.near_misses import HELD_OUT, KINDS, near_misses
from text2sql.suites.output import QUALITY
from text2sql.suites.select import choose
from text2sql.suites.settings import SuiteSettings
from text2sql.suites.trial import Outcome, Pairs, run_form, try_pairs
from text2sql.suites.variants import constants, write_variant
from text2sql.workstore import WorkStore, hash_path, locked

VERSION = 3
"""Raise it when the same input gives other suites."""

_CANDIDATES = 80  # of a database, some of which are kept
_NEAR_MISSES = 60  # of a gold query, to make suites with
_HELD_OUT_NEAR_MISSES = 20  # of a gold query, to measure suites on
_VALUES = 40  # of a column, for near-misses


@dataclass(frozen=True, slots=True)
class Counts:
    """Near-misses: how many the original database and the whole suite tell apart, and how many others are
    proved to mean the same as the gold query.
    """

    near_misses: int = 0
    by_original: int = 0
    told: int = 0
    equal: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def shares(self) -> dict[str, float | int | None]:
        """Numbers, and shares told apart in percent of those not proved equal; null if there are none."""
        whole = self.near_misses - self.equal
        found = {"told": self.told, "told_by_original": self.by_original}
        percents = {name: round(100 * n / whole, 1) if whole else None for name, n in found.items()}
        return {"near_misses": self.near_misses, "proved_equal": self.equal, **percents}


@dataclass(frozen=True, slots=True)
class GoldQuality:
    """How well a suite tells one gold query from its near-misses.

    `kinds` counts the near-misses by kind. `equal` are the reasons why some are proved to mean the same, with
    their numbers, and `open` the near-misses that are neither told apart nor proved equal, as SQL.
    `undecided` is the number of made databases on which the gold decides nothing.
    """

    db_id: str
    gold: str
    kinds: dict[str, Counts]
    equal: dict[str, int]
    open: list[str]
    undecided: int

    def counts(self, held_out: bool) -> Counts:
        """The sum over the kinds that suites are made with, or over the others."""
        return sum((n for kind, n in self.kinds.items() if (kind in HELD_OUT) is held_out), Counts())


@dataclass(frozen=True)
class _Job:
    """The work on one database: its file and hash, gold queries, work folder and seed."""

    db_id: str
    file: Path
    sha256: str
    golds: tuple[str, ...]
    folder: Path
    seed: int

    @cached_property
    def facts(self) -> DatabaseFacts:
        return read_facts(self.file)

    @cached_property
    def prepared(self) -> list[dict[str, Any]]:
        """What `_prepare` wrote: for each gold query its near-misses and their kinds."""
        found: list[dict[str, Any]] = read_json(self.folder / "pairs.json")
        return found

    @cached_property
    def pairs(self) -> list[Pairs]:
        return [Pairs(row["gold"], tuple(row["near_misses"])) for row in self.prepared]

    @cached_property
    def used(self) -> int:
        """A bit for each near-miss, 1 where suites are made with its kind."""
        kinds = [kind for row in self.prepared for kind in row["kinds"]]
        return sum(1 << bit for bit, kind in enumerate(kinds) if kind not in HELD_OUT)

    @cached_property
    def wanted(self) -> Mapping[tuple[str, str], list[Any]]:
        return constants(self.golds, self.facts)

    def candidate(self, number: int) -> Path:
        return self.folder / f"{number:03}.sqlite"

    def outcome(self, number: int | None) -> Path:
        """The file with the outcome of a candidate, or of the original database (None)."""
        return self.folder / ("original.json" if number is None else f"{number:03}.json")


def make_suites(
    golds: Mapping[str, Sequence[str]],
    databases: Path,
    output: Path,
    settings: SuiteSettings,
    *,
    processes: int,
    candidates: int = _CANDIDATES,
) -> list[GoldQuality]:
    """Write a suite for the gold queries of each database below `output`; return the quality of each gold.

    `golds` are by db_id. `output` gets ID/ID_NUMBER.sqlite, suite.json (see
    `text2sql.evaluation.execution.suite`) and quality.jsonl with a row for each distinct gold query.

    Raises:
        UserError: a database is missing or damaged.
    """
    store = WorkStore.from_environment()
    jobs = [_job(store, db_id, databases, found, settings.seed) for db_id, found in sorted(golds.items())]
    with ExitStack() as stack:
        for job in jobs:
            stack.enter_context(locked(job.folder))
        if settings.databases:
            _run(jobs, candidates, processes)
        with replacing_folder(output) as folder:
            found = [_publish(job, folder, candidates, settings.databases) for job in jobs]
            manifest = {job.db_id: suite for job, (suite, _) in zip(jobs, found, strict=True)}
            write_manifest(folder, settings.seed, manifest)
            quality = [row for _, rows in found for row in rows]
            write_jsonl(folder / QUALITY, map(asdict, quality))
    return quality


def _job(store: WorkStore, db_id: str, databases: Path, golds: Sequence[str], seed: int) -> _Job:
    file = find_database(databases, db_id)
    if not file.is_file():
        raise UserError(
            f"{file}: no such file; each db_id of the gold queries needs an ID/ID.sqlite or ID.sqlite"
        )
    distinct = tuple(dict.fromkeys(golds))
    sha256 = hash_path(file)
    key = {"version": VERSION, "database": sha256, "golds": distinct, "seed": seed}
    return _Job(db_id, file, sha256, distinct, store.open("make_suites", key), seed)


# -- the work, in processes --


def _run(jobs: Sequence[_Job], candidates: int, processes: int) -> None:
    """Do for every database what is not done yet."""
    _spread(
        _prepare,
        [job for job in jobs if not (job.folder / "pairs.json").is_file()],
        processes,
        "gold queries",
    )
    numbers: list[int | None] = [None, *range(candidates)]
    tasks = [(job, n) for job in jobs for n in numbers if not job.outcome(n).is_file()]
    _spread(_try, tasks, processes, "candidates", done=len(jobs) * len(numbers) - len(tasks))


def _spread(
    work: Callable[[Any], None], items: Sequence[Any], processes: int, unit: str, done: int = 0
) -> None:
    progress = Progress(done + len(items), unit, "make_suites", done)
    for _ in spread(work, items, processes):
        progress.advance()


def _prepare(job: _Job) -> None:
    """Make the near-misses of each gold query."""
    schema = read_sqlite(job.file)
    values = _values(job.file, schema)
    used = [kind for kind in KINDS if kind not in HELD_OUT]
    rows = []
    for gold in job.golds:
        found = near_misses(gold, schema, values, job.seed, _NEAR_MISSES, used)
        found += near_misses(gold, schema, values, job.seed, _HELD_OUT_NEAR_MISSES, HELD_OUT)
        different = [miss for miss in found if run_form(miss.sql) != run_form(gold)]
        rows.append(
            {
                "gold": gold,
                "near_misses": [miss.sql for miss in different],
                "kinds": [miss.kind for miss in different],
            }
        )
    write_json(job.folder / "pairs.json", rows)


def _try(task: tuple[_Job, int | None]) -> None:
    """Make one candidate, or take the original database, and run all queries on it."""
    job, number = task
    if number is None:
        outcome = try_pairs(job.file, job.pairs, original=True)
    else:
        _write_candidate(job, number)
        outcome = try_pairs(job.candidate(number), job.pairs)
    write_json(job.outcome(number), {**asdict(outcome), "told": f"{outcome.told:x}"})


def _write_candidate(job: _Job, number: int) -> None:
    seed = f"{job.seed}:{number}"
    write_variant(job.file, job.candidate(number), job.facts, job.wanted, seed=seed, kind=number)


def _values(file: Path, schema: Schema) -> dict[tuple[str, str], list[Any]]:
    """Some values of each column, evenly spaced in their order, by table and column in lower case."""
    found = {}
    try:
        with opened(file) as connection:
            for table in schema.tables:
                for column in table.columns:
                    name, rows = quote_name(column.name), quote_name(table.name)
                    sql = f"SELECT DISTINCT {name} FROM (SELECT {name} FROM {rows} LIMIT 10000) ORDER BY 1"
                    values = [value for (value,) in connection.execute(sql) if value is not None]
                    step = -(-len(values) // _VALUES) or 1
                    found[table.name.lower(), column.name.lower()] = values[::step]
    except sqlite3.Error as error:
        raise unreadable(file, error) from error
    return found


# -- the result --


def _publish(job: _Job, output: Path, candidates: int, most: int) -> tuple[DatabaseSuite, list[GoldQuality]]:
    """Copy the chosen candidates of a database; return its part of the manifest, and the quality."""
    if not most:
        return DatabaseSuite(sha256=job.sha256, files={}), []
    original = _read(job.outcome(None))
    tried = {number: _read(job.outcome(number)) for number in range(candidates)}
    told = {number: outcome.told & job.used for number, outcome in tried.items()}
    chosen = sorted(choose(told, original.told & job.used, most))
    files: dict[str, list[str]] = {}
    for place, number in enumerate(chosen, 1):
        name = f"{job.db_id}_{place:02}.sqlite"
        if not job.candidate(number).is_file():
            _write_candidate(job, number)
        (output / job.db_id).mkdir(exist_ok=True)
        shutil.copyfile(job.candidate(number), output / job.db_id / name)
        files[name] = [job.golds[n] for n in tried[number].undecided]
    for number in set(tried) - set(chosen):
        job.candidate(number).unlink(missing_ok=True)
    suite = DatabaseSuite(sha256=job.sha256, files=files)
    return suite, list(_quality(job, original, [tried[number] for number in chosen]))


def _quality(job: _Job, original: Outcome, made: Sequence[Outcome]) -> Iterator[GoldQuality]:
    told = original.told
    for outcome in made:
        told |= outcome.told
    constraints, bit = read_constraints(job.file, as_filled=True), 0
    for number, row in enumerate(job.prepared):
        kinds: defaultdict[str, Counts] = defaultdict(Counts)
        reasons: Counter[str] = Counter()
        left = []
        for sql, kind in zip(row["near_misses"], row["kinds"], strict=True):
            is_told = bool(told >> bit & 1)
            reason = "" if is_told else proved_equal(row["gold"], sql, constraints)
            kinds[kind] += Counts(1, original.told >> bit & 1, int(is_told), int(bool(reason)))
            reasons.update([reason] if reason else [])
            left += [] if is_told or reason else [sql]
            bit += 1
        undecided = sum(number in outcome.undecided for outcome in made)
        equal = dict(sorted(reasons.items()))
        yield GoldQuality(job.db_id, row["gold"], dict(sorted(kinds.items())), equal, left, undecided)


def _read(path: Path) -> Outcome:
    found = read_json(path)
    return Outcome(int(found["told"], 16), tuple(found["undecided"]))


def summary(quality: Sequence[GoldQuality]) -> dict[str, Any]:
    """Counts over all gold queries: on the kinds of near-misses that suites are made with, and on the others.

    See `Counts.shares`.
    """
    return {
        "golds": len(quality),
        "used_kinds": sum((row.counts(held_out=False) for row in quality), Counts()).shares(),
        "held_out_kinds": sum((row.counts(held_out=True) for row in quality), Counts()).shares(),
    }
