"""Nothing that a prediction says stops the evaluation, harms a file or goes unnoticed."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.evaluation.hostile import GOLD, HOSTILE, SETTINGS, TIMEOUT_S, Hostile, make_databases
from text2sql.evaluation.judge import judge
from text2sql.evaluation.settings import JudgeSettings
from text2sql.evaluation.verdicts import Case

MEMORY_LIMIT_MIB = 500


@dataclass(frozen=True)
class Run:
    """What is left when all hostile predictions were judged in one go."""

    verdicts: list[dict[str, Any]]
    peak_mib: int
    before: dict[str, str]
    after: dict[str, str]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    # A process of its own: the largest child of this one may be another test's.
    folder = tmp_path_factory.mktemp("hostile")
    make_databases(folder / "databases")
    before = contents(folder)
    done = subprocess.run(
        [sys.executable, "-m", "tests.evaluation.hostile", "databases"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    return Run(found["verdicts"], found["peak_mib"], before, contents(folder))


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_corpus_is_large_and_its_names_are_unique() -> None:
    assert len(HOSTILE) >= 300
    assert len({hostile.name for hostile in HOSTILE}) == len(HOSTILE)


def test_every_prediction_has_its_verdict_in_order(run: Run) -> None:
    assert [verdict["row"] for verdict in run.verdicts] == list(range(len(HOSTILE)))


@pytest.mark.parametrize("row", range(len(HOSTILE)), ids=[hostile.name for hostile in HOSTILE])
def test_it_is_wrong_and_its_error_has_the_right_class(run: Run, row: int) -> None:
    verdict = run.verdicts[row]
    assert verdict["ex"] is False
    assert verdict["ex_plug"] is False
    assert verdict["error"] in HOSTILE[row].outcomes, verdict["message"]


def test_no_prediction_outlasts_its_deadline_by_more_than_a_second(run: Run) -> None:
    late = {HOSTILE[v["row"]].name: v["seconds"] for v in run.verdicts if v["seconds"] > TIMEOUT_S + 1.0}
    assert late == {}


def test_an_error_comes_with_a_message(run: Run) -> None:
    silent = [HOSTILE[v["row"]].name for v in run.verdicts if v["error"] and not v["message"]]
    assert silent == []


def test_the_gold_never_suffers(run: Run) -> None:
    assert {verdict["hardness"] for verdict in run.verdicts} == {"medium"}


def test_no_file_is_written_changed_or_left(run: Run) -> None:
    assert run.after == run.before


def test_memory_stays_bounded(run: Run) -> None:
    assert run.peak_mib < MEMORY_LIMIT_MIB


def test_a_right_prediction_behind_every_killed_one_is_right(tmp_path: Path) -> None:
    make_databases(tmp_path)
    endless = [hostile for hostile in HOSTILE if hostile.name in ("trim in one step", "DROP TABLE")]
    judged = judge(alternating(endless), tmp_path, SETTINGS, workers=1)
    assert [verdict.ex for verdict in judged] == [False, True] * len(endless)


def alternating(hostiles: list[Hostile]) -> list[Case]:
    texts = [text for hostile in hostiles for text in (hostile.sql, GOLD)]
    return [Case(row, "concert", GOLD, text) for row, text in enumerate(texts)]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT age FROM singer; DROP TABLE singer",
        "DROP TABLE singer; SELECT age FROM singer",
        "SELECT 1; ATTACH 'pwned.db' AS other",
    ],
)
def test_several_statements_are_denied_whole_with_distinct_kept(tmp_path: Path, sql: str) -> None:
    make_databases(tmp_path)
    settings = JudgeSettings(timeout_s=5.0, keep_distinct=True)
    (verdict,) = judge([Case(0, "concert", GOLD, sql)], tmp_path, settings, workers=1)
    assert (verdict.ex, verdict.error) == (False, "denied")


def test_a_hostile_gold_is_named_and_judges_nothing(tmp_path: Path) -> None:
    make_databases(tmp_path)
    golds = {hostile.name: hostile.sql for hostile in HOSTILE}
    names = ["DROP TABLE", "endless recursion counted", "trim in one step", "nothing", "a NUL in a string"]
    cases = [Case(row, "concert", golds[name], GOLD) for row, name in enumerate(names)]
    verdicts = list(judge(cases, tmp_path, SETTINGS, workers=1))
    errors = ["gold: denied", "gold: timeout", "gold: timeout", "gold: empty", "gold: other"]
    assert [verdict.error for verdict in verdicts] == errors
    assert {verdict.ex for verdict in verdicts} == {None}
