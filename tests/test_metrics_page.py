"""docs/metrics.md: its table of verdicts is what the judge says, and it names every metric."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.conftest import ROOT
from text2sql.databases import database_path
from text2sql.evaluation.judge import judge
from text2sql.evaluation.settings import METRICS, JudgeSettings
from text2sql.evaluation.verdicts import Case, Verdict

PAGE = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")


def test_the_verdicts_of_the_ten_pairs_are_those_of_the_judge(tmp_path: Path) -> None:
    own = database_path(tmp_path, "sport")
    own.parent.mkdir()
    first, second = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    for path, script in ((own, first), (own.with_name("second.sqlite"), second)):
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(script)
    head, *rows = table("gold and prediction")
    assert head[2:-1] == list(METRICS)
    cases = [Case(row, "sport", *re.findall(r"`(.+?)`", cells[1])) for row, cells in enumerate(rows)]
    verdicts = judge(cases, tmp_path, JudgeSettings(metrics=list(METRICS), ves_runs=2), workers=1)
    assert [[shown(verdict, metric) for metric in METRICS] for verdict in verdicts] == [
        cells[2:-1] for cells in rows
    ]
    assert len(rows) == 10
    assert all(cells[-1] for cells in rows)


def test_every_metric_has_its_meaning() -> None:
    _, *rows = table("right if")
    assert re.findall(r"`(\w+)`", " ".join(cells[0] for cells in rows)) == list(METRICS)


def table(column: str) -> list[list[str]]:
    """The cells of the table with this column, without the line below its head."""
    (found,) = [
        block for block in re.findall(r"(?:^\|.*\n)+", PAGE, re.MULTILINE) if f"| {column} |" in block
    ]
    lines = found.splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in (lines[0], *lines[2:])]


def shown(verdict: Verdict, metric: str) -> str:
    """A verdict as the page writes it."""
    value = getattr(verdict, metric)
    if value is None:
        return "–"
    if metric == "r_ves":
        return "> 0" if value else "0"
    return f"{value:.2f}" if metric == "soft_f1" else str(int(value))
