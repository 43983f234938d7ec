"""Verdicts on predictions, in processes of this machine or on a Ray cluster."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from text2sql.evaluation import EVALUATOR_VERSION
from text2sql.evaluation.case_judge import Judge
from text2sql.evaluation.execution.sandbox import SQL_LENGTH
from text2sql.evaluation.pool import QUICKEST, ProcessPool
from text2sql.evaluation.spider.schema import read_tables
from text2sql.evaluation.verdicts import Case, Rules, Verdict

Executor = Literal["processes", "ray"]
_BATCH = 32  # cases handed to a worker at a time


def judge(
    cases: Iterable[Case],
    databases: Path,
    rules: Rules,
    *,
    tables: Path | None = None,
    gold_cache: Path | None = None,
    workers: int | None = None,
    executor: Executor = "processes",
    method: Literal["fork", "spawn"] | None = None,
) -> Iterator[Verdict]:
    """Yield a verdict for each case, in the order of the cases, as they come.

    `databases` has Spider's layout (ID/ID.sqlite, more files in ID/ make a test suite). `tables` is
    Spider's tables.json, whose foreign keys exact set match needs (None: those of the SQLite files).
    `gold_cache` is a file that keeps the results of gold queries for the next arm. `workers` are
    processes (None: one a core), or with `executor` "ray" Ray's actors (None: all of the cluster).
    `method` is how processes are started (None: the quickest here); a program that holds a GPU or
    runs threads should spawn.
    UserError: tables or gold_cache cannot be read, or Ray is not installed. What is wrong with a
    database or a query is in the verdicts.
    """
    make_judge = partial(Judge, databases, rules, read_tables(tables) if tables else None, gold_cache)
    batches = _batches(cases)
    if executor == "ray":
        from text2sql.evaluation.ray_pool import judge_on_ray

        return judge_on_ray(batches, make_judge, rules.timeout_s, workers)
    count = workers or len(os.sched_getaffinity(0))
    return ProcessPool(make_judge, rules.timeout_s, count, method or QUICKEST).judge(batches)


def describe(rules: Rules) -> dict[str, Any]:
    """Return what a number depends on beside queries and databases: version, SQLite, flags, limits."""
    flags = {key: value for key, value in asdict(rules).items() if key not in ("execute", "match")}
    return {"version": EVALUATOR_VERSION, "sqlite": sqlite3.sqlite_version, **flags}


def _batches(cases: Iterable[Case]) -> Iterator[list[Case]]:
    remaining = map(_shorten, cases)
    while batch := list(islice(remaining, _BATCH)):
        yield batch


def _shorten(case: Case) -> Case:
    """Cut a prediction off where it is too long for SQLite already, so that it costs no more memory."""
    if len(case.predicted) <= SQL_LENGTH:
        return case
    return replace(case, predicted=case.predicted[: SQL_LENGTH + 1])
