"""Judges predictions, in processes on this machine or on a Ray cluster."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from text2sql.evaluation.case_judge import CaseJudge
from text2sql.evaluation.execution.suite import Suite
from text2sql.evaluation.pool import QUICKEST, Limits, ProcessPool
from text2sql.evaluation.settings import JudgeSettings
from text2sql.evaluation.spider.schema import read_schemas, read_tables
from text2sql.evaluation.verdicts import Case, Verdict
from text2sql.schema.queries import SQL_LENGTH

EVALUATOR_VERSION = "3.0"
"""Raise it with every change that can change a verdict or a score; it is in each metrics file."""


def judge(
    cases: Iterable[Case],
    databases: Path | None,
    settings: JudgeSettings,
    *,
    tables: Path | None = None,
    gold_cache: Path | None = None,
    suite: Path | None = None,
    workers: int | None = None,
    method: Literal["fork", "spawn"] | None = None,
) -> Iterator[Verdict]:
    """Yield a verdict for each case, in the order of the cases, as they are ready.

    `databases` has Spider's layout (ID/ID.sqlite; further files in ID/ make a test suite); None: there are
    none, which is enough for exact set match with the columns of `tables`. `tables` is
    Spider's tables.json, whose foreign keys exact set match uses (None: those of the SQLite files).
    `gold_cache` is a file that keeps the results of gold queries for the next arm. `suite` is the folder of a
    made test suite, whose databases count for `ts` and `ts_plug` beside those in ID/. `workers` is the
    number of processes (None: one per core), or with the executor "ray" of Ray actors (None: the whole
    cluster). `method` is how processes start (None: the fastest on this system); a program that uses a
    GPU or runs threads should spawn.

    A failing query or database does not end the run: its error is in the verdict.

    Raises:
        UserError: `tables`, `gold_cache` or `suite` cannot be read, or Ray is not installed.
    """
    foreign_keys = read_tables(tables) if tables else None
    schemas = read_schemas(tables) if tables and not databases else None
    made = Suite.read(suite, databases) if suite and databases else None
    make_judge = partial(CaseJudge, databases, settings, foreign_keys, gold_cache, made, schemas)
    limits = Limits(settings.timeout_s, settings.memory_mb)
    shortened = map(_shorten, cases)
    if settings.executor == "ray":
        from text2sql.evaluation.ray_pool import judge_on_ray

        return judge_on_ray(shortened, make_judge, limits, workers)
    count = workers or len(os.sched_getaffinity(0))
    return ProcessPool(make_judge, limits, count, method or QUICKEST).judge(shortened)


def describe(settings: JudgeSettings) -> dict[str, Any]:
    """Return what a score depends on besides queries and databases: versions, flags and limits."""
    described: dict[str, Any] = {
        "version": EVALUATOR_VERSION,
        "sqlite": sqlite3.sqlite_version,
        "timeout_s": settings.timeout_s,
        "max_rows": settings.max_rows,
        "memory_mb": settings.memory_mb,
        "spill_mb": settings.spill_mb,
        "plug_values": settings.plugs_values,
        "keep_distinct": settings.keep_distinct,
        "keep_value": settings.keep_value,
    }
    return described | ({"ves_runs": settings.ves_runs} if "r_ves" in settings.metrics else {})


def _shorten(case: Case) -> Case:
    """Cut a prediction that is too long for SQLite anyway, to save memory."""
    if len(case.predicted) <= SQL_LENGTH:
        return case
    return replace(case, predicted=case.predicted[: SQL_LENGTH + 1])
