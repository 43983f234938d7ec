"""The comment on a pull request: scores and plots compared with its base, as Markdown."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def _git(place: Path, *arguments: str) -> None:
    author = {f"GIT_{who}_{what}": "t@t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    subprocess.run(["git", *arguments], cwd=place, check=True, env=os.environ | author)


def _write(place: Path, full: float, losses: list[float]) -> None:
    (place / "metrics" / "loss").mkdir(parents=True, exist_ok=True)
    (place / "metrics" / "summary.json").write_text(json.dumps({"baseline": 20.0, "full": full}))
    rows = "".join(f"{step},{loss},0.001\n" for step, loss in enumerate(losses, 1))
    (place / "metrics" / "loss" / "train_full.csv").write_text(f"step,loss,learning_rate\n{rows}")


def _charts(place: Path) -> str:
    command = [sys.executable, str(ROOT / "scripts" / "plots_markdown.py"), "HEAD"]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A repository whose last commit has scores and one loss history."""
    _write(tmp_path, 60.0, [3.0, 2.0])
    _git(tmp_path, "init", "-q")
    _git(tmp_path, "add", "-A")
    _git(tmp_path, "commit", "-qm", "base")
    return tmp_path


def test_the_branch_is_bars_and_the_base_a_line(place: Path) -> None:
    _write(place, 70.0, [3.0, 2.0])
    charts = _charts(place)
    assert "x-axis [baseline, full]\n" in charts
    assert "bar [20, 70]\n" in charts
    assert "line [20, 60]\n" in charts


def test_only_changed_losses_are_plotted(place: Path) -> None:
    assert "training loss" not in _charts(place)
    _write(place, 60.0, [3.0, 1.5])
    assert "line [3, 1.5]\n  line [3, 2]\n" in _charts(place)


def test_with_an_arm_that_the_base_does_not_have_there_is_no_line(place: Path) -> None:
    (place / "metrics" / "summary.json").write_text(json.dumps({"baseline": 20.0, "lora": 30.0}))
    assert "line [" not in _charts(place)


def _write_sets(place: Path, **scores: dict[str, float | None]) -> None:
    (place / "metrics" / "summary.json").write_text(json.dumps(scores))


def test_every_test_set_has_a_chart(place: Path) -> None:
    _write_sets(place, baseline={"spider": 20.0, "geo": 5.0}, full={"spider": 60.0, "geo": 7.0})
    _git(place, "commit", "-qam", "two sets")
    _write_sets(place, baseline={"spider": 20.0, "geo": 5.0}, full={"spider": 70.0, "geo": 8.0})
    charts = _charts(place)
    assert charts.count("x-axis [baseline, full]\n") == 2
    assert 'title "spider: execution accuracy in percent' in charts
    assert "bar [20, 70]\n  line [20, 60]\n" in charts
    assert 'title "geo: execution accuracy in percent' in charts
    assert "bar [5, 8]\n  line [5, 7]\n" in charts


def test_a_base_with_an_unnamed_test_set_gives_no_line(place: Path) -> None:
    _write_sets(place, baseline={"spider": 20.0, "geo": 5.0}, full={"spider": 60.0, "geo": 7.0})
    assert "line [" not in _charts(place)


def test_a_test_set_without_scores_has_no_chart(place: Path) -> None:
    _write_sets(place, baseline={"spider": 20.0, "own": None}, full={"spider": 60.0, "own": None})
    assert "own" not in _charts(place)
    (place / "metrics" / "summary.json").write_text('{"baseline": null, "full": null}')
    assert "Execution accuracy" not in _charts(place)


def test_a_long_history_is_thinned_and_keeps_its_last_value(place: Path) -> None:
    _write(place, 60.0, [float(step) for step in range(1, 1001)])
    drawn = next(line for line in _charts(place).splitlines() if line.strip().startswith("line [25"))
    assert len(drawn.split(",")) == 40
    assert drawn.endswith(" 1000]")
