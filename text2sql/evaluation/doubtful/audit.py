"""Examines the golds of a set, each distinct query once, in worker processes."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from text2sql.evaluation.doubtful.examine import Examined, Examiner, GoldCase, examine_text, runnable
from text2sql.evaluation.doubtful.questions import Gold, contradictions, rivals
from text2sql.evaluation.doubtful.reasons import Finding, in_order
from text2sql.evaluation.pool import QUICKEST, Limits, ProcessPool
from text2sql.evaluation.settings import EvaluationSettings
from text2sql.schema.queries import SQL_LENGTH

_BATCH = 16  # queries handed to a worker at a time


@dataclass(frozen=True, slots=True)
class Audited:
    """A row with its findings; `unchecked` says what could not be run, "" if all was."""

    gold: Gold
    findings: tuple[Finding, ...]
    unchecked: str = ""


def audit(
    golds: Sequence[Gold],
    databases: Path | None,
    settings: EvaluationSettings,
    *,
    workers: int | None = None,
    advance: Callable[[], None] = lambda: None,
) -> list[Audited]:
    """Return the findings of each row, in the order of the rows.

    `databases` has ID/ID.sqlite or ID.sqlite; without it only the text is examined. `workers` is the number
    of processes (None: one per core). `advance` is called after each distinct query. A query that fails,
    hangs or returns too much does not end the run.
    """
    cases = _cases(golds)
    distinct = list(dict.fromkeys(cases))
    examined = _examined(distinct, databases, settings, workers)
    found: dict[GoldCase, Examined] = {}
    for case, result in zip(distinct, examined, strict=True):
        found[case] = result
        advance()
    opposed = contradictions(golds)
    return [
        Audited(
            gold, _sorted([*found[case].findings, *_contradiction(opposed, place)]), found[case].unchecked
        )
        for place, (gold, case) in enumerate(zip(golds, cases, strict=True))
    ]


def number_of_queries(golds: Sequence[Gold]) -> int:
    """The number of distinct queries that `audit` examines."""
    return len(set(_cases(golds)))


def _cases(golds: Sequence[Gold]) -> list[GoldCase]:
    others = rivals(golds)
    return [
        GoldCase(
            gold.db_id,
            gold.gold,
            tuple((f"row {golds[at].row}", golds[at].gold) for at in others.get(place, ())),
        )
        for place, gold in enumerate(golds)
    ]


def _examined(
    cases: Sequence[GoldCase], databases: Path | None, settings: EvaluationSettings, workers: int | None
) -> Iterator[Examined]:
    if databases is None:
        yield from map(_text_only, cases)
        return
    count = workers or len(os.sched_getaffinity(0))
    limits = Limits(settings.timeout_s, settings.memory_mb)
    with TemporaryDirectory(prefix="text2sql-reversed-") as scratch:
        make = partial(Examiner, databases, settings, Path(scratch))
        yield from ProcessPool(make, limits, count, QUICKEST).judge(cases)


def _text_only(case: GoldCase) -> Examined:
    found = list(examine_text(case.gold))
    message = _refused(runnable(case.gold))
    if message:
        found.insert(0, Finding("fails", message, True))
    found += [
        Finding("paraphrase_disagrees", f"{name} asks in nearly the same words, and has another gold")
        for name, _ in case.rivals
    ]
    return Examined(tuple(found))


def _refused(sql: str) -> str:
    """SQLite's message if it cannot read the text, whatever the database; "" if it can."""
    if len(sql) > SQL_LENGTH:
        return f"longer than {SQL_LENGTH} characters"
    with closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.execute(f"EXPLAIN {sql}")
        except (sqlite3.Error, sqlite3.Warning, UnicodeError) as error:
            known = ("syntax error", "unrecognized token", "incomplete input", "one statement at a time")
            return str(error) if any(words in str(error) for words in known) else ""
    return ""


def _contradiction(opposed: dict[int, str], place: int) -> list[Finding]:
    return [Finding("paraphrase_disagrees", opposed[place])] if place in opposed else []


def _sorted(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The findings in the order of the reasons, and of one reason those with an effect first."""
    order = in_order({finding.reason for finding in findings})
    return tuple(sorted(findings, key=lambda each: (order.index(each.reason), not each.effect)))
