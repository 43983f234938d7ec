"""No prediction stops the evaluation, changes a file or goes unnoticed."""

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

pytestmark = pytest.mark.slow

MEMORY_LIMIT_MIB = 500


@dataclass(frozen=True)
class Run:
    """The result of judging all hostile predictions, and the files before and after.

    `again` are verdicts with ample time on those that the deadline ended against expectation.
    """

    verdicts: list[dict[str, Any]]
    again: list[dict[str, Any]]
    peak_mib: int
    before: dict[str, str]
    after: dict[str, str]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    # A process of its own, because the largest child of this one may be another test's.
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
    return Run(**found, before=before, after=contents(folder))


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_corpus_is_large_and_its_names_are_unique() -> None:
    assert len(HOSTILE) >= 300
    assert len({hostile.name for hostile in HOSTILE}) == len(HOSTILE)


def test_every_prediction_has_its_verdict_in_order(run: Run) -> None:
    assert [verdict["row"] for verdict in run.verdicts] == list(range(len(HOSTILE)))


def test_every_prediction_is_wrong(run: Run) -> None:
    judged = [*run.verdicts, *run.again]
    right = [name_of(v) for v in judged if (v["ex"], v["ex_plug"]) != (False, False)]
    assert right == []


def test_every_error_has_the_right_class_where_time_does_not_limit(run: Run) -> None:
    settled = {v["row"]: v for v in [*run.verdicts, *run.again]}.values()
    assert len(settled) == len(HOSTILE)
    wrong = {name_of(v): (v["error"], v["message"], v["seconds"]) for v in settled if not is_expected(v)}
    assert wrong == {}


def test_a_timeout_comes_after_the_deadline_and_not_before(run: Run) -> None:
    early = {name_of(v): v["seconds"] for v in timed_out(run) if v["seconds"] < TIMEOUT_S}
    assert timed_out(run)
    assert early == {}


def test_no_prediction_exceeds_its_deadline_by_more_than_a_second(run: Run) -> None:
    # Where a busy machine lets an ordinary prediction time out, a second worker reads its text once more.
    # Likewise where a worker was killed while values were plugged in: the query itself is run again.
    steps = {verdict["row"]: 2 for verdict in run.again}
    steps |= {v["row"]: 2 for v in run.verdicts if "while values were plugged in" in (v["message"] or "")}
    limits = {row: steps.get(row, 1) * (TIMEOUT_S + 1.0) for row in range(len(HOSTILE))}
    late = {name_of(v): v["seconds"] for v in run.verdicts if v["seconds"] > limits[v["row"]]}
    assert late == {}


def test_an_error_comes_with_a_message(run: Run) -> None:
    silent = [name_of(v) for v in [*run.verdicts, *run.again] if v["error"] and not v["message"]]
    assert silent == []


def test_the_gold_query_never_fails(run: Run) -> None:
    assert {verdict["hardness"] for verdict in [*run.verdicts, *run.again]} == {"medium"}


def test_no_file_is_written_changed_or_left(run: Run) -> None:
    assert run.after == run.before


def test_memory_stays_bounded(run: Run) -> None:
    assert run.peak_mib < MEMORY_LIMIT_MIB


def name_of(verdict: dict[str, Any]) -> str:
    return HOSTILE[verdict["row"]].name


def is_expected(verdict: dict[str, Any]) -> bool:
    return verdict["error"] in HOSTILE[verdict["row"]].outcomes


def timed_out(run: Run) -> list[dict[str, Any]]:
    return [verdict for verdict in run.verdicts if verdict["error"] == "timeout"]


def test_a_right_prediction_after_every_killed_one_is_right(tmp_path: Path) -> None:
    make_databases(tmp_path)
    endless = [hostile for hostile in HOSTILE if hostile.name in ("trim in one step", "DROP TABLE")]
    verdicts = list(judge(alternating(endless), tmp_path, SETTINGS, workers=1))
    assert [verdict.ex for verdict in verdicts] == [False, True] * len(endless)
    assert "its process was killed" in {verdict.message for verdict in verdicts}


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


def test_a_hostile_gold_query_is_named_and_gives_no_verdict(tmp_path: Path) -> None:
    make_databases(tmp_path)
    golds = {hostile.name: hostile.sql for hostile in HOSTILE}
    names = ["DROP TABLE", "endless recursion counted", "trim in one step", "nothing", "a NUL in a string"]
    cases = [Case(row, "concert", golds[name], GOLD) for row, name in enumerate(names)]
    verdicts = list(judge(cases, tmp_path, SETTINGS, workers=1))
    errors = ["gold: denied", "gold: timeout", "gold: timeout", "gold: empty", "gold: other"]
    assert [verdict.error for verdict in verdicts] == errors
    assert {verdict.ex for verdict in verdicts} == {None}
