"""The arm that `text2sql ask` uses."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages._arms import best_arm, find_arm
from stages._params import load_params
from tests.small_raw import write_params
from text2sql.files import write_json


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all models, in which an arm with examples is the best one."""
    monkeypatch.chdir(tmp_path)
    write_params(Path())
    for arm in load_params().arms.values():
        Path(arm.weights).mkdir(parents=True, exist_ok=True)
    write_json(Path("metrics/summary.json"), {"baseline": 10.0, "rag_rerank": 60.0, "full": 50.0})
    return tmp_path


def test_the_best_arm_is_one_with_plain_questions(project: Path) -> None:
    assert best_arm(load_params()) == "full"
    assert find_arm(None).about == "arm full, 50.0 % of the test questions right"


def test_an_arm_whose_score_is_with_examples_says_so(project: Path) -> None:
    about = (
        "arm rag_rerank, 60.0 % of the test questions right with examples or context, which are left out here"
    )
    assert find_arm("rag_rerank").about == about
