"""The plots of dvc.yaml with DVC, with and without the speed files of a run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.small_raw import without_contexts
from text2sql.training.run import write_loss
from text2sql.training.throughput import write_throughput
from text2sql.training.validation import Point, write_validation

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
COPIED = [
    *("dvc.yaml", ".dvc/config", ".dvcignore"),
    *(".gitignore", ".dvc/.gitignore", "metrics/throughput/.gitignore"),
]
LINES = [{"step": 10, "tokens_per_s": 900.0, "mfu": 0.31}, {"step": 20, "tokens_per_s": 950.0, "mfu": 0.33}]
SHOWN = {"loss", "validation_accuracy", "accuracy_by_hardness"}
SPEED = ["mfu/train_full.csv", "tokens_per_s/train_full.csv", "tokens_per_s/train_lora32.csv"]


def _run(place: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in `place` that must succeed."""
    author = {f"GIT_{who}_{what}": "t@t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    settings = os.environ | author | {"PATH": path}
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, env=settings)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


def _plots(place: Path, *command: str) -> dict[str, Any]:
    """The plots that have points, by name; DVC must not report an error."""
    done = _run(place, "dvc", "plots", *command, "--json")
    assert "failed to load" not in done.stderr
    answer = json.loads(done.stdout)
    assert "errors" not in answer
    return {name: plot for name, (plot,) in answer["data"].items()}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A fresh clone without arms of section train: the files of plots that are in git, and none of a run."""
    for name in COPIED:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    params = without_contexts(yaml.safe_load((ROOT / "params.yaml").read_text()))
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    for stage in _stages():
        write_loss([{"step": 10, "loss": 2.0, "learning_rate": 0.1}], tmp_path / f"metrics/loss/{stage}.csv")
        measured = [Point(10, 2.1, 40.0, 5)] if stage == "train_full" else []
        write_validation(measured, tmp_path / f"metrics/validation/{stage}.csv")
    (tmp_path / "metrics/accuracy_by_hardness.csv").write_text(
        "arm,hardness,ex,bar\nfull,all,50.0,full all\n"
    )
    _run(tmp_path, "git", "init", "-q")
    _run(tmp_path, "git", "add", "-A")
    _run(tmp_path, "git", "commit", "-qm", "fresh")
    return tmp_path


def _stages() -> Iterator[str]:
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    return (name for name in pipeline["stages"] if name.startswith("train_"))


def _train(place: Path) -> None:
    """Write the speed files of two stages, one of them for a device whose peak is unknown."""
    folder = place / "metrics" / "throughput"
    write_throughput(LINES, folder, "train_full")
    write_throughput([{"step": 10, "tokens_per_s": 700.0}], folder, "train_lora32")


def test_a_fresh_clone_shows_its_plots_without_errors_for_missing_speed(place: Path) -> None:
    assert set(_plots(place, "show")) == SHOWN


def test_the_losses_of_training_and_validation_are_in_one_plot(place: Path) -> None:
    drawn = _plots(place, "show")
    points = drawn["loss"]["content"]["data"]["values"]
    files = {point["filename"] for point in points}
    assert files >= {"loss/train_full.csv", "validation/train_full.csv"}
    assert "validation/train_lora.csv" not in files, "nothing was measured there"
    assert "40.0" in json.dumps(drawn["validation_accuracy"])


def test_the_speed_of_every_trained_stage_is_plotted_and_ignored_by_git(place: Path) -> None:
    _train(place)
    drawn = _plots(place, "show")
    named = {f"metrics/throughput/{name}": name.split("/")[0] for name in SPEED}
    assert set(drawn) == {*SHOWN, *named}
    for name, quantity in named.items():
        chart = json.dumps({**drawn[name]["content"], "data": None})
        assert '"field": "step"' in chart and f'"field": "{quantity}"' in chart
    assert _run(place, "git", "status", "--porcelain").stdout == ""


def test_a_diff_with_a_commit_plots_the_speed_of_this_workspace(place: Path) -> None:
    _train(place)
    assert {f"metrics/throughput/{name}" for name in SPEED} < set(_plots(place, "diff", "HEAD"))


def test_the_bars_of_several_test_sets_are_plotted(place: Path) -> None:
    bars = [("spider", "full", "all"), ("spider", "lora", "all"), ("geo", "full", "all")]
    lines = [f'{name},{arm},{level},50.0,"{name}, {arm}: {level}"' for name, arm, level in bars]
    text = "\n".join(["test_set,arm,hardness,ex,bar", *lines])
    (place / "metrics/accuracy_by_hardness.csv").write_text(f"{text}\n")
    drawn = json.dumps(_plots(place, "show")["accuracy_by_hardness"])
    assert all(f"{name}, {arm}: {level}" in drawn for name, arm, level in bars)


def test_without_any_score_the_other_plots_are_shown(place: Path) -> None:
    (place / "metrics/accuracy_by_hardness.csv").write_text("arm,hardness,ex,bar\n")
    done = _run(place, "dvc", "plots", "show", "--json")
    assert "failed to load" not in done.stderr
    drawn = json.loads(done.stdout)
    assert "errors" not in drawn
    assert drawn["data"]["loss"] and not drawn["data"]["accuracy_by_hardness"]
