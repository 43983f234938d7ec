"""Exact set match against what the official evaluator says of Spider dev, row by row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from text2sql.evaluation.spider.exact_match import exact_match
from text2sql.evaluation.spider.schema import read_tables, schema_of

ARMS = ("baseline", "full", "lora32", "rag_embedding")
ROWS = 1034


@pytest.mark.parametrize("with_tables", [True, False], ids=["tables.json", "keys of the databases"])
@pytest.mark.parametrize("arm", ARMS)
def test_exact_match_equals_the_official_one(real_data: Path, arm: str, with_tables: bool) -> None:
    tables = read_tables(real_data / "spider/tables.json") if with_tables else None
    rows = json.loads((real_data / "spider/dev_sql.json").read_text(encoding="utf-8"))
    databases = [row["instruction"].split()[0] for row in rows]
    schemas = {
        db_id: schema_of(real_data / f"spider/database/{db_id}/{db_id}.sqlite", tables)
        for db_id in set(databases)
    }
    text = (real_data / f"reference/predictions/{arm}.sql").read_text(encoding="utf-8")
    predictions = [line.strip().replace("value", "1") for line in text.removesuffix("\n").split("\n")]
    official = json.loads((real_data / f"reference/verdicts/{arm}.json").read_text())["em"]
    assert len(rows) == len(predictions) == len(official) == ROWS
    ours = "".join(
        str(int(exact_match(row["output"], predicted, schemas[db_id]).em))
        for row, predicted, db_id in zip(rows, predictions, databases, strict=True)
    )
    assert [row for row in range(ROWS) if ours[row] != official[row]] == []
