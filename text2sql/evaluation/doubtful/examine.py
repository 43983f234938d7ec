"""Examines one gold query on its database: the work of a worker process.

The query runs in the sandbox of text2sql/evaluation/execution, and so do all rewritten ones.
Not covered: only ID/ID.sqlite (or ID.sqlite) is used, not further databases in its folder.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlglot import exp

from text2sql.errors import UserError
from text2sql.evaluation.case_judge import Phase, WorkerLoss
from text2sql.evaluation.doubtful.reasons import Finding
from text2sql.evaluation.doubtful.reversed_rows import NotCopied, write_reversed
from text2sql.evaluation.doubtful.rewriting import Suspicion, text_of
from text2sql.evaluation.doubtful.text import order_patterns, order_suspicions, todays_date
from text2sql.evaluation.doubtful.types import Types, type_suspicions, types_of
from text2sql.evaluation.execution.databases import Databases
from text2sql.evaluation.execution.equivalence import same_result
from text2sql.evaluation.execution.sandbox import DatabaseError, QueryError, Row
from text2sql.evaluation.settings import EvaluationSettings
from text2sql.evaluation.spider.rewrite import order_matters, replace_year, rewrite_gold
from text2sql.schema.database_files import find_database
from text2sql.schema.queries import parse_query
from text2sql.schema.sqlite import read_sqlite

_DIGITS = 9  # of a fraction; sums in another order differ in the last digits
_ORDERED = ("limit_ties", "limit_without_order", "order_not_asked")


@dataclass(frozen=True, slots=True)
class GoldCase:
    """A gold query, and the other golds for the same question, with the names of their rows."""

    db_id: str
    gold: str
    rivals: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found; `unchecked` says what could not be run ("" if all was), `error` is for the pool."""

    findings: tuple[Finding, ...]
    unchecked: str = ""
    error: str | None = None


@dataclass(frozen=True, slots=True)
class _Run:
    """A gold query that ran: its SQL, tree (None if sqlglot cannot parse it), file and rows."""

    sql: str
    tree: exp.Query | None
    file: Path
    rows: list[Row]
    deadline: float


def runnable(gold: str) -> str:
    """The SQL that is run for a gold query: as the evaluator has it, with DISTINCT."""
    return replace_year(rewrite_gold(gold, keep_distinct=True))


def examine_text(gold: str, types: Types | None = None) -> tuple[Finding, ...]:
    """What the text of a query says, without a database; `types` are the types of its columns if known."""
    sql = runnable(gold)
    tree = parse_query(sql)
    found = [
        Finding(each.reason, each.why, _text_effect(each))
        for each in _suspicions(sql, tree, types, None)
        if each.listed
    ]
    patterns = order_patterns(tree) if tree else []
    return tuple(_once([*found, *(Finding("order_not_asked", why) for why in patterns)]))


