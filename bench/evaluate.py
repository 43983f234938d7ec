"""Time of judging, compared with only executing the same queries.

Plain execution is the baseline: the gold query and the prediction of each question through `sqlite3`,
all rows fetched, one connection per database, one core. bench/README.md shows the output.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from itertools import groupby
from operator import attrgetter
from pathlib import Path

import click

from text2sql.databases import database_path
from text2sql.errors import UserError
from text2sql.evaluation.execution.databases import database_files
from text2sql.evaluation.judge import judge
from text2sql.evaluation.settings import JudgeSettings
from text2sql.evaluation.verdicts import Case
from text2sql.preparation.outside_data import data_folder

CORES = len(os.sched_getaffinity(0))
LIMITS = {"one database": 1.5, "plugged values": 4.0, "several databases": 1.5 / CORES}  # times plain
MEMORY_LIMIT_MIB = 500


@click.command()
@click.option("--arm", default="lora32", show_default=True, help="Arm whose predictions are judged.")
@click.option("--copies", default=50, show_default=True, help="Databases of a schema in the third line.")
@click.option(
    "--rounds", default=5, show_default=True, help="Runs of the first two lines; medians are printed."
)
def main(arm: str, copies: int, rounds: int) -> None:
    """Print seconds, ratios and peak memory, each with its limit; exit status 1 if a limit is exceeded."""
    try:
        data = data_folder()
    except UserError as error:
        sys.exit(f"error: {error}")
    cases = read_cases(data, arm)
    databases = data / "spider" / "database"
    print(f"{len(cases)} questions of Spider dev, predictions of {arm}, {CORES} cores")
    good = [
        compare("one database", cases, databases, JudgeSettings(), 1, rounds),
        compare("plugged values", cases, databases, JudgeSettings(metrics=["ex", "ex_plug"]), 1, rounds),
    ]
    with tempfile.TemporaryDirectory() as folder:
        multiply(cases, databases, Path(folder), copies)
        good.append(compare("several databases", cases, Path(folder), JudgeSettings(), CORES, rounds=1))
    good.append(print_memory())
    sys.exit(0 if all(good) else 1)


def read_cases(data: Path, arm: str) -> list[Case]:
    """Return Spider dev with the predictions of an arm, in the order of the file."""
    questions = json.loads((data / "spider" / "dev_sql.json").read_text(encoding="utf-8"))
    text = (data / "reference" / "predictions" / f"{arm}.sql").read_text(encoding="utf-8")
    pairs = zip(questions, text.removesuffix("\n").split("\n"), strict=True)
    return [
        Case(row, question["instruction"].split()[0], question["output"], predicted)
        for row, (question, predicted) in enumerate(pairs)
    ]


def multiply(cases: Sequence[Case], databases: Path, folder: Path, copies: int) -> None:
    """Copy each database to its folder in `folder`, `copies` times."""
    for db_id in {case.db_id for case in cases}:
        (folder / db_id).mkdir()
        for number in range(copies):
            name = f"{db_id}_{number}.sqlite" if number else f"{db_id}.sqlite"
            shutil.copyfile(database_path(databases, db_id), folder / db_id / name)


def compare(
    label: str, cases: Sequence[Case], databases: Path, settings: JudgeSettings, workers: int, rounds: int
) -> bool:
    """Time both alternately, so that a slow minute of the machine affects both; print the medians."""
    plain, ours = [], []
    for _ in range(rounds):
        plain.append(seconds(lambda: execute(cases, databases)))
        ours.append(seconds(lambda: list(judge(cases, databases, settings, workers=workers))))
    a, b, limit = statistics.median(plain), statistics.median(ours), LIMITS[label]
    figures = f"plain {a:6.2f} s, judged {b:6.2f} s, ratio {b / a:5.2f}, limit {limit:.2f}"
    return print_line(label, f"{figures} ({workers} workers)", b / a <= limit)


def seconds(work: Callable[[], object]) -> float:
    """Return how long `work` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def execute(cases: Sequence[Case], databases: Path) -> None:
    """Run gold and prediction of each case on each database in its folder, ignoring failures."""
    for db_id, group in groupby(cases, attrgetter("db_id")):
        queries = list(texts(group))
        for file in database_files(databases, db_id):
            with closing(sqlite3.connect(file)) as connection:
                for sql in queries:
                    with suppress(sqlite3.Error, sqlite3.Warning):
                        connection.execute(sql).fetchall()


def texts(cases: Iterator[Case]) -> Iterator[str]:
    """Yield the gold and the predicted query of each case."""
    for case in cases:
        yield case.gold
        yield case.predicted


def print_memory() -> bool:
    """Print an upper bound on the memory of all processes together: each worker counts as the largest."""
    own, largest = (
        resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    total = own + CORES * largest
    figures = f"{total:.0f} MiB ({own:.0f} and {CORES} times {largest:.0f}), limit {MEMORY_LIMIT_MIB}"
    return print_line("peak memory", figures, total <= MEMORY_LIMIT_MIB)


def print_line(label: str, figures: str, good: bool) -> bool:
    """Print one result; return whether it is within its limit."""
    print(f"{label:<18} {figures}: {'good' if good else 'OVER THE LIMIT'}", flush=True)
    return good


if __name__ == "__main__":
    main()
