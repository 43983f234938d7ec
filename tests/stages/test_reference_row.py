"""The reference's data through prepare, dedupe_test and into few-shot prompts, as its profile says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import yaml

from scripts.profiles import composed
from stages._examples import records
from stages._params import load_params
from stages.dedupe_test import main as dedupe_test
from stages.prepare import main as prepare
from tests import reference
from tests.conftest import ROOT
from tests.small_raw import question_line, run_stage, write_database, write_test
from tests.test_prompts import chatml
from text2sql.files import write_jsonl
from text2sql.inference.questions import read_chats
from text2sql.prompts import prompt_form
from text2sql.records import ConvertedQuestion, TrainingRow

RAW = Path("data/raw")
PROSE = "shop contains tables such as item. Table item has columns such as id, name. id is the primary key."
ASKED = {"instruction": PROSE, "input": "How many items are there?", "output": "SELECT count(*) FROM item"}
# A test question word for word but for white space, one in other words, and a row that no check accepts
OTHERS = [
    {"prompt": " How many items are there?\n", "context": "CREATE TABLE x (y);", "answer": "SELECT 1;"},
    {"prompt": "how many items are there", "context": "CREATE TABLE x (y);", "answer": "SELECT 1;\n"},
    {"prompt": "Delete all.", "context": "CREATE TABEL x", "answer": "DELETE FROM x;"},
]


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """sft.json."""
    profile = yaml.safe_load(composed("qwen3-1.7b-reference", ROOT))
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(profile))
    monkeypatch.chdir(tmp_path)
    (RAW / "train").mkdir(parents=True)
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pylist([reference.ROW, *OTHERS]), RAW / "train" / "text2sql.parquet"
    )
    write_test(RAW, spider_dev=[question_line(ASKED)])
    write_database(RAW / "databases" / "shop" / "shop.sqlite")
    run_stage(prepare, raw=RAW, output="data/prepared", metrics="metrics/prepare.json")
    paths = {"prepared": "data/prepared", "databases": RAW / "databases", "output": "data/train"}
    run_stage(dedupe_test, **paths, metrics="metrics/dedupe_test.json")
    found: list[dict[str, Any]] = json.loads(Path("data/train/sft.json").read_text())
    return found


def test_its_first_row_is_the_published_one_to_the_character(rows: list[dict[str, Any]]) -> None:
    assert rows[0] == {
        "system": reference.SYSTEM,
        "instruction": reference.USER,
        "input": "",
        "output": reference.ANSWER,
    }


def test_only_rows_that_ask_a_test_question_word_for_word_are_removed(rows: list[dict[str, Any]]) -> None:
    assert [row["output"] for row in rows] == [reference.ANSWER, "SELECT 1;\n", "DELETE FROM x;"]
    removed = Path("data/train/removed.jsonl").read_text().splitlines()
    assert [json.loads(row)["evidence"]["rule"] for row in removed] == ["question"]


def test_a_few_shot_prompt_has_the_lines_of_the_published_one(tmp_path: Path) -> None:
    profile = yaml.safe_load(composed("qwen3-1.7b-reference", ROOT))
    rows = {
        str(n): TrainingRow(str(n), "text2sql", question, "CREATE TABLE x (y);", sql)
        for n, (question, sql) in enumerate(reference.FEW_SHOT_EXAMPLES)
    }
    asked = "How many singers do we have?"
    question = ConvertedQuestion(0, "c", asked, "g", reference.FEW_SHOT_SCHEMA, "", "recorded", ())
    write_jsonl(tmp_path / "test.jsonl", records([question], [[(i, 0.5) for i in rows]], rows, "full"))
    prompt = profile["prompt"]
    (chat,) = read_chats(tmp_path / "test.jsonl", prompt["schema_types"], form=prompt_form(prompt["form"]))
    assert chatml(chat.messages).split("\n") == list(reference.FEW_SHOT_LINES)


def test_the_profile_retrieves_as_the_reference_does(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(composed("qwen3-1.7b-reference", ROOT))
    params = load_params(tmp_path / "params.yaml")
    settings = params.retrieve_examples
    assert params.index_examples.embedding_model == "Qwen/Qwen3-Embedding-0.6B"
    assert settings.reranker == "Qwen/Qwen3-Reranker-0.6B"
    assert (settings.candidates, settings.top_k, settings.query_instruction) == (30, 4, None)
    shown = {name: arm.questions for name, arm in params.arms.items() if name.startswith("rag")}
    assert shown == {
        "rag_embedding": "data/examples/embedding",
        "rag_rerank": "data/examples/rerank",
        "rag_rerank_sql": "data/examples/rerank_sql",
    }
