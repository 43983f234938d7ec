"""The reference's published scores beside those of its published predictions on suites made here.

Usage: python -m scripts.published_table    prints the tables of docs/published-table.md; needs TEXT2SQL_DATA

Reads spider/dev_sql.json, spider/database, reference/predictions/ARM.sql and reference/published_table.json
below that folder. Takes about two minutes on two cores; the suite is kept in the work store.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from text2sql.cpu import allowed_cores
from text2sql.errors import UserError
from text2sql.evaluation.judge import judge
from text2sql.evaluation.scores import Scores
from text2sql.evaluation.settings import JudgeSettings
from text2sql.evaluation.verdicts import Case
from text2sql.files import read_json
from text2sql.preparation.outside_data import data_folder
from text2sql.suites.make import make_suites
from text2sql.suites.settings import SuiteSettings

SEEDS = (1, 2, 3)


def main() -> None:
    """Print the table for each seed."""
    try:
        data = data_folder()
        published = read_json(data / "reference/published_table.json")
        for seed in SEEDS:
            print("\n".join(table(data, published, seed)), end="\n\n", flush=True)
    except UserError as error:
        sys.exit(f"error: {error}")


def table(data: Path, published: Mapping[str, Any], seed: int) -> Iterator[str]:
    """Yield the lines of a Markdown table: for each arm published scores, those found here, differences.

    Raises:
        UserError: a file is missing.
    """
    golds = read_golds(data / "spider/dev_sql.json")
    databases, columns = data / "spider/database", published["columns"]
    with tempfile.TemporaryDirectory() as folder:
        suite = Path(folder) / "suite"
        make_suites(by_database(golds), databases, suite, SuiteSettings(seed=seed), processes=allowed_cores())
        yield f"| seed {seed} | " + " | ".join(columns) + " |"
        yield "| --- " + "| ---: " * len(columns) + "|"
        for path in sorted((data / "reference/predictions").glob("*.sql")):
            predictions = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
            pairs = enumerate(zip(golds, predictions, strict=True))
            cases = [Case(row, db_id, gold, predicted) for row, ((gold, db_id), predicted) in pairs]
            scores = Scores()
            for verdict in judge(cases, databases, JudgeSettings(metrics=["ts_plug"]), suite=suite):
                scores.add(verdict)
            found = scores.table()["ts_plug"]
            theirs = dict(zip(columns, published["rows"][path.stem], strict=True))
            yield line(f"{path.stem}, published", [theirs[name] for name in columns])
            yield line(f"{path.stem}, here", [found[name] for name in columns])
            yield line("difference", [found[name] - theirs[name] for name in columns], signed=True)


def read_golds(path: Path) -> list[tuple[str, str]]:
    """Gold SQL and db_id of each row of DB-GPT-Hub's file."""
    rows = json.loads(path.read_text(encoding="utf-8"))
    return [(row["output"], row["instruction"].split()[0]) for row in rows]


def by_database(golds: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """The gold queries of each database."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for gold, db_id in golds:
        found[db_id].append(gold)
    return found


def line(name: str, values: Sequence[float], signed: bool = False) -> str:
    """A row of the table."""
    return (
        f"| {name} | " + " | ".join(f"{value:+.1f}" if signed else f"{value:.1f}" for value in values) + " |"
    )


if __name__ == "__main__":
    main()
