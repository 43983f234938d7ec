"""The Makefile, the setup script, and their use in continuous integration."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
CI = ROOT / ".ci" / "run"
WORKFLOW = ROOT / ".github" / "workflows" / "pipeline.yml"


def run(command: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run in `folder`, without the flags of a make that runs the tests."""
    inherited = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    settings = inherited | environment
    return subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with the Makefile, configs/ and scripts/, without a virtual environment."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    return tmp_path


@pytest.fixture
def broken_pip(copy: Path) -> Path:
    """An environment in `copy` whose pip cannot reach its index."""
    folder = copy / ".venv" / "bin"
    folder.mkdir(parents=True)
    (folder / "python").symlink_to(sys.executable)
    (folder / "pip").write_text("#!/bin/sh\necho 'ERROR: no torch (from versions: none)'\nexit 1\n")
    (folder / "pip").chmod(0o755)
    return copy


def test_help_is_the_default_and_lists_every_target() -> None:
    listed = set(re.findall(r"^make ([a-z-]+) ", run(["make"], ROOT).stdout, re.MULTILINE))
    assert listed == TARGETS


def test_every_target_is_phony_so_that_a_file_of_its_name_has_no_effect() -> None:
    (phony,) = re.findall(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)
    assert set(phony.split()) == TARGETS


def test_clean_keeps_scores_work_store_and_environment(copy: Path) -> None:
    shutil.copy(ROOT / ".gitignore", copy)
    run(["git", "init", "-q"], copy)
    for folder in ("data/raw", "models/base", "metrics", ".work", ".venv"):
        (copy / folder).mkdir(parents=True)
    for folder in ("data", "models"):
        (copy / folder / "README.md").touch()
    assert run(["make", "clean"], copy).returncode == 0
    left = {path.name for path in copy.iterdir() if path.is_dir()}
    assert left == {"data", "models", "metrics", ".work", ".venv", "configs", "scripts", ".git"}
    kept = [path.name for folder in ("data", "models") for path in (copy / folder).iterdir()]
    assert kept == ["README.md", "README.md"]


def test_setup_does_nothing_if_it_is_up_to_date(copy: Path) -> None:
    (copy / ".venv").mkdir()
    (copy / ".venv" / ".complete").touch()
    assert run(["make", "--question", "setup"], copy).returncode == 0


@pytest.mark.parametrize("name", ["pyproject.toml", "configs/constraints.txt", "scripts/setup.sh"])
def test_setup_runs_again_if_a_file_that_it_reads_is_newer(copy: Path, name: str) -> None:
    (copy / ".venv").mkdir()
    (copy / ".venv" / ".complete").touch()
    os.utime(copy / ".venv" / ".complete", (0, 1_000_000_000))
    assert run(["make", "--question", "setup"], copy).returncode == 1


def test_setup_without_python_311_says_how_to_set_one(copy: Path) -> None:
    result = run(["make", "setup"], copy, PYTHON="no-such-python")
    assert "error: no Python 3.11 among: no-such-python" in result.stderr
    assert "make setup PYTHON=/path/to/python3.11" in result.stderr
    assert not (copy / ".venv").exists()


def test_setup_without_network_shows_pips_error_and_the_next_step(broken_pip: Path) -> None:
    result = run(["make", "setup"], broken_pip)
    assert "ERROR: no torch" in result.stderr
    assert "next: the package index did not answer" in result.stderr


def test_a_failed_setup_does_not_count_as_complete(broken_pip: Path) -> None:
    assert run(["make", "setup"], broken_pip).returncode != 0
    assert not (broken_pip / ".venv" / ".complete").exists()


@pytest.mark.parametrize("path", [CI, WORKFLOW], ids=["ci", "workflow"])
def test_continuous_integration_calls_targets_that_exist(path: Path) -> None:
    called = set(re.findall(r"^(?:- run: )?\s*make ([a-z]+)", path.read_text(), re.MULTILINE))
    called |= set(re.findall(r"run: make ([a-z]+)", path.read_text()))
    assert called and called <= TARGETS


def test_continuous_integration_ends_with_the_tests() -> None:
    assert CI.read_text().rstrip().endswith("make test")
    assert os.access(CI, os.X_OK)


def test_the_workflow_fetches_the_history_that_a_metrics_diff_needs() -> None:
    steps = yaml.safe_load(WORKFLOW.read_text())["jobs"]["pipeline"]["steps"]
    (checkout,) = [step for step in steps if step.get("uses", "").startswith("actions/checkout@")]
    assert checkout["with"]["fetch-depth"] == 0


def requirements(path: Path) -> dict[str, str]:
    """Exact pins of a requirements file, by normalised name."""
    pins = re.findall(r"^([\w.-]+)==(\S+)$", path.read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in pins}


def test_the_constraints_agree_with_the_direct_dependencies() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    split = (w.split("==") for w in wanted if "==" in w)
    direct = {canonicalize_name(name.partition("[")[0]): version for name, version in split}
    pinned = requirements(ROOT / "configs" / "constraints.txt")
    del direct[canonicalize_name("torch")]  # scripts/setup.sh chooses its build
    assert {name: pinned.get(name) for name in direct} == direct


def test_the_constraints_for_gpus_agree_with_the_direct_dependencies() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["gpu"]
    split = (w.split("==") for w in wanted if "==" in w)
    direct = {canonicalize_name(name.partition("[")[0]): version for name, version in split}
    pinned = requirements(ROOT / "configs" / "constraints-gpu.txt")
    del direct[canonicalize_name("flash-attn")]  # compiled against the installed torch
    assert {name: pinned.get(name) for name in direct} == direct


def test_the_script_installs_the_torch_version_of_the_project() -> None:
    (version,) = re.findall(r"^TORCH=(\S+)$", (ROOT / "scripts/setup.sh").read_text(), re.MULTILINE)
    assert f'"torch=={version}"' in (ROOT / "pyproject.toml").read_text()


def test_mcore_adapter_comes_from_git_at_one_commit_and_never_from_the_index() -> None:
    gpu = (ROOT / "configs" / "requirements-gpu.txt").read_text()
    assert re.search(r"^mcore_adapter @ git\+https://github.com/alibaba/ROLL.git@[0-9a-f]{40}#", gpu, re.M)
    for name in (
        "pyproject.toml",
        "configs/constraints.txt",
        "configs/constraints-gpu.txt",
        "configs/requirements-data.txt",
    ):
        assert not re.search(r"mcore[-_.]adapter\s*[=<>\"]", (ROOT / name).read_text())
