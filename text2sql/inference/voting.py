"""Choosing among several answers to a question by what they return on its database.

The idea is that wrong queries go wrong in different ways (self-consistency,
https://arxiv.org/abs/2203.11171, by execution as in https://arxiv.org/abs/2204.11454). The judge itself
runs the queries, one as the gold of another, in the worker processes that it judges predictions in.
Neither the question's gold query nor its result is used.
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
class Ballot:
    """The queries drawn to one question, at least one, each with its likelihood (None: not known)."""

    db_id: str
    queries: tuple[str, ...]
    logprobs: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Vote:
    """The number of the query chosen, and the share of all queries that return the same.

    `failure` says why it returns nothing, which is so only if no query of the ballot runs.
    """

    chosen: int
    agreement: float
    failure: str | None


def as_written(limits: EvaluationSettings) -> JudgeSettings:
    """How answers are compared: as they were written, DISTINCT and the word "value" included."""
    return JudgeSettings(
        timeout_s=limits.timeout_s, max_rows=limits.max_rows, keep_distinct=True, keep_value=True
    )


def vote(ballots: Sequence[Ballot], databases: Path, limits: EvaluationSettings) -> list[Vote]:
    """Choose of each ballot the query whose result most of its queries return.

    Two results are the same if each query would be right were the other the gold. Ties go to the
    likelier query, then to the one drawn first. Where a folder ID/ holds several databases, a query
    must run on all of them, and the results on ID.sqlite are compared.
    """
    failures = _failures(ballots, databases, limits)
    same = _same_results(ballots, failures, databases, limits)
    return [_choose(number, ballot, failures, same) for number, ballot in enumerate(ballots)]


_Query = tuple[int, str]  # the number of its ballot, and its text
_Pair = tuple[int, str, str]


def _choose(number: int, ballot: Ballot, failures: dict[_Query, str], same: set[_Pair]) -> Vote:
    def votes(sql: str) -> int:
        if (number, sql) in failures:
            return 0
        return sum(sql == other or (number, sql, other) in same for other in ballot.queries)

    def rank(at: int) -> tuple[int, float, int]:
        logprob = ballot.logprobs[at]
        return votes(ballot.queries[at]), -inf if logprob is None else logprob, -at

    chosen = max(range(len(ballot.queries)), key=rank)
    sql = ballot.queries[chosen]
    return Vote(chosen, votes(sql) / len(ballot.queries), failures.get((number, sql)))


def _failures(ballots: Sequence[Ballot], databases: Path, limits: EvaluationSettings) -> dict[_Query, str]:
    """What SQLite says of each query that returns nothing."""
    queries = [(n, sql) for n, ballot in enumerate(ballots) for sql in dict.fromkeys(ballot.queries)]
    cases = [Case(n, ballots[n].db_id, gold=sql, predicted=sql) for n, sql in queries]
    verdicts = _judged(cases, databases, limits)
    return {query: _reason(v) for query, v in zip(queries, verdicts, strict=True) if v.gold_failed}


def _same_results(
    ballots: Sequence[Ballot], failures: dict[_Query, str], databases: Path, limits: EvaluationSettings
) -> set[_Pair]:
    """The pairs of queries, of those that run, that return the same, in both orders."""
    pairs = [
        (n, one, other)
        for n, ballot in enumerate(ballots)
        for one, other in permutations(dict.fromkeys(ballot.queries), 2)
        if not {(n, one), (n, other)} & failures.keys()
    ]
    cases = [Case(n, ballots[n].db_id, gold=one, predicted=other) for n, one, other in pairs]
    verdicts = _judged(cases, databases, limits)
    right = {pair for pair, verdict in zip(pairs, verdicts, strict=True) if verdict.ex}
    return {(n, one, other) for n, one, other in right if (n, other, one) in right}


def _judged(cases: Sequence[Case], databases: Path, limits: EvaluationSettings) -> list[Verdict]:
    if not cases:
        return []
    # spawn: this process runs the threads of torch, and perhaps a GPU
    return list(judge(cases, databases, as_written(limits), method="spawn"))


def _reason(verdict: Verdict) -> str:
    kind = str(verdict.error).removeprefix("gold: ").replace("_", " ")
    message = str(verdict.message)
    return message if message.startswith(kind) else f"{kind}: {message}"
