"""bench/ablations.py: every row is a valid change of the profile, and the table follows from the verdicts."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from bench import ablations as bench
from scripts.profiles import composed, load_profile
from stages._params import Params

ROOT = Path(__file__).parents[2]


def changed(row: bench.Row) -> dict[str, Any]:
    """The profile with the row's changes, as `dvc exp run -S` makes them."""
    params: dict[str, Any] = yaml.safe_load(composed(bench.PROFILE))
    for change in row.changes:
        key, value = change.split("=", 1)
        *path, last = key.split(".")
        section = params
        for name in path:
            section = section[name]
        assert section[last] != yaml.safe_load(value), f"{change} changes nothing"
        section[last] = yaml.safe_load(value)
    return params


@pytest.mark.parametrize("row", bench.ROWS, ids=lambda row: row.name)
def test_each_row_is_a_valid_profile_and_each_of_its_changes_changes_a_value(row: bench.Row) -> None:
    assert Params.model_validate(changed(row))


def test_the_first_row_has_the_settings_of_the_recipe_for_the_large_model() -> None:
    here, large = (load_profile(name) for name in (bench.PROFILE, "qwen3-1.7b"))
    shared = ("scheduler", "min_learning_rate", "warmup_ratio", "weight_decay", "precision", "packing")
    assert [getattr(here.training, key) for key in shared] == [getattr(large.training, key) for key in shared]
    arms = [(arm.rank, arm.alpha, arm.targets, arm.learning_rate) for arm in (here.lora, large.train_lora32)]
    assert arms[0] == arms[1]
    drawn = ("temperature", "top_p", "repetition_penalty")
    assert [getattr(here.predict, key) for key in drawn] == [getattr(large.predict, key) for key in drawn]


def test_the_row_of_the_reference_has_the_settings_of_its_profile() -> None:
    (row,) = (row for row in bench.ROWS if row.name.startswith("the reference:"))
    here, reference = (
        Params.model_validate(changed(row)),
        load_profile("qwen3-1.7b-reference"),
    )
    arms = [(arm.alpha, arm.targets, arm.learning_rate) for arm in (here.lora, reference.train_lora32)]
    assert arms[0] == arms[1]
    assert here.training.packing is reference.training.packing is False
    drawn = ("temperature", "top_p", "repetition_penalty")
    assert [getattr(here.predict, key) for key in drawn] == [getattr(reference.predict, key) for key in drawn]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty checkout; composing a profile gives its name."""
    monkeypatch.setattr(bench, "composed", lambda name, root: f"profile: {name}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_row_starts_from_the_profile_and_is_compared_with_the_first(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        assert (place / "params.yaml").read_text() == "profile: spider-ablation\n"
        (place / "params.yaml").write_text("changed by the experiment\n")
        right = 3 if not commands else 1  # of four questions, and a fifth whose gold fails
        rows = [{"row": n, "ex": n < right} for n in range(4)] + [{"row": 4, "ex": None}]
        bench.VERDICTS.parent.mkdir(parents=True, exist_ok=True)
        bench.VERDICTS.write_text("".join(json.dumps(row) + "\n" for row in rows))
        commands.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    result = CliRunner().invoke(bench.main)
    assert result.exit_code == 0, result.output
    assert commands[:2] == [["dvc", "exp", "run"], ["dvc", "exp", "run", "-S", bench.TARGETS]]
    assert len(commands) == len(bench.ROWS)
    assert "| ours | 75.0 | 30.1 to 95.4 | – | – | – |" in result.output
    assert (
        "| LoRA on q_proj and v_proj only | 25.0 | 4.6 to 69.9 | -50.0 (-100.0 to 0.0) | 0.5 |"
        in result.output
    )


def test_a_row_that_fails_ends_the_run_with_its_command(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 1))
    result = CliRunner().invoke(bench.main)
    assert result.exit_code == 1
    assert "`dvc exp run` failed; fix the error above" in result.output
