"""CREATE TABLE text is found in a model's answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from text2sql.schema.convert import RulesBackend, Source
from text2sql.schema.ddl import Values
from text2sql.schema.extract import extract_ddl


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("CREATE TABLE a (x);", "CREATE TABLE a (x);"),
        ("create table a (x)", "create table a (x);"),
        ("```sql\nCREATE TABLE a (x);\nCREATE TABLE b (y);\n```", "CREATE TABLE a (x);\nCREATE TABLE b (y);"),
        ("CREATE TABLE a (x);CREATE TABLE b (y);", "CREATE TABLE a (x);\nCREATE TABLE b (y);"),
        ("Here's it:\n```\nCREATE TABLE a (x)\n```\nThat's all; enjoy!", "CREATE TABLE a (x);"),
        ("```sql CREATE TABLE a (x)```", "CREATE TABLE a (x);"),
        ("The CREATE TABLE statements (SQLite):\n\nCREATE TABLE a (x);", "CREATE TABLE a (x);"),
        ("<think>CREATE TABLE z (q);</think>CREATE TABLE a (x);", "CREATE TABLE a (x);"),
        ("<think>\nCREATE TABLE z (q);", ""),
        (
            "CREATE TABLE a (\n  x, -- it's; e.g. ';'\n  y\n);",
            "CREATE TABLE a (\n  x, -- it's; e.g. ';'\n  y\n);",
        ),
        ("CREATE TABLE a (x) -- done", "CREATE TABLE a (x) -- done\n;"),
        ('CREATE TABLE "a;b" (`c``;d`, [e;f]);', 'CREATE TABLE "a;b" (`c``;d`, [e;f]);'),
        (
            "CREATE TABLE a (x);\nINSERT INTO a VALUES ('it''s; 1');",
            "CREATE TABLE a (x);\nINSERT INTO a VALUES ('it''s; 1');",
        ),
        ("CREATE TABLE a (x);\nDROP TABLE a;\nPRAGMA x;\nCREATE VIEW v AS SELECT 1;", "CREATE TABLE a (x);"),
        ("CREATE TABLE a AS SELECT 1;", ""),
        ("CREATE TABLE a (x, 'open", "CREATE TABLE a (x, 'open;"),
        ("CREATE TABLE a (x\0, y);", "CREATE TABLE a (x\0, y);"),
        ("I cannot.\0", ""),
        ("", ""),
    ],
)
def test_statements_are_extracted_from_a_models_answer(raw: str, expected: str) -> None:
    assert extract_ddl(raw) == expected


@pytest.mark.parametrize(
    "raw", ["\n" * 200_000, "'" * 99_999, "CREATE TABLE a (" + '"x' * 50_000, "```" * 50_000]
)
def test_a_model_that_repeats_itself_does_no_harm(raw: str) -> None:
    assert len(extract_ddl(raw)) <= len(raw) + 2


@pytest.mark.parametrize("values", ["none", "comment", "insert"])
def test_every_schema_of_spider_comes_out_of_an_answer_as_it_went_in(real_data: Path, values: Values) -> None:
    rows = json.loads((real_data / "spider" / "dev_sql.json").read_text())
    sources = [Source(0, "", prose) for prose in {row["instruction"] for row in rows}]
    texts = [made.ddl for _, made in RulesBackend(values).convert_all(sources)]
    assert len(texts) == 145
    assert [extract_ddl(f"Here it is:\n```sql\n{text}\n```\nThat's it.") for text in texts] == texts
