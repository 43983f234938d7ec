"""Running gold and predicted queries, database by database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from text2sql.evaluation.equivalence import normalise_sql, order_matters, same_result
from text2sql.evaluation.hardness import hardness
from text2sql.evaluation.sandbox import QueryError, Row, Sandbox
from text2sql.evaluation.scores import Verdict
from text2sql.records import ConvertedQuestion

Outcome = list[Row] | QueryError


class UnreadableGold(Exception):
    """A gold query that runs, but that `hardness` cannot parse; the message names its row."""


def database_path(databases: Path, db_id: str) -> Path:
    """Where Spider's layout keeps a database: ID/ID.sqlite."""
    return databases / db_id / f"{db_id}.sqlite"


def judge(
    questions: Sequence[ConvertedQuestion],
    predictions: Mapping[int, str],
    databases: Path,
    timeout_s: float,
    max_rows: int,
    keep_distinct: bool = False,
    progress: Callable[[int, int, str], None] = lambda done, total, db_id: None,
) -> list[Verdict]:
    """Return a verdict for each question, sorted by row.

    `predictions` holds the SQL by the question's row; `timeout_s` is in seconds a query. `progress`
    is told how many questions are done, of how many, and which database comes next. UserError: a
    database does not open. UnreadableGold: a gold query runs, but its hardness cannot be told.
    """
    verdicts: list[Verdict] = []
    by_database = groupby(sorted(questions, key=attrgetter("db_id", "row")), attrgetter("db_id"))
    for db_id, group in by_database:
        progress(len(verdicts), len(questions), db_id)
        with Sandbox(database_path(databases, db_id), timeout_s, max_rows) as sandbox:
            verdicts += _judge_database(sandbox, list(group), predictions, keep_distinct)
    return sorted(verdicts, key=attrgetter("row"))


def _judge_database(
    sandbox: Sandbox,
    questions: Sequence[ConvertedQuestion],
    predictions: Mapping[int, str],
    keep_distinct: bool,
) -> list[Verdict]:
    golds: dict[str, Outcome] = {}  # questions that say the same differently share their gold
    verdicts = []
    for question in questions:
        if question.gold not in golds:
            golds[question.gold] = _run(sandbox, question.gold, keep_distinct)
        gold = golds[question.gold]
        if isinstance(gold, QueryError):
            verdicts.append(_without_gold(question, gold))
        else:
            predicted = _run(sandbox, predictions[question.row], keep_distinct)
            verdicts.append(_compare(question, gold, predicted))
    return verdicts


def _run(sandbox: Sandbox, sql: str, keep_distinct: bool) -> Outcome:
    try:
        return sandbox.run(normalise_sql(sql, keep_distinct))
    except QueryError as error:
        return error


def _without_gold(question: ConvertedQuestion, gold: QueryError) -> Verdict:
    error = f"gold: {gold.kind}"
    return Verdict(question.row, question.db_id, question.slice, None, None, error)


def _compare(question: ConvertedQuestion, gold: list[Row], predicted: Outcome) -> Verdict:
    if isinstance(predicted, QueryError):
        ex, error = False, predicted.kind
    else:
        ex, error = same_result(gold, predicted, order_matters(question.gold)), None
    level = _hardness(question)
    return Verdict(question.row, question.db_id, question.slice, level, ex, error)


def _hardness(question: ConvertedQuestion) -> str:
    try:
        return hardness(question.gold)
    except ValueError as error:
        place = f"row {question.row} (database {question.db_id})"
        raise UnreadableGold(f"{place}: the gold runs, but has no hardness: {error}") from error
