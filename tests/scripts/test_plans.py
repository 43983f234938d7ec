"""Every profile makes a plan: what `make use` and `dvc repro --dry --force` print in a fresh checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from scripts.profiles import composed

ROOT = Path(__file__).resolve().parents[2]
ARMS = ("baseline", "rag_embedding", "rag_rerank", "lora32", "lora128", "full")


PROFILES = ["qwen3-1.7b-reference", "qwen3-1.7b", "bird"]


def plan(folder: Path, profile: str, *options: str) -> subprocess.CompletedProcess[str]:
    """What `dvc repro --dry` says in a checkout that has nothing but what is in git."""
    for name in ("dvc.yaml", ".dvc/config"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    for name in ("stages", "text2sql", "configs"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "params.yaml").write_text(composed(profile))
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["dvc", "repro", "--dry", *options],
        cwd=folder,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_of_full_size_prints_its_whole_plan_before_anything_is_there(
    profile: str, tmp_path: Path
) -> None:
    done = plan(tmp_path, profile, "--force")
    assert done.returncode == 0, done.stderr
    sources = yaml.safe_load(composed(profile))["fetch_data"]
    stages = [f"outside_{kind}@{name}" for kind in ("train", "test") for name in sources[kind]]
    stages += ["fetch_data", "fetch_model", "prepare", "dedupe_test", "convert_schema"]
    stages += ["train_lora32", "train_lora128", "train_full", "report"]
    stages += [f"{stage}@{arm}" for stage in ("predict", "evaluate") for arm in ARMS]
    assert not [stage for stage in stages if f"Running stage '{stage}'" not in done.stdout]


def test_without_force_dvc_stops_at_the_first_input_that_is_not_there_yet(tmp_path: Path) -> None:
    done = plan(tmp_path, PROFILES[0])
    assert done.returncode != 0
    assert "No such file or directory" in done.stderr and "data/outside" in done.stderr


def test_the_command_of_one_stage_is_printed_before_its_inputs_are_there(tmp_path: Path) -> None:
    done = plan(tmp_path, PROFILES[0], "--force", "--single-item", "train_full")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Running stage ") == 1
    assert "> python -m stages.train_full --base models/base" in done.stdout
