"""The metrics that run both queries as they were written: BIRD's, and the strict one.

They use the database db_id/db_id.sqlite alone, also where a folder has a test suite.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from text2sql.evaluation.bird.compare import same_set, soft_f1
from text2sql.evaluation.execution.databases import Databases
from text2sql.evaluation.execution.sandbox import QueryError, Row
from text2sql.evaluation.gold_order import gold_order
from text2sql.evaluation.settings import JudgeSettings
from text2sql.evaluation.strict import strictly_same
from text2sql.evaluation.verdicts import Case
from text2sql.schema.queries import SQL_LENGTH


@dataclass(frozen=True, slots=True)
class Answer:
    """What a predicted query returned, or why it failed."""

    rows: Sequence[Row] = ()
    error: QueryError | None = None


class AsWritten:
    """Runs queries as written, and compares what they return; `databases` are the open ones of a judge."""

    def __init__(self, databases: Databases, settings: JudgeSettings) -> None:
        self._databases, self._settings = databases, settings

    def gold(self, case: Case, file: Path) -> list[Row]:
        """Return the rows of the gold query.

        Raises:
            DatabaseError: the file is missing, or not a SQLite database.
            QueryError: the query fails.
        """
        return self._databases.gold(file, case.gold, self._settings.timeout_s)

    def answer(self, case: Case, file: Path) -> Answer:
        """Run the prediction, unless its text is the gold's."""
        if case.predicted == case.gold:
            return Answer(self.gold(case, file))
        if len(case.predicted) > SQL_LENGTH:
            return Answer(error=QueryError("other", f"longer than {SQL_LENGTH} characters"))
        try:
            return Answer(self._databases.run(file, case.predicted, self._deadline()))
        except QueryError as error:
            return Answer(error=error)

    def compare(self, case: Case, file: Path, answer: Answer, begin: Callable[[], None]) -> dict[str, Any]:
        """Return bird_ex, soft_f1 and strict; `begin` is called before another gold query runs."""
        gold, failed = self.gold(case, file), answer.error is not None
        # To BIRD's evaluation no statement is a query that returns nothing.
        if answer.error is not None and answer.error.kind != "empty":
            return {"bird_ex": False, "soft_f1": 0.0, "strict": False}
        found: dict[str, Any] = {
            "bird_ex": same_set(gold, answer.rows),
            "soft_f1": soft_f1(gold, answer.rows),
        }
        if "strict" in self._settings.metrics:

            def ties(sql: str) -> list[Row] | None:
                begin()
                return self._ties(file, sql)

            found["strict"] = not failed and strictly_same(gold, answer.rows, gold_order(case.gold), ties)
        return found

    def speed(self, case: Case, file: Path, begin: Callable[[], None]) -> float:
        """Return r_ves of a prediction whose bird_ex is right; `begin` is called before each run.

        0 if a run exceeds the time limit, as in BIRD's evaluation.
        """
        from text2sql.evaluation.bird.time_score import speed_score, time_ratios

        def seconds(sql: str) -> float:
            begin()
            deadline, started = self._deadline(), time.perf_counter()
            try:
                self._databases.run(file, sql, deadline)
            except QueryError as error:
                if error.kind != "empty":
                    raise
            return time.perf_counter() - started

        try:
            runs = self._settings.ves_runs
            return speed_score(time_ratios(lambda: seconds(case.predicted), lambda: seconds(case.gold), runs))
        except QueryError:
            return 0.0

    def _ties(self, file: Path, sql: str) -> list[Row] | None:
        try:
            return self._databases.gold(file, sql, self._settings.timeout_s)
        except QueryError:
            return None

    def _deadline(self) -> float:
        return time.monotonic() + self._settings.timeout_s
