"""Public test sets, as they are published, through fetch_data, prepare and convert_schema."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages import convert_schema, fetch_data, prepare
from tests.small_raw import FETCH, ROOT, SPIDER, failure, run_stage, write_params
from text2sql.records import ConvertedQuestion, TestQuestion, read_records

PAGE = (ROOT / "docs" / "test-sets.md").read_text(encoding="utf-8")
# the first example of the page
SETS: dict[str, dict[str, str]] = yaml.safe_load(PAGE.split("```yaml\n")[1].split("```")[0])["fetch_data"][
    "test"
]
ONE = {"rows": {"file": "sql_create_context/eval.jsonl"}}
BIRD = "bird_mini_dev/mini_dev_sqlite.json"


@pytest.fixture(autouse=True)
def project(real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TEXT2SQL_DATA", str(real_data.absolute()))


def prepared(sets: Mapping[str, dict[str, str]], backend: str = "sqlite") -> dict[str, Any]:
    """Fetch and prepare test sets; returns their figures."""
    fetch = {"train": ONE, "test": sets}
    write_params(Path(), fetch_data=fetch, prepare={"train_limit": 5}, convert_schema={"backend": backend})
    run_stage(fetch_data.main, **FETCH)
    run_stage(prepare.main, raw="data/raw", output="data/prepared", metrics="metrics/prepare.json")
    return json.loads(Path("metrics/prepare.json").read_text())["test"]


CONVERT = {
    "prepared": "data/prepared",
    "databases": "data/raw/databases",
    "output": "data/test",
    "metrics": "metrics/convert_schema.json",
}


@pytest.mark.slow
def test_spider_dev_two_variants_and_geoquery_go_through_in_one_run() -> None:
    figures = prepared(SETS)
    assert {name: one["kept"] for name, one in figures.items()} == {
        "spider_dev": 1034,
        "spider_syn": 1034,
        "spider_realistic": 508,
        "geoquery": 279,
    }
    assert not any(one["without_gold"] for one in figures.values())
    run_stage(convert_schema.main, **CONVERT)
    rows = read_records("data/test/test.jsonl", ConvertedQuestion)
    assert [row.row for row in rows] == list(range(2855))
    # in two of GeoQuery's gold queries a derived table lacks a column
    assert Counter(row.test_set for row in rows if row.problems) == {"geoquery": 2}
    assert len({row.ddl for row in rows}) == 21
    assert len(list(Path("data/raw/databases").iterdir())) == 21


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_each_set_goes_through_alone(name: str) -> None:
    prepared({name: SETS[name]}, "rules")
    run_stage(convert_schema.main, **CONVERT)
    rows = read_records("data/test/test.jsonl", ConvertedQuestion)
    assert sum(bool(row.problems) for row in rows) == (2 if name == "geoquery" else 0)
    assert {row.backend for row in rows} == {"rules"}


def test_tables_json_is_enough_where_there_is_no_database() -> None:
    prepared({"spider_syn": {"file": "spider_syn/dev.json", "tables": "spider/tables.json"}})
    run_stage(convert_schema.main, **CONVERT)
    rows = read_records("data/test/test.jsonl", ConvertedQuestion)
    assert [row for row in rows if row.problems] == []


def test_bird_goes_as_far_as_its_missing_databases_and_then_says_one_sentence(real_data: Path) -> None:
    assert prepared({"bird": {"file": BIRD}})["bird"]["kept"] == 500
    rows = read_records("data/prepared/test.jsonl", TestQuestion)
    assert Counter(row.slice for row in rows) == {"moderate": 250, "simple": 148, "challenging": 102}
    assert sum("\nEvidence: " in row.question for row in rows) == sum(
        bool(row["evidence"].strip()) for row in json.loads((real_data / BIRD).read_text(encoding="utf-8"))
    )
    said = failure(convert_schema.main, **CONVERT)
    assert "11 of 11 databases of test set bird are missing: california_schools, card_games, " in said
    assert len(said.strip().splitlines()) == 1


def test_spiders_training_rows_come_with_the_schemas_of_137_databases() -> None:
    write_params(Path(), fetch_data=SPIDER)
    run_stage(fetch_data.main, **FETCH)
    schemas = json.loads(Path("data/raw/train_schemas/spider.json").read_text())
    rows = json.loads(Path("data/raw/train/spider.json").read_text())
    assert len(schemas) == 137
    missing = {row["db_id"] for row in rows} - set(schemas)
    assert missing == {"music_2", "sakila_1", "formula_1"}
