"""stages._provenance: commit, dvc.lock, packages and machine of a report."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from stages._provenance import commit, machine, package_versions, provenance


def git(*arguments: str) -> str:
    author = {f"GIT_{who}_{what}": "t@t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(
        ["git", *arguments], capture_output=True, text=True, check=True, env=os.environ | author
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a parameter file, code and metrics, in which everything is committed."""
    monkeypatch.chdir(tmp_path)
    for name in ("params.yaml", "dvc.lock", "code.py", "metrics/full.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("profile: own\n")
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "all")
    return tmp_path


def test_the_commit_is_named_and_what_stages_write_does_not_change_it(checkout: Path) -> None:
    (checkout / "metrics/full.json").write_text("{}")
    (checkout / "dvc.lock").write_text("new")
    assert commit() == git("rev-parse", "HEAD")


def test_changed_code_is_named(checkout: Path) -> None:
    (checkout / "code.py").write_text("other")
    assert commit() == f"{git('rev-parse', 'HEAD')}, with changes that are not committed"


def test_outside_a_repository_the_commit_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit() == "unknown"


def test_facts_packages_and_parameters_are_there(checkout: Path) -> None:
    found = provenance("own")
    facts = dict(found.facts)
    assert facts["Profile"] == "own" and facts["dvc.lock"].startswith("SHA-256 ")
    assert found.parameters == "profile: own\n"
    (checkout / "dvc.lock").unlink()
    assert dict(provenance("own").facts)["dvc.lock"] == "none"


def test_packages_are_those_that_the_project_needs_itself() -> None:
    found = package_versions()
    assert {"torch", "dvc", "sqlglot"} <= set(found)
    assert "pytest" not in found


def test_the_machine_has_cores_and_memory() -> None:
    assert "cores" in machine() and "GiB" in machine()
