"""Extraction against queries that people and models wrote for Spider."""

from __future__ import annotations

import json
import re
from pathlib import Path

from text2sql.inference.extract import extract_sql


def test_every_gold_query_of_spider_is_extracted_whole(real_data: Path) -> None:
    rows = json.loads((real_data / "spider" / "dev_sql.json").read_text(encoding="utf-8"))
    for gold in (row["output"] for row in rows):
        for raw in (
            gold,
            f"```sql\n{gold}\n```",
            f"Here is the SQL query:\n\n{gold};\n\nIt works.",
        ):
            assert _squeezed(extract_sql(raw)) == _squeezed(gold)


def test_queries_that_models_wrote_are_left_as_they_are(real_data: Path) -> None:
    for file in sorted((real_data / "reference" / "predictions").glob("*.sql")):
        for line in file.read_text(encoding="utf-8").splitlines():
            if line.strip().upper().startswith("SELECT"):
                assert _squeezed(extract_sql(line)) == _squeezed(line.partition(";")[0])


def _squeezed(sql: str) -> str:
    return re.sub(r"\s+", " ", sql).rstrip("; ")
