"""Each prediction beside its gold query: both results, the marks on the SQL, the kinds of difference.

The queries run in the sandbox and in the processes of the judge, with its limits, and as they were judged,
except that DISTINCT stays: the tables then show what the SQL says. A prediction whose verdict has an error is
not run again.

Not covered: queries that call random(), whose results may differ from those that were judged.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from text2sql.databases import database_path
from text2sql.evaluation.case_judge import Phase, WorkerLoss
from text2sql.evaluation.execution.databases import Databases
from text2sql.evaluation.execution.sandbox import DatabaseError, ErrorKind, QueryError, Table
from text2sql.evaluation.pool import QUICKEST, Limits, ProcessPool
from text2sql.evaluation.settings import EvaluationSettings
from text2sql.evaluation.spider.rewrite import order_matters, replace_year, rewrite_gold, rewrite_prediction
from text2sql.evaluation.verdicts import Verdict
from text2sql.report.differences import FAILURES, KINDS, Differences, differences
from text2sql.report.marks import Token, coloured, marked, runs
from text2sql.report.results import Comparison, Shown, compared, failed, shown

SQL_CHARACTERS = 5000
"""What is shown of a query at most."""

_LATE = "It was not run again: it exceeds the time limit."


@dataclass(frozen=True, slots=True)
class Answered:
    """A prediction to explain: `gold` is "" if the question has no gold query."""

    db_id: str
    gold: str
    predicted: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Explained:
    """What the page shows of a prediction: `gold_runs` and `predicted_runs` are colours, see `marks.runs`."""

    differences: Differences
    comparison: Comparison
    gold_runs: str
    predicted_runs: str
    error: str | None = None


def explain(
    answers: Iterable[Answered], databases: Path, limits: EvaluationSettings, workers: int | None = None
) -> Iterator[Explained]:
    """Explain each answer, in order; those with the same gold query should follow one another.

    `databases` has Spider's layout; `workers` is the number of processes (None: one per core).
    """
    pool = ProcessPool[Answered, Explained](
        partial(Explainer, databases, limits),
        # of time: a prediction, and the comparison of texts and results
        Limits(2 * limits.timeout_s + 1, limits.memory_mb),
        workers or len(os.sched_getaffinity(0)),
        QUICKEST,
    )
    return pool.judge(answers)


class Explainer:
    """Explains answers one by one, in a worker process."""

    def __init__(self, databases: Path, limits: EvaluationSettings) -> None:
        self._folder, self._limits = databases, limits
        self._databases = Databases(limits.max_rows, spill_mb=limits.spill_mb)
        self._gold = lru_cache(maxsize=1)(self._run_gold)

    def judge(
        self, case: Answered, begin: Callable[[Phase], None], loss: WorkerLoss | None = None, /
    ) -> Explained:
        """Explain an answer; if a worker was lost to it before, nothing of it is run again."""
        if loss:
            return _unexplained(case, loss.kind)
        try:
            begin("gold")
            gold = self._gold(case.db_id, case.gold)
            begin("prediction")
            return self._explained(case, gold, self._run_prediction(case))
        except MemoryError:
            return _unexplained(case, "out_of_memory", error="out_of_memory")

    def _explained(self, case: Answered, gold: Table | Shown, predicted: Table | Shown) -> Explained:
        one, other = _texts(case.gold, case.predicted, case.verdict.ex is False)
        comparison = _comparison(gold, predicted, order_matters(case.gold))
        return Explained(
            differences(case.gold, case.predicted, case.verdict), comparison, runs(one), runs(other)
        )

    def _run_gold(self, db_id: str, gold: str) -> Table | Shown:
        if not gold.strip():
            return failed("The question has no gold SQL.")
        return self._run(db_id, rewrite_gold(gold, keep_distinct=True))

    def _run_prediction(self, case: Answered) -> Table | Shown:
        error = case.verdict.error
        if error in FAILURES and not (error == "denied" and case.verdict.ex):
            return failed(_LATE if error == "timeout" else f"It does not run: {case.verdict.message}.")
        statement = rewrite_prediction(case.predicted, True, self._limits.keep_value)
        several = rewrite_prediction(case.predicted, False, self._limits.keep_value)
        return self._run(case.db_id, several.sql if several.several else statement.sql)

    def _run(self, db_id: str, sql: str) -> Table | Shown:
        try:
            sandbox = self._databases.open(database_path(self._folder, db_id))
            return sandbox.table(replace_year(sql), time.monotonic() + self._limits.timeout_s)
        except QueryError as error:
            return failed(f"It does not run: {error.message}.")
        except DatabaseError as error:
            return failed(f"It cannot be run: {error}.")


def _comparison(gold: Table | Shown, predicted: Table | Shown, ordered: bool) -> Comparison:
    if isinstance(gold, Table) and isinstance(predicted, Table):
        return compared(gold, predicted, ordered)
    one, other = (shown(each) if isinstance(each, Table) else each for each in (gold, predicted))
    return Comparison(one, other)


# Arms often give the same answer to a question, and their answers follow one another.
@lru_cache(maxsize=32)
def _texts(gold: str, predicted: str, wrong: bool) -> tuple[list[Token], list[Token]]:
    """Both queries as far as they are shown; only the differences of a wrong answer are marked."""
    one, other = gold[:SQL_CHARACTERS], predicted[:SQL_CHARACTERS]
    return marked(one, other) if wrong else (coloured(one), coloured(other))


def _unexplained(case: Answered, kind: ErrorKind, error: str | None = None) -> Explained:
    """An answer whose worker was lost; with the error "out_of_memory" the present worker ends too."""
    problem = failed(f"It is not shown, because the limits of time or memory were exceeded ({KINDS[kind]}).")
    found = Differences((), "")
    if case.verdict.ex is False:
        found = Differences(("unread",), "The queries are not compared, because that exceeds the limits.")
    plain = [runs([Token(text[:SQL_CHARACTERS], ".")]) for text in (case.gold, case.predicted)]
    return Explained(found, Comparison(problem, problem), plain[0], plain[1], error)
