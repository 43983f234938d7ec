"""dvc.yaml names all code that its stages import, so a change in it reruns them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.stage_dependencies import imported_files, missing

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pipeline() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    return loaded


def without(pipeline: dict[str, Any], stage: str, dep: str) -> dict[str, Any]:
    """The pipeline with one dependency taken out of a stage."""
    changed = copy.deepcopy(pipeline)
    body = changed["stages"][stage]
    body.get("do", body)["deps"].remove(dep)
    return changed


def test_dvc_yaml_names_every_file_that_its_stages_import(pipeline: dict[str, Any]) -> None:
    assert not missing(pipeline)


@pytest.mark.parametrize(
    ("stage", "dep", "file"),
    [
        ("train_full", "stages/_train.py", "stages/_train.py"),
        ("fetch_model", "text2sql/base_models", "text2sql/base_models/hub.py"),
        ("predict", "text2sql/evaluation", "text2sql/evaluation/execution/sandbox.py"),
        ("train_lora", "text2sql/training", "text2sql/training/worker.py"),
    ],
)
def test_a_dependency_that_is_taken_out_is_named_with_its_stage(
    pipeline: dict[str, Any], stage: str, dep: str, file: str
) -> None:
    assert f"dvc.yaml: stage {stage} imports {file}, which is not in its deps" in missing(
        without(pipeline, stage, dep)
    )


def test_imports_inside_functions_and_through_other_modules_count() -> None:
    files = imported_files(["predict", "evaluate"])
    assert "text2sql/inference/vllm_engine.py" in files["predict"], "imported inside a function"
    assert "text2sql/evaluation/execution/equivalence.py" in files["evaluate"], "imported by the judge"


def test_every_dependency_exists_or_is_an_output_of_another_stage(pipeline: dict[str, Any]) -> None:
    bodies = [stage.get("do", stage) for stage in pipeline["stages"].values()]
    outs = {next(iter(out)) if isinstance(out, dict) else out for body in bodies for out in body["outs"]}
    deps = {dep for body in bodies for dep in body["deps"] if "$" not in dep}
    made = {dep for dep in deps if any(dep == out or dep.startswith(f"{out}/") for out in outs)}
    folders = {"data/predictions", "data/verdicts", "metrics/loss"}  # of outputs that are made for each arm
    assert not [dep for dep in deps - made - folders if not (ROOT / dep).exists()]
