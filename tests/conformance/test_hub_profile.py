"""Real rows of Spider in the places of its data set on the hub, in huggingface_hub's cache; no network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pyarrow
import pyarrow.parquet
import pytest
import yaml

from scripts.profiles import composed
from stages import convert_schema, dedupe_test, fetch_data, prepare
from tests.hub_server import lay_snapshot
from tests.small_raw import FETCH, run_stage
from text2sql.records import ConvertedQuestion, read_records

ROWS, QUESTIONS = 50, 20


def spread(rows: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    return rows[:: len(rows) // count][:count]


def spider(real_data: Path) -> dict[str, bytes]:
    """50 training rows and 20 questions, as premai-io/spider has them, with their databases."""
    root = real_data / "spider"
    train = spread(json.loads((root / "train_spider.json").read_text()), ROWS)
    dev = [
        {"db_id": row["instruction"].split()[0], "question": row["input"], "query": row["output"]}
        for row in spread(json.loads((root / "dev_sql.json").read_text()), QUESTIONS)
    ]
    files = {"train.json": json.dumps(train).encode(), "validation.json": json.dumps(dev).encode()}
    for rows, folder in ((train, "train_database"), (dev, "database")):
        for db_id in {row["db_id"] for row in rows}:
            path = root / folder / db_id / f"{db_id}.sqlite"
            if path.is_file():  # three of the training databases are not in the folder
                files[f"database/{db_id}/{db_id}.sqlite"] = path.read_bytes()
    return files


@pytest.fixture
def project(real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Profile qwen3-1.7b in an empty project, its data sets in the cache, the network forbidden."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    lay_snapshot(tmp_path / "hub", "premai-io/spider", "dataset", spider(real_data))
    with (real_data / "sql_create_context" / "train.jsonl").open() as lines:
        rows = [json.loads(line) for line, _ in zip(lines, range(ROWS), strict=False)]
    content = {"sql_create_context_v4.json": json.dumps(rows).encode()}
    lay_snapshot(tmp_path / "hub", "b-mc2/sql-create-context", "dataset", content)
    renamed = {"prompt": "question", "context": "context", "answer": "answer"}
    table = pyarrow.table({name: [row[key] for row in rows] for name, key in renamed.items()})
    pyarrow.parquet.write_table(table, tmp_path / "rows.parquet")
    parquet = {"data/train-00000-of-00001.parquet": (tmp_path / "rows.parquet").read_bytes()}
    lay_snapshot(tmp_path / "hub", "fahmiaziz/text2sql-dataset", "dataset", parquet)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(composed("qwen3-1.7b"))


def prepared() -> dict[str, Any]:
    run_stage(fetch_data.main, **FETCH)
    run_stage(prepare.main, raw="data/raw", output="data/prepared", metrics="metrics/prepare.json")
    return dict(json.loads(Path("metrics/prepare.json").read_text()))


@pytest.mark.slow
def test_fifty_rows_of_spider_go_through_the_data_stages_of_profile_qwen3(project: None) -> None:
    figures = prepared()
    assert figures["sources"]["spider"]["read"] == figures["sources"]["sql_create_context"]["read"] == ROWS
    assert figures["sources"]["spider"]["kept"] > 40 and figures["test"]["spider_dev"]["kept"] == QUESTIONS
    both = {"prepared": "data/prepared", "databases": "data/raw/databases"}
    run_stage(dedupe_test.main, **both, output="data/train", metrics="metrics/dedupe_test.json")
    run_stage(convert_schema.main, **both, output="data/test", metrics="metrics/convert_schema.json")
    rows = read_records("data/test/test.jsonl", ConvertedQuestion)
    assert len(rows) == QUESTIONS and not [row for row in rows if row.problems]


def test_rows_in_parquet_come_from_the_hub_too(project: None) -> None:
    values = yaml.safe_load(Path("params.yaml").read_text())
    source = {"repo": "fahmiaziz/text2sql-dataset", "file": "data/train-00000-of-00001.parquet"}
    values["fetch_data"]["train"] = {"rows": source}
    Path("params.yaml").write_text(yaml.safe_dump(values))
    assert prepared()["sources"]["rows"]["kept"] > 40
