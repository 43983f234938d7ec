"""Extraction against queries that people and models wrote for Spider."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

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


WRAPPINGS: dict[str, Callable[[str], str]] = {
    "prose on the line": lambda sql: f"{sql} This query returns the rows of the table.",
    "prose on the next line": lambda sql: f"{sql}\nreturns the number of rows for each country",
    "a sentence": lambda sql: f"The query is {sql}. It joins both tables.",
    "Chinese": lambda sql: f"{sql}\n这条语句返回所有歌手的姓名。",
    "a list": lambda sql: f"1. {sql}\n2. SELECT a FROM b",
    "a table": lambda sql: f"{sql}\n\n| name |\n|---|\n| a |",
    "JSON": lambda sql: json.dumps({"thought": "I select the names", "sql": sql}),
    "a tool call": lambda sql: json.dumps({"name": "f", "arguments": json.dumps({"query": sql})}),
    "double quotes": lambda sql: f'The query is "{sql}" and gives "all" names.',
    "single quotes": lambda sql: f"'{sql}'",
    "bold": lambda sql: f"**{sql}**",
    "code": lambda sql: f"Use `{sql}` here.",
    "brackets": lambda sql: f"({sql})",
    "LaTeX": lambda sql: rf"\boxed{{{sql}}}",
    "HTML": lambda sql: html.escape(sql),
    "a correction": lambda sql: f"SELECT a FROM b WHERE c = 1\n\nCorrected:\n\n{sql}",
    "a second thought": lambda sql: (
        f"```sql\nSELECT a FROM b\n```\nWait, that's wrong.\n```sql\n{sql}\n```\nOK"
    ),
    "repetition": lambda sql: "\n".join([sql, sql, sql, sql[: len(sql) // 2]]),
    "the next turn": lambda sql: f"{sql}<|im_end|>\n<|im_start|>user\nCorrected: SELECT 1",
}


@pytest.mark.slow
@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_queries_of_spider_and_bird_are_extracted_from_answers_of_all_kinds(
    real_data: Path, wrapping: str
) -> None:
    spider = json.loads((real_data / "spider" / "train_spider.json").read_text(encoding="utf-8"))[::14]
    bird = json.loads((real_data / "bird_mini_dev" / "mini_dev_sqlite.json").read_text(encoding="utf-8"))
    for gold in {row["query"].rstrip("; ") for row in spider} | {row["SQL"].rstrip("; ") for row in bird}:
        assert extract_sql(WRAPPINGS[wrapping](gold)) == extract_sql(f"```sql\n{gold}\n```")


def _squeezed(sql: str) -> str:
    return re.sub(r"\s+", " ", sql).rstrip("; ")
