"""Chooses among several answers to a question by their results on its database.

The idea is that wrong queries give different results (self-consistency, https://arxiv.org/abs/2203.11171;
with execution, https://arxiv.org/abs/2204.11454). The judge runs the queries in its worker processes, with
one query as the gold query of another. Neither the gold query of the question nor its result is used.
"""

from __future__ import annotations

from collections.abc import Sequence
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


def as_written(limits: EvaluationSettings) -> JudgeSettings:
    """Settings for comparing queries as they were written, including DISTINCT and the word "value"."""
    return JudgeSettings(
        timeout_s=limits.timeout_s, max_rows=limits.max_rows, keep_distinct=True, keep_value=True
    )


def vote(questions: Sequence[Candidates], databases: Path, limits: EvaluationSettings) -> list[Choice]:
    """Choose for each question the query whose result is the most frequent among its queries.

    Two queries have the same result if each would be right with the other as the gold query. Ties go to
    the query with the higher log-probability, then to the one drawn first. If a folder ID/ has several
    databases, a query must run on all of them, and the results on ID.sqlite are compared.
    """
    failures = _failures(questions, databases, limits)
    same = _same_results(questions, failures, databases, limits)
    return [_choose(n, candidates, failures, same) for n, candidates in enumerate(questions)]


_Query = tuple[int, str]  # the number of its question, and its text
_Pair = tuple[int, str, str]


def _choose(number: int, candidates: Candidates, failures: dict[_Query, str], same: set[_Pair]) -> Choice:
    def votes(sql: str) -> int:
        if (number, sql) in failures:
            return 0
        return sum(sql == other or (number, sql, other) in same for other in candidates.queries)

    def rank(at: int) -> tuple[int, float, int]:
        logprob = candidates.logprobs[at]
        return votes(candidates.queries[at]), -inf if logprob is None else logprob, -at

    chosen = max(range(len(candidates.queries)), key=rank)
    sql = candidates.queries[chosen]
    return Choice(chosen, votes(sql) / len(candidates.queries), failures.get((number, sql)))


def _failures(
    questions: Sequence[Candidates], databases: Path, limits: EvaluationSettings
) -> dict[_Query, str]:
    """The error of each query that fails."""
    queries = [(n, sql) for n, question in enumerate(questions) for sql in dict.fromkeys(question.queries)]
    cases = [Case(n, questions[n].db_id, gold=sql, predicted=sql) for n, sql in queries]
    verdicts = _judged(cases, databases, limits)
    return {query: _reason(v) for query, v in zip(queries, verdicts, strict=True) if v.gold_failed}


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
