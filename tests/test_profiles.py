"""Every profile makes a plan: what `make use` and `dvc repro --dry --force` print in a fresh checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ARMS = ("baseline", "rag_embedding", "rag_rerank", "lora32", "lora128", "full")


@pytest.mark.parametrize("profile", ["qwen3-1.7b-reference", "qwen3-1.7b"])
def test_a_profile_of_full_size_prints_its_whole_plan_before_anything_is_there(
    profile: str, tmp_path: Path
) -> None:
    for name in ("dvc.yaml", ".dvc/config"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("stages", "text2sql", "configs"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "profiles" / f"{profile}.yaml", tmp_path / "params.yaml")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["dvc", "repro", "--dry", "--force"],
        cwd=tmp_path,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    stages = ["fetch_data", "fetch_model", "prepare", "dedupe_test", "convert_schema"]
    stages += ["train_lora32", "train_lora128", "train_full", "report"]
    stages += [f"{stage}@{arm}" for stage in ("predict", "evaluate") for arm in ARMS]
    assert not [stage for stage in stages if f"Running stage '{stage}'" not in done.stdout]