class Examiner:
    """Examines gold queries one by one, as a `Judge` of the pool.

    `databases` has ID/ID.sqlite or ID.sqlite; `scratch` is an empty folder for copies of the databases.
    """

    def __init__(self, databases: Path, settings: EvaluationSettings, scratch: Path) -> None:
        self._folder, self._settings, self._scratch = databases, settings, scratch
        self._databases = Databases(settings.max_rows)
        self._in_gold = False
        self._types = lru_cache(maxsize=1024)(lambda file: types_of(read_sqlite(file)))
        self._reversed = lru_cache(maxsize=1024)(self._reverse)

    def judge(
        self, case: GoldCase, begin: Callable[[Phase], None], loss: WorkerLoss | None = None
    ) -> Examined:
        """Return what was found; a query that cost a worker process is not run again."""
        if loss:
            return _give_up(case, loss.in_gold, f"{loss.kind}: its process was killed")
        try:
            return self._examine(case, begin)
        except DatabaseError as error:
            return Examined(examine_text(case.gold), str(error))
        except QueryError as error:
            return _give_up(case, True, f"{error.kind}: {error.message}")
        except MemoryError:
            return _give_up(case, self._in_gold, "out_of_memory", "out_of_memory")

    def _examine(self, case: GoldCase, begin: Callable[[Phase], None]) -> Examined:
        """Run the query, then what it is compared with.

        Raises:
            QueryError: the query fails.
        """
        file, sql = find_database(self._folder, case.db_id), runnable(case.gold)
        self._databases.open(file)
        copied, problems = self._reversed(file)
        self._in_gold = True
        begin("gold")
        rows = self._databases.run(file, sql, time.monotonic() + self._settings.timeout_s)
        self._in_gold = False
        begin("prediction")
        run = _Run(sql, parse_query(sql), file, rows, time.monotonic() + self._settings.timeout_s)
        unchecked = [problems] if problems else []
        if run.tree is None:
            unchecked.append("sqlglot cannot parse the query, so it was not rewritten")
        found = [*_nothing(rows), *self._suspected(run, copied or file, unchecked)]
        found += self._reversal(run, copied, found, unchecked)
        found += self._disagreements(run, case.rivals, unchecked)
        return Examined(tuple(_once(found)), "; ".join(dict.fromkeys(unchecked)))

    def _suspected(self, run: _Run, schema: Path, unchecked: list[str]) -> list[Finding]:
        """What the text makes suspect, with its effect; `schema` is a file with the types of the columns."""
        try:
            types = self._types(schema)
        except UserError as error:
            types = None
            unchecked.append(str(error))
        if run.tree and self._differ(run, (text_of(run.tree),), "rows", unchecked) is not False:
            unchecked.append("sqlglot writes the query in another way, so it was not rewritten")
            return [Finding(each.reason, each.why, True) for each in todays_date(run.sql)]
        columns = len(run.rows[0]) if run.rows else None
        found: list[Finding] = []
        for each in _suspicions(run.sql, run.tree, types, columns):
            if each.only_if and not self._run(run, run.file, each.only_if, unchecked):
                continue
            effect = self._effect(run, each, unchecked)
            if effect or each.listed:
                found.append(Finding(each.reason, each.why, effect))
        return found

    def _effect(self, run: _Run, suspicion: Suspicion, unchecked: list[str]) -> bool | None:
        if suspicion.right_if_none:
            stored = self._run(run, run.file, suspicion.right_if_none, unchecked)
            return None if stored is None else not stored
        if not suspicion.rewritten:
            return _text_effect(suspicion)
        return self._differ(run, suspicion.rewritten, suspicion.compare, unchecked)

    def _differ(self, run: _Run, queries: Sequence[str], compare: str, unchecked: list[str]) -> bool | None:
        """Whether the results of rewritten queries differ; of a single one, from that of the query itself.

        None if one of them fails.
        """
        results = [self._run(run, run.file, sql, unchecked) for sql in queries]
        if any(result is None for result in results):
            return None
        one, other = results if len(results) == 2 else (run.rows, results[0])
        ordered = run.tree is not None and bool(run.tree.args.get("order"))
        return _differ(one or [], other or [], compare, ordered)

    def _run(
        self, run: _Run, file: Path, sql: str, unchecked: list[str], what: str = "a rewritten query"
    ) -> list[Row] | None:
        """The rows of a query, None if it fails, which is noted with `what` it is."""
        try:
            return self._databases.run(file, sql, run.deadline)
        except QueryError as error:
            unchecked.append(f"{what} fails ({error.kind})")
            return None

    def _reversal(
        self, run: _Run, copied: Path | None, found: Sequence[Finding], unchecked: list[str]
    ) -> Iterator[Finding]:
        """Whether the rows of the tables in reverse order give another result, and what in the text may."""
        rows = self._run(run, copied, run.sql, unchecked) if copied else None
        differs = None if rows is None else _differ(run.rows, rows, "rows", False)
        explained = any(each.effect and each.reason in (*_ORDERED, "todays_date") for each in found)
        patterns = order_patterns(run.tree) if run.tree else []
        if differs and not patterns and not explained:
            patterns = ["the rows of the tables in reverse order give another result"]
        for why in patterns:
            yield Finding("order_not_asked", why, differs)

    def _disagreements(
        self, run: _Run, rivals: Sequence[tuple[str, str]], unchecked: list[str]
    ) -> Iterator[Finding]:
        for name, gold in rivals:
            rows = self._run(
                run, run.file, runnable(gold), unchecked, f"{name}, which asks in nearly the same words,"
            )
            order = order_matters(run.sql) and order_matters(gold)
            if rows is not None and not same_result(run.rows, rows, order):
                why = f"{name} asks in nearly the same words, and its gold gives another result"
                yield Finding("paraphrase_disagrees", why, True)

    def _reverse(self, file: Path) -> tuple[Path | None, str]:
        """The copy of a database with its rows in reverse order, or why there is none."""
        name = hashlib.sha256(str(file).encode(errors="surrogatepass")).hexdigest()[:16]
        target = self._scratch / f"{name}.sqlite"
        try:
            if not target.is_file():
                write_reversed(file, target)
        except NotCopied as error:
            return None, f"{file.name} was not read in reverse order: {error}"
        return target, ""


def _suspicions(
    sql: str, tree: exp.Query | None, types: Types | None, columns: int | None
) -> Iterator[Suspicion]:
    yield from todays_date(sql)
    if tree:
        yield from order_suspicions(tree, columns)
        yield from type_suspicions(tree, types)


def _text_effect(suspicion: Suspicion) -> bool | None:
    """What the text alone says of the effect: a query that uses today's date has another result tomorrow."""
    return True if suspicion.reason == "todays_date" else None


def _nothing(rows: Sequence[Row]) -> Iterator[Finding]:
    if not rows:
        yield Finding("empty", "returns no row", True)
    elif all(value is None for row in rows for value in row):
        yield Finding("empty", "returns nothing but NULL", True)


def _differ(one: Sequence[Row], other: Sequence[Row], compare: str, ordered: bool) -> bool:
    """Whether two results differ in what is compared; `ordered`: whether the query sorts its result."""
    left, right = ([tuple(_plain(v, compare) for v in row) for row in rows] for rows in (one, other))
    same_rows = Counter(left) == Counter(right)
    if compare == "order":
        return same_rows and left != right
    return not same_rows or (compare == "numbers" and ordered and left != right)


def _plain(value: Any, compare: str) -> Any:
    if isinstance(value, str) and compare == "numbers":
        try:
            value = float(value)
        except ValueError:
            return value
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    return value


def _give_up(case: GoldCase, in_gold: bool, why: str, error: str | None = None) -> Examined:
    """What the text says of a query that failed (`in_gold`), or whose checks did."""
    if not in_gold:
        return Examined(examine_text(case.gold), f"the checks were stopped, {why}", error)
    dates = (Finding(each.reason, each.why, True) for each in todays_date(runnable(case.gold)))
    return Examined((Finding("fails", why, True), *dates), error=error)


def _once(findings: Sequence[Finding]) -> list[Finding]:
    return list(dict.fromkeys(findings))
