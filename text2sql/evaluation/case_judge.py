"""Judging one case: what a worker process does."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from text2sql.evaluation.execution.databases import Databases, database_files, database_path
from text2sql.evaluation.execution.equivalence import same_result
from text2sql.evaluation.execution.gold_cache import GoldCache
from text2sql.evaluation.execution.sandbox import SQL_LENGTH, DatabaseError, ErrorKind, QueryError
from text2sql.evaluation.spider.exact_match import exact_match
from text2sql.evaluation.spider.hardness import hardness
from text2sql.evaluation.spider.parser import UnreadableSQL
from text2sql.evaluation.spider.plug_values import Candidates
from text2sql.evaluation.spider.rewrite import (
    order_matters,
    replace_value_word,
    rewrite_gold,
    rewrite_prediction,
)
from text2sql.evaluation.spider.schema import ForeignKeys, SpiderSchema, schema_of
from text2sql.evaluation.verdicts import Case, Rules, Verdict

Phase = Literal["gold", "prediction"]
PHASES: tuple[Phase, ...] = ("gold", "prediction")
_MESSAGE_LENGTH = 200
_KILLED = "its process was killed"
_SEVERAL = "more than one statement; only the first one was run"


@dataclass(frozen=True, slots=True)
class Loss:
    """What a case has cost a process for; `seconds` had gone by, `again` that it was not the first."""

    kind: ErrorKind
    seconds: float
    in_gold: bool
    again: bool


@dataclass(frozen=True, slots=True)
class _Target:
    """What a prediction has to equal: the normalised gold query, on which files, and until when."""

    gold: str
    files: list[Path]
    deadline: float


class Judge:
    """Judges cases one by one.

    `databases` has Spider's layout, `tables` are the foreign keys by database (None: as the SQLite
    files say), `gold_cache` is a file that keeps gold results (None: memory only).
    """

    def __init__(
        self,
        databases: Path,
        rules: Rules,
        tables: Mapping[str, ForeignKeys] | None = None,
        gold_cache: Path | None = None,
    ) -> None:
        self._folder, self._rules, self._tables = databases, rules, tables
        self._databases = Databases(
            rules.max_rows, GoldCache(gold_cache, rules.max_rows) if gold_cache else None
        )
        self._schema = lru_cache(maxsize=1024)(self._read_schema)

    def judge(self, case: Case, begin: Callable[[Phase], None], loss: Loss | None = None) -> Verdict:
        """Return the verdict.

        `begin` is told when the time of a gold query, or the prediction's, begins. What was lost in
        an earlier process is not run again. UserError: the cache or the tables must be mended; all
        other trouble is in the verdict.
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
            return self.judge(case, begin, Loss("out_of_memory", 0.0, in_gold=False, again=False))

    def _give_up(self, case: Case, loss: Loss) -> Verdict:
        """Return the verdict on a case of which nothing can be found out, because it costs processes."""
        if loss.in_gold:
            return _without_gold(case, f"gold: {loss.kind}", _KILLED)
        found: dict[str, Any] = dict.fromkeys(_metrics(self._rules, several_databases=False), False)
        found |= _failure(QueryError(loss.kind, _KILLED))
        return Verdict(case.row, case.db_id, case.slice, None, seconds=loss.seconds, **found)

    def _judge(self, case: Case, begin: Callable[[Phase], None], loss: Loss | None) -> Verdict:
        begin("gold")
        gold = _rewrite_gold(case.gold, self._rules.keep_distinct)
        try:
            files = self._run_gold(case, gold, begin)
        except QueryError as error:
            return _without_gold(case, f"gold: {error.kind}", error.message)
        level = _hardness(case.gold)
        begin("prediction")
        started = time.monotonic()
        found = self._match(case) if self._rules.match else {}
        if self._rules.execute:
            target = _Target(gold, files, started + self._rules.timeout_s)
            found |= self._execute(case.predicted, target, loss)
        seconds = round(time.monotonic() - started + (loss.seconds if loss else 0.0), 6)
        return Verdict(case.row, case.db_id, case.slice, level, seconds=seconds, **found)

    def _run_gold(self, case: Case, gold: str, begin: Callable[[Phase], None]) -> list[Path]:
        """Run the gold query on every database of the case, so that none fails later on."""
        files = database_files(self._folder, case.db_id)
        self._databases.open(files[0])
        for file in files if self._rules.execute else ():
            begin("gold")
            self._databases.gold(file, gold, self._rules.timeout_s)
        return files

    def _execute(self, predicted: str, target: _Target, loss: Loss | None) -> dict[str, Any]:
        found: dict[str, Any] = dict.fromkeys(_metrics(self._rules, len(target.files) > 1), False)
        if loss:
            return found | _failure(QueryError(loss.kind, _KILLED))
        if len(predicted) > SQL_LENGTH:
            return found | _failure(QueryError("other", f"longer than {SQL_LENGTH} characters"))
        statement = rewrite_prediction(predicted, self._rules.keep_distinct, self._rules.keep_value)
        try:
            self._compare(found, "", statement.sql, target)
        except QueryError as error:
            found |= _failure(error)
            if error.kind == "empty" and (statement.sql or self._rules.keep_distinct):
                self._compare_nothing(found, target)
        if statement.several and "error" not in found:
            found |= _failure(QueryError("denied", _SEVERAL))
        if self._rules.plug_values and found.get("error") != "timeout":
            self._plug(found, statement.sql, target)
        return found

    def _plug(self, found: dict[str, Any], sql: str, target: _Target) -> None:
        """Find the verdicts with the gold's values plugged in: right if any way to do so is right."""
        found |= {f"{name}_plug": found[name] for name in ("ex", "ts") if name in found}
        wanted = "ts_plug" if "ts" in found else "ex_plug"
        candidates = Candidates(target.gold, sql)
        for candidate in () if found[wanted] else candidates:
            try:
                self._compare(found, "_plug", candidate, target)
            except QueryError as error:
                if error.refused_by_compiler:
                    candidates.refuse(syntax=error.kind == "syntax")
                if error.kind == "timeout":
                    found |= _failure(error)
                    return
            if found[wanted]:
                return

    def _compare(self, found: dict[str, Any], suffix: str, sql: str, target: _Target) -> None:
        """Set ex and ts in `found` where `sql` returns what the gold does. QueryError: it failed."""
        own, *others = target.files
        if not self._same(own, sql, target):
            return
        found[f"ex{suffix}"] = True
        if others:
            found[f"ts{suffix}"] = all(self._same(file, sql, target) for file in others)

    def _same(self, file: Path, sql: str, target: _Target) -> bool:
        if sql == target.gold:
            return True
        rows = self._databases.gold(file, target.gold, self._rules.timeout_s)
        predicted = self._databases.run(file, sql, target.deadline, keep=len(rows) + 1)
        return same_result(rows, predicted, order_matters(target.gold))

    def _compare_nothing(self, found: dict[str, Any], target: _Target) -> None:
        """Judge a comment or a lone semicolon: officially it returns no rows, as some gold does."""
        for name, files in (("ex", target.files[:1]), ("ts", target.files)):
            if name in found:
                rows = (self._databases.gold(file, target.gold, self._rules.timeout_s) for file in files)
                found[name] = not any(rows)

    def _match(self, case: Case) -> dict[str, Any]:
        predicted = case.predicted if self._rules.keep_value else replace_value_word(case.predicted)
        try:
            match = exact_match(case.gold, predicted, self._schema(case.db_id))
        except UnreadableSQL:
            return {}
        return {"em": match.em, "parts": match.parts}

    def _read_schema(self, db_id: str) -> SpiderSchema:
        return schema_of(database_path(self._folder, db_id), self._tables)


def _metrics(rules: Rules, several_databases: bool) -> list[str]:
    """Names of what execution tells under these rules."""
    names = ["ex", "ts"] if several_databases else ["ex"]
    return names + [f"{name}_plug" for name in names if rules.plug_values] if rules.execute else []


# Questions that say the same differently follow one another, with the same gold.
_rewrite_gold = lru_cache(maxsize=16)(rewrite_gold)


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
