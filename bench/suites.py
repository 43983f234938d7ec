"""Time and size of made test suites on Spider dev, and of judging on them, beside raw execution.

bench/README.md says what the lines mean.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import click

from bench.evaluate import CORES, read_cases, seconds
from text2sql.databases import database_path
from text2sql.errors import UserError
from text2sql.evaluation.execution.suite import Suite
from text2sql.evaluation.judge import judge
from text2sql.evaluation.settings import JudgeSettings
from text2sql.evaluation.verdicts import Case
from text2sql.preparation.outside_data import data_folder
from text2sql.suites.make import make_suites, summary
from text2sql.suites.settings import SuiteSettings

MAKE_LIMIT_S, JUDGE_LIMIT_S, SIZE_LIMIT_MB = 600, 60, 50


@click.command()
@click.option("--arm", default="full", show_default=True, help="Arm whose predictions are judged.")
@click.option("--databases", default=20, show_default=True, help="Most databases made of each original one.")
def main(arm: str, databases: int) -> None:
    """Print seconds and megabytes, each with its limit; exit status 1 if a limit is exceeded."""
    try:
        data = data_folder()
    except UserError as error:
        sys.exit(f"error: {error}")
    cases, originals = read_cases(data, arm), data / "spider" / "database"
    golds: defaultdict[str, list[str]] = defaultdict(list)
    for case in cases:
        golds[case.db_id].append(case.gold)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TEXT2SQL_WORK"] = f"{folder}/work"
        suite = Path(folder) / "suite"
        settings = SuiteSettings(databases=databases)
        started = time.perf_counter()
        quality = make_suites(golds, originals, suite, settings, processes=CORES)
        good = [print_line("make", time.perf_counter() - started, MAKE_LIMIT_S, f"s; {summary(quality)}")]
        size = sum(file.stat().st_size for file in suite.rglob("*") if file.is_file()) / 1e6
        good.append(print_line("size", size, SIZE_LIMIT_MB, "MB"))
        raw = seconds(lambda: execute(cases, originals, Suite.read(suite, originals)))
        strict = JudgeSettings(metrics=["ts_plug"])
        judged = seconds(lambda: list(judge(cases, originals, strict, suite=suite, workers=CORES)))
        note = f"s, {judged / raw:.2f} times raw execution of all queries on one core ({raw:.1f} s)"
        good.append(print_line("judge with values plugged in", judged, JUDGE_LIMIT_S, note))
    sys.exit(0 if all(good) else 1)


def execute(cases: Sequence[Case], databases: Path, suite: Suite) -> None:
    """Run gold and prediction of each case on its database and on those of the suite, ignoring failures."""
    open_files: dict[Path, sqlite3.Connection] = {}
    for case in cases:
        for file in [database_path(databases, case.db_id), *suite.files(case.db_id, case.gold)]:
            connection = open_files.get(file) or sqlite3.connect(file)
            open_files[file] = connection
            for sql in (case.gold, case.predicted):
                with suppress(sqlite3.Error, sqlite3.Warning):
                    connection.execute(sql).fetchall()
    for connection in open_files.values():
        connection.close()


def print_line(label: str, figure: float, limit: float, note: str) -> bool:
    """Print one result; return whether it is within its limit."""
    verdict = "good" if figure <= limit else "OVER THE LIMIT"
    print(f"{label}: {figure:.1f} (limit {limit}) {note}: {verdict}", flush=True)
    return figure <= limit


if __name__ == "__main__":
    main()
