"""A row of the reference's data through prepare and dedupe_test, with the settings of its profile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import yaml

from scripts.profiles import composed
from stages.dedupe_test import main as dedupe_test
from stages.prepare import main as prepare
from tests import reference
from tests.conftest import ROOT
from tests.small_raw import question_line, run_stage, write_database, write_test

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
