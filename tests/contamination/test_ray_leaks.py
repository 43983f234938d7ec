"""Ray finds the same leaks as one process."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from text2sql.contamination.leaks import BLOCK, find_leaks
from text2sql.contamination.ray_leaks import find_leaks_on_ray
from text2sql.contamination.settings import Rules
from text2sql.errors import UserError
from text2sql.files import write_jsonl
from text2sql.ray_cluster import started
from text2sql.records import TestQuestion, TrainingRow

pytestmark = pytest.mark.slow

DDL = "CREATE TABLE t (id INTEGER, name TEXT);"
TEST = [TestQuestion(4, "d", "How many are there?", "SELECT count(*) FROM t", DDL, "all")]
CLEAN = TrainingRow("a:0", "a", "Names?", DDL, "SELECT name FROM t")
COUNT = "SELECT count(id) FROM t"
RULES = Rules(near_question=0.6, same_sql="masked")


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """A local Ray of two CPUs, which the search then uses; not whatever cluster RAY_ADDRESS names."""
    pytest.importorskip("ray", reason="ray is not installed")
    pytest.importorskip("ray.data", reason="ray.data is not installed")
    address = os.environ.pop("RAY_ADDRESS", None)
    # The workers must find the package, which pytest alone has put on this process's path.
    paths = {"env_vars": {"PYTHONPATH": str(Path(__file__).parents[2])}}
    with started(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=paths):
        yield
    if address is not None:
        os.environ["RAY_ADDRESS"] = address


def rows_of_several_blocks() -> list[TrainingRow]:
    questions = ["How many are there?", "How many is there?", "Boats?"]
    count = 2 * BLOCK + 5
    sql = [COUNT, COUNT, CLEAN.sql]
    return [
        dataclasses.replace(CLEAN, id=f"a:{n}", question=questions[n % 3], sql=sql[n % 3])
        for n in range(count)
    ]


def test_leaks_found_on_ray_are_the_same_in_the_same_order(tmp_path: Path) -> None:
    rows = rows_of_several_blocks()
    write_jsonl(tmp_path / "train.jsonl", rows)
    found = list(find_leaks_on_ray(tmp_path / "train.jsonl", TEST, RULES))
    assert found == list(find_leaks(rows, TEST, RULES))
    assert len({evidence.rule for _, evidence in found if evidence}) == 2


def test_a_broken_line_is_named_as_without_ray(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text("{\n")
    with pytest.raises(UserError, match=r"train\.jsonl, line 1: not JSON"):
        list(find_leaks_on_ray(tmp_path / "train.jsonl", TEST, RULES))


def test_without_ray_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with pytest.raises(UserError, match="pip install ray"):
        list(find_leaks_on_ray(Path("train.jsonl"), TEST, RULES))
