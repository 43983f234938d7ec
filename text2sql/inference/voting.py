"""Chooses among several answers to a question by their results on its database.

The idea is that wrong queries give different results (self-consistency, https://arxiv.org/abs/2203.11171;
with execution, https://arxiv.org/abs/2204.11454). The judge runs the queries in its worker processes, with
one query as the gold query of another. Neither the gold query of the question nor its result is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import inf
from pathlib import Path

from text2sql.evaluation.judge import judge
from text2sql.evaluation.settings import EvaluationSettings, JudgeSettings
from text2sql.evaluation.verdicts import Case, Verdict


@dataclass(frozen=True, slots=True)
class Candidates:
    """The queries drawn for one question, at least one, each with its log-probability (None: unknown)."""

    db_id: str
    queries: tuple[str, ...]
    logprobs: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """The number of the chosen query, and the share of all queries of the question with the same result.

    `failure` is the error of the chosen query, None if it runs. It fails only if no query of the question
    runs.
    """

    chosen: int
    agreement: float
    failure: str | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the queries of one question return.

    `failures`: the error of each query that fails; `empty`: the queries that run and return no rows; `votes`:
    for each query the number of the question's queries with the same result, 0 if it fails.
    """

    failures: Mapping[str, str]
    empty: frozenset[str]
    votes: Mapping[str, int]


def as_written(limits: EvaluationSettings) -> JudgeSettings:
    """Settings for comparing queries as they were written, including DISTINCT and the word "value"."""
    return JudgeSettings(
        timeout_s=limits.timeout_s, max_rows=limits.max_rows, keep_distinct=True, keep_value=True
    )


def vote(questions: Sequence[Candidates], databases: Path, limits: EvaluationSettings) -> list[Choice]:
    """Choose a query for each question by the results of all its queries.

    The first of these rules that decides is applied:
    1. A query that runs is preferred to one that fails.
    2. A query that returns rows, and whose result at least one other query has, is preferred to all others:
       many wrong conditions return nothing, so that the agreement of empty results says little.
    3. The query whose result is the most frequent among the queries of the question.
    4. A query that returns rows is preferred to one that returns none.
    5. The query with the higher log-probability; an unknown one is the lowest.
    6. The query drawn first.
    So one query with rows does not outvote two that return nothing, which may be right. A row with only NULL
    or 0 is a row. Queries are counted, not different texts: the same text drawn twice agrees with itself.

    Two queries have the same result if each would be right with the other as the gold query. If a folder ID/
    has several databases, a query must run on all of them, and the results on ID.sqlite are compared.
    """
    compared = compare(questions, databases, limits)
    return [choose(*pair) for pair in zip(questions, compared, strict=True)]


def compare(questions: Sequence[Candidates], databases: Path, limits: EvaluationSettings) -> list[Comparison]:
    """Run the queries of each question and compare their results."""
    queries = [(n, sql) for n, question in enumerate(questions) for sql in dict.fromkeys(question.queries)]
    cases = [Case(n, questions[n].db_id, gold=sql, predicted=_NO_ROWS) for n, sql in queries]
    verdicts = dict(zip(queries, _judged(cases, databases, limits), strict=True))
    failures = {query: _reason(verdict) for query, verdict in verdicts.items() if verdict.gold_failed}
    empty = {query for query, verdict in verdicts.items() if verdict.ex}
    same = _same_results(questions, failures, databases, limits)
    return [
        Comparison(
            failures={sql: why for (at, sql), why in failures.items() if at == n},
            empty=frozenset(sql for at, sql in empty if at == n),
            votes={sql: _votes(n, sql, question, failures, same) for sql in question.queries},
        )
        for n, question in enumerate(questions)
    ]


_NO_ROWS = "SELECT NULL WHERE 0"
_Query = tuple[int, str]  # the number of its question, and its text
_Pair = tuple[int, str, str]


def _votes(number: int, sql: str, question: Candidates, failures: dict[_Query, str], same: set[_Pair]) -> int:
    if (number, sql) in failures:
        return 0
    return sum(sql == other or (number, sql, other) in same for other in question.queries)


def choose(question: Candidates, compared: Comparison) -> Choice:
    """Choose one of the queries by the rules of `vote`."""

    def rank(at: int) -> tuple[bool, bool, int, bool, float, int]:
        sql, logprob = question.queries[at], question.logprobs[at]
        votes, has_rows = compared.votes[sql], sql not in compared.empty
        agreed = has_rows and votes > 1
        return (
            sql not in compared.failures,
            agreed,
            votes,
            has_rows,
            -inf if logprob is None else logprob,
            -at,
        )

    chosen = max(range(len(question.queries)), key=rank)
    sql = question.queries[chosen]
    return Choice(chosen, compared.votes[sql] / len(question.queries), compared.failures.get(sql))


def _same_results(
    questions: Sequence[Candidates], failures: dict[_Query, str], databases: Path, limits: EvaluationSettings
) -> set[_Pair]:
    """The pairs of running queries of one question with the same result, in both orders."""
    pairs = [
        (n, one, other)
        for n, question in enumerate(questions)
        for one, other in permutations(dict.fromkeys(question.queries), 2)
        if not {(n, one), (n, other)} & failures.keys()
    ]
    cases = [Case(n, questions[n].db_id, gold=one, predicted=other) for n, one, other in pairs]
    verdicts = _judged(cases, databases, limits)
    right = {pair for pair, verdict in zip(pairs, verdicts, strict=True) if verdict.ex}
    return {(n, one, other) for n, one, other in right if (n, other, one) in right}


def _judged(cases: Sequence[Case], databases: Path, limits: EvaluationSettings) -> list[Verdict]:
    if not cases:
        return []
    # spawn: this process has torch's threads, and perhaps a GPU
    return list(judge(cases, databases, as_written(limits), method="spawn"))


def _reason(verdict: Verdict) -> str:
    kind = str(verdict.error).removeprefix("gold: ").replace("_", " ")
    message = str(verdict.message)
    return message if message.startswith(kind) else f"{kind}: {message}"
