"""`dvc metrics diff` on the scores of several test sets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from text2sql.evaluation.scores_by_set import ScoresBySet
from text2sql.evaluation.verdicts import Verdict
from text2sql.files import write_json, write_jsonl
from text2sql.report import sets
from text2sql.report.scores import read_sets

pytestmark = pytest.mark.slow


def _run(place: Path, *command: str) -> str:
    """Output of a command in `place` that must succeed."""
    author = {f"GIT_{who}_{what}": "t@t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    settings = os.environ | author | {"PATH": path}
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, env=settings)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _write(place: Path, spider: str, geo: str = "") -> None:
    """Write metrics, verdicts and summary of the arm lora; a character per question: 1 right, 0 wrong."""
    marks = [("spider", mark == "1") for mark in spider] + [("geo", mark == "1") for mark in geo]
    scores = ScoresBySet(name for name, _ in marks)
    rows = [scores.add(name, Verdict(n, "db", "", "easy", ex)) for n, (name, ex) in enumerate(marks)]
    write_json(place / "metrics/lora.json", scores.metrics({}))
    write_jsonl(place / "verdicts/lora.jsonl", rows)
    scored = read_sets(["lora"], place / "metrics", place / "verdicts")
    write_json(place / "metrics/summary.json", sets.summary(scored))


def _diff(place: Path, target: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_run(place, "dvc", "metrics", "diff", "--json", "--targets", target))
    return found.get(target, {})


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A repository in whose commit both sets have an accuracy of 50 %."""
    _write(tmp_path, "10", "1010")
    (tmp_path / "dvc.yaml").write_text("metrics:\n- metrics/summary.json\n")
    _run(tmp_path, "git", "init", "-q")
    _run(tmp_path, "dvc", "init", "-q")
    _run(tmp_path, "git", "add", "-A")
    _run(tmp_path, "git", "commit", "-qm", "first")
    return tmp_path


def test_a_change_on_another_set_is_one_line_of_the_summary(place: Path) -> None:
    _write(place, "10", "1110")
    assert _diff(place, "metrics/summary.json") == {"lora.geo": {"old": 50.0, "new": 75.0, "diff": 25.0}}
    table = _run(place, "dvc", "metrics", "diff")
    assert "lora.geo" in table and "lora.spider" not in table


def test_the_scores_of_an_arm_are_compared_set_by_set(place: Path) -> None:
    _write(place, "10", "1110")
    found = _diff(place, "metrics/lora.json")
    assert found["other_sets.geo.ex.all"] == {"old": 50.0, "new": 75.0, "diff": 25.0}
    assert all(name.startswith("other_sets.geo.") for name in found)
    _write(place, "11", "1010")
    assert _diff(place, "metrics/lora.json")["ex.all"] == {"old": 50.0, "new": 100.0, "diff": 50.0}


def test_the_first_set_compares_with_a_commit_that_had_it_alone(place: Path) -> None:
    _write(place, "10")
    _run(place, "git", "commit", "-qam", "one set")
    _write(place, "11", "1010")
    assert _diff(place, "metrics/lora.json")["ex.all"] == {"old": 50.0, "new": 100.0, "diff": 50.0}
