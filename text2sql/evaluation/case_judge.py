"""Judging one case: the work of a worker process."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

from text2sql.errors import UserError
from text2sql.evaluation.as_written import Answer, AsWritten
from text2sql.evaluation.execution.databases import Databases, database_files
from text2sql.evaluation.execution.equivalence import same_result
from text2sql.evaluation.execution.gold_cache import GoldCache
from text2sql.evaluation.execution.sandbox import DatabaseError, ErrorKind, QueryError, Row
from text2sql.evaluation.execution.suite import Suite
from text2sql.evaluation.notes import ties_query, without_text_in_double_quotes
from text2sql.evaluation.settings import METRICS, JudgeSettings
from text2sql.evaluation.spider.exact_match import exact_match
from text2sql.evaluation.spider.hardness import hardness
from text2sql.evaluation.spider.parser import UnreadableSQL
from text2sql.evaluation.spider.plug_values import Candidates
from text2sql.evaluation.spider.rewrite import (
    order_matters,
    replace_value_word,
    replace_year,
    rewrite_gold,
    rewrite_prediction,
)
from text2sql.evaluation.spider.schema import ForeignKeys, SpiderSchema, schema_of
from text2sql.evaluation.verdicts import GOLD_UNREADABLE, NO_MATCH, Case, Verdict
from text2sql.schema.database_files import find_database
from text2sql.schema.queries import SQL_LENGTH

Phase = Literal["gold", "prediction", "plugging"]
PHASES: tuple[Phase, ...] = ("gold", "prediction", "plugging")
_MESSAGE_LENGTH = 200
_KILLED = "its process was killed"
_COMPILED = (None, "timeout", "too_many_rows")  # errors of predictions that SQLite could compile
_SEVERAL = "more than one statement; only the first one was run"
_REPLACED = 'the word "value" was replaced by 1; --keep-value keeps it'
_PLUGGING_LATE = "plugging values in ran out of time; until then no way was right"
_PLUGGING_LOST = "its process was killed while values were plugged in; until then no way was right"
# What may return another result each time, also for the same text.
_VARIES = re.compile(r"random|\bnow\b|current_|(?:date|time|julianday|unixepoch)\s*\(\s*\)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class WorkerLoss:
    """The loss of a worker process to a case.

    `kind` is the class of the error, `seconds` the time that the step had taken, `phase` what was running,
    `again` whether an earlier worker was lost to the same case.
    """

    kind: ErrorKind
    seconds: float
    phase: Phase
    again: bool

    @property
    def in_gold(self) -> bool:
        """Whether the gold query was running."""
        return self.phase == "gold"


@dataclass(frozen=True, slots=True)
class _Target:
    """What a prediction is compared with: the rewritten gold query, on these files, until this deadline.

    `answers` are what queries have returned on the first file already, by their text; `begin` is that of
    `CaseJudge.judge`.
    """

    gold: str
    files: list[Path]
    deadline: float
    answers: Mapping[str, Answer]
    begin: Callable[[Phase], None]


class CaseJudge:
    """Judges cases one by one.

    `databases` has Spider's layout, `tables` are the foreign keys by database (None: those of the
    SQLite files), `gold_cache` is a file that keeps gold results (None: memory only), `suite` has further
    databases for `ts` and `ts_plug`. Without `databases`, `schemas` has what exact set match needs.

    Raises:
        UserError: `gold_cache` cannot be read or written.
    """

    def __init__(
        self,
        databases: Path | None,
        settings: JudgeSettings,
        tables: Mapping[str, ForeignKeys] | None = None,
        gold_cache: Path | None = None,
        suite: Suite | None = None,
        schemas: Mapping[str, SpiderSchema] | None = None,
    ) -> None:
        self._folder, self._settings, self._tables, self._suite = databases, settings, tables, suite
        self._schemas = schemas or {}
        cache = GoldCache(gold_cache, settings.max_rows) if gold_cache else None
        self._databases = Databases(settings.max_rows, cache, settings.spill_mb)
        self._as_written = AsWritten(self._databases, settings)
        self._schema = lru_cache(maxsize=1024)(self._read_schema)
        self._files = lru_cache(maxsize=1024)(partial(database_files, databases)) if databases else None

    def judge(self, case: Case, begin: Callable[[Phase], None], loss: WorkerLoss | None = None) -> Verdict:
        """Return the verdict; it holds the error if a query or a database fails.

        `begin` is called when the time of a gold query, or of the prediction, begins, and when the prediction
        has run and values are plugged into it. If a worker was lost to this case before, what it ran is
        not run again.

        Raises:
            UserError: the cache must be fixed.
        """
        if loss and (loss.in_gold or loss.again):
            return self._give_up(case, loss)
        try:
            return self._judge(case, begin, loss)
        except DatabaseError as error:
            return _without_gold(case, "gold: database", str(error))
        except MemoryError:
            if loss:
                raise
            return self.judge(case, begin, WorkerLoss("out_of_memory", 0.0, "prediction", again=False))

    def _give_up(self, case: Case, loss: WorkerLoss) -> Verdict:
        """Return the verdict on a case that cannot be judged, because its workers were lost."""
        if loss.in_gold:
            return _without_gold(case, f"gold: {loss.kind}", _KILLED)
        found = self._wrong(several_databases=False) | _failure(QueryError(loss.kind, _KILLED))
        return Verdict(case.row, case.db_id, case.slice, None, seconds=loss.seconds, **self._wanted(found))

    def _judge(self, case: Case, begin: Callable[[Phase], None], loss: WorkerLoss | None) -> Verdict:
        begin("gold")
        gold = _rewrite_gold(case.gold, self._settings.keep_distinct)
        try:
            files = self._run_gold(case, gold, begin)
        except QueryError as error:
            return _without_gold(case, f"gold: {error.kind}", error.message)
        level = _hardness(case.gold)
        notes = {"gold_cuts_ties": self._settings.executes and self._cuts_ties(files[0], gold, begin)}
        begin("prediction")
        started = time.monotonic()
        found = self._match(case) if "em" in self._settings.metrics else {}
        notes["unreadable_em"] = not found.pop("readable", True)
        unmatched = found.get("message")
        found |= self._run(case, gold, files, begin, loss)
        if unmatched and found["message"] != unmatched:  # why the query failed, and why `em` is null
            found["message"] = f"{found['message']}; {unmatched}"
        seconds = round(time.monotonic() - started + (loss.seconds if loss else 0.0), 6)
        if found.get("bird_ex") and "r_ves" in self._settings.metrics:
            found["r_ves"] = self._as_written.speed(case, files[0], lambda: begin("prediction"))
        notes |= self._notes(case.predicted, gold, files, found)
        names = tuple(sorted(name for name, holds in notes.items() if holds))
        wanted = self._wanted(found)
        return Verdict(case.row, case.db_id, case.slice, level, seconds=seconds, notes=names, **wanted)

    def _run(
        self,
        case: Case,
        gold: str,
        files: list[Path],
        begin: Callable[[Phase], None],
        loss: WorkerLoss | None,
    ) -> dict[str, Any]:
        """Run the prediction as the metrics need it; return its verdicts, and its error if it fails."""
        lost = loss is not None and loss.phase == "plugging"
        if loss and not lost:
            if self._settings.executes or self._settings.runs_as_written:
                return self._wrong(len(files) > 1) | _failure(QueryError(loss.kind, _KILLED))
            return {}
        found: dict[str, Any] = {}
        if not files:
            return found
        answers = self._run_as_written(case, files[0], found, begin)
        if self._settings.executes:
            begin("prediction")
            deadline = time.monotonic() + self._settings.timeout_s
            target = _Target(gold, files, deadline, answers, begin)
            found |= self._execute(case.predicted, target, lost)
        return found

    def _run_gold(self, case: Case, gold: str, begin: Callable[[Phase], None]) -> list[Path]:
        """Run the gold query on every database of the case, so that it fails here or never.

        Returns their files, none if there are no databases.
        """
        if self._files is None:
            return []
        files = self._files(case.db_id)
        if self._suite:
            files = files + self._suite.files(case.db_id, case.gold)
        files = files if self._settings.uses_suites else files[:1]
        self._databases.open(files[0])
        for file in files if self._settings.executes else ():
            begin("gold")
            self._gold_rows(file, gold)
        if self._settings.runs_as_written:
            begin("gold")
            self._as_written.gold(case, files[0])
        return files

    def _run_as_written(
        self, case: Case, file: Path, found: dict[str, Any], begin: Callable[[Phase], None]
    ) -> dict[str, Answer]:
        """Set the verdicts on the query as it was written in `found`; return its answer by its text."""
        if not self._settings.runs_as_written:
            return {}
        answer = self._as_written.answer(case, file)
        begin("prediction")
        found |= self._as_written.compare(case, file, answer, lambda: begin("gold"))
        found["r_ves"] = 0.0
        if answer.error:
            found |= _failure(answer.error)
        return {case.predicted: answer}

    def _cuts_ties(self, file: Path, gold: str, begin: Callable[[Phase], None]) -> bool:
        """Whether the LIMIT of a gold query keeps only some of the rows that have the same rank."""
        query = _ties_query(gold)
        if query is None:
            return False
        begin("gold")
        try:
            return query.has_tie(self._gold_rows(file, query.sql))
        except QueryError:  # a key that can only be used to sort: unknown
            return False

    def _notes(
        self, predicted: str, gold: str, files: list[Path], found: Mapping[str, Any]
    ) -> dict[str, bool]:
        """The notes on a prediction, by name, and whether each holds."""
        settings = self._settings
        replaced = self._replaces_value(predicted)
        if not settings.executes:
            return {"value_replaced": replaced}
        right = any(found.get(name) for name in ("ex", "ex_plug", "ts", "ts_plug"))
        return {
            "value_replaced": replaced,
            "empty_equal": right and self._returns_nothing(gold, files),
            "double_quoted_text": found.get("error") in _COMPILED
            and self._has_text_for_name(predicted, files[0]),
        }

    def _returns_nothing(self, gold: str, files: list[Path]) -> bool:
        try:
            return not any(self._gold_rows(file, gold) for file in files)
        except QueryError:  # it is run again if its result was dropped, and may be slower then
            return False

    def _has_text_for_name(self, predicted: str, file: Path) -> bool:
        """Whether a name in double quotes is no column; the query is compiled and not run."""
        settings = self._settings
        sql = rewrite_prediction(predicted, settings.keep_distinct, settings.keep_value).sql
        strict = without_text_in_double_quotes(sql)
        if strict is None:
            return False
        try:
            deadline = time.monotonic() + settings.timeout_s
            self._databases.run(file, f"EXPLAIN {replace_year(strict)}", deadline)
        except QueryError as error:
            return error.kind == "no_such_column"
        return False

    def _gold_rows(self, file: Path, gold: str) -> list[Row]:
        try:
            return self._databases.gold(file, replace_year(gold), self._settings.timeout_s)
        except QueryError as error:
            if error.kind == "empty" and gold:  # a comment: officially it returns no rows
                return []
            raise

    def _execute(self, predicted: str, target: _Target, lost: bool) -> dict[str, Any]:
        found: dict[str, Any] = dict.fromkeys(_official(self._settings, len(target.files) > 1), False)
        if len(predicted) > SQL_LENGTH:
            return found | _failure(QueryError("other", f"longer than {SQL_LENGTH} characters"))
        statement = rewrite_prediction(predicted, self._settings.keep_distinct, self._settings.keep_value)
        try:
            self._compare(found, "", statement.sql, target)
        except QueryError as error:
            found |= _failure(error)
            if error.kind == "no_such_column" and self._replaces_value(predicted):
                found |= _failure(QueryError(error.kind, f"{error.message} ({_REPLACED})"))
            if error.kind == "empty" and (statement.sql or self._settings.keep_distinct):
                self._compare_nothing(found, target)
        if statement.several and "error" not in found:
            found |= _failure(QueryError("denied", _SEVERAL))
        if self._settings.plugs_values and found.get("error") != "timeout":
            self._plug(found, statement.sql, target, lost)
        return found

    def _replaces_value(self, predicted: str) -> bool:
        return not self._settings.keep_value and replace_value_word(predicted) != predicted

    def _plug(self, found: dict[str, Any], sql: str, target: _Target, lost: bool) -> None:
        """Set the verdicts with the gold's values plugged in: right if any way to plug them in is right.

        Where there is no time left for another way, or a worker was `lost` to it, that is no failure of
        the prediction, which has run.
        """
        found |= {f"{name}_plug": found[name] for name in ("ex", "ts") if name in found}
        wanted = "ts_plug" if "ts" in found else "ex_plug"
        if found[wanted]:
            return
        if lost:
            found.setdefault("message", _PLUGGING_LOST)
            return
        target.begin("plugging")
        candidates = Candidates(target.gold, sql)
        for candidate in candidates:
            try:
                self._compare(found, "_plug", candidate, target)
            except QueryError as error:
                if error.refused_by_compiler:
                    candidates.refuse(syntax=error.kind == "syntax")
                if error.kind == "timeout":
                    found.setdefault("message", _PLUGGING_LATE)
                    return
            if found[wanted]:
                return

    def _compare(self, found: dict[str, Any], suffix: str, sql: str, target: _Target) -> None:
        """Set ex and ts in `found` if `sql` returns the gold's result.

        Raises:
            QueryError: `sql` failed.
        """
        own, *others = target.files
        if not self._same(own, sql, target):
            return
        found[f"ex{suffix}"] = True
        if others:
            found[f"ts{suffix}"] = all(self._same(file, sql, target) for file in others)

    def _same(self, file: Path, sql: str, target: _Target) -> bool:
        if sql == target.gold and not _VARIES.search(sql):
            return True
        rows, text = self._gold_rows(file, target.gold), replace_year(sql)
        known = target.answers.get(text) if file == target.files[0] else None
        if known and known.error:
            raise known.error
        predicted = known.rows if known else self._databases.run(file, text, target.deadline, len(rows) + 1)
        return same_result(rows, predicted, order_matters(target.gold))

    def _compare_nothing(self, found: dict[str, Any], target: _Target) -> None:
        """Judge a comment or a lone semicolon: officially it returns no rows, like some gold queries."""
        for name, files in (("ex", target.files[:1]), ("ts", target.files)):
            if name in found:
                found[name] = not any(self._gold_rows(file, target.gold) for file in files)

    def _match(self, case: Case) -> dict[str, Any]:
        predicted = case.predicted if self._settings.keep_value else replace_value_word(case.predicted)
        try:
            match = exact_match(case.gold, predicted, self._schema(case.db_id))
        except UnreadableSQL:
            return {"message": GOLD_UNREADABLE}
        except UserError as error:  # the schema cannot be read, or tables.json lacks it
            return {"message": f"{NO_MATCH}{error}"[:_MESSAGE_LENGTH]}
        return {"em": match.em, "parts": match.parts, "readable": match.readable}

    def _wrong(self, several_databases: bool) -> dict[str, Any]:
        """The verdicts on a prediction that cannot be run."""
        official = dict.fromkeys(_official(self._settings, several_databases), False)
        return official | {"bird_ex": False, "soft_f1": 0.0, "r_ves": 0.0, "strict": False}

    def _wanted(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """`found` without the metrics that were not asked for."""
        unwanted = set(METRICS) - set(self._settings.metrics)
        return {name: value for name, value in found.items() if name not in unwanted}

    def _read_schema(self, db_id: str) -> SpiderSchema:
        if self._folder:
            return schema_of(find_database(self._folder, db_id), self._tables)
        if db_id not in self._schemas:
            raise UserError(f"no entry {db_id!r} in tables.json; add one, or name the databases with --db")
        return self._schemas[db_id]


def _official(settings: JudgeSettings, several_databases: bool) -> list[str]:
    """Names of the official metrics that need execution and are computed under these settings."""
    names = ["ex", "ts"] if several_databases else ["ex"]
    return names + [f"{name}_plug" for name in names if settings.plugs_values] if settings.executes else []


# Paraphrased questions follow one another, with the same gold query.
_rewrite_gold = lru_cache(maxsize=16)(rewrite_gold)
_ties_query = lru_cache(maxsize=16)(ties_query)


@lru_cache(maxsize=16)
def _hardness(gold: str) -> str | None:
    try:
        return hardness(gold)
    except ValueError:
        return None


def _without_gold(case: Case, error: str, message: str) -> Verdict:
    return Verdict(case.row, case.db_id, case.slice, None, error=error, message=message[:_MESSAGE_LENGTH])


def _failure(error: QueryError) -> dict[str, Any]:
    return {"error": error.kind, "message": error.message[:_MESSAGE_LENGTH]}
