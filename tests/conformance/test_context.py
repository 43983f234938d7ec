"""Contexts of Spider dev: what gold queries use is shown, and SQLite accepts every schema."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from text2sql.context.make import Asked, Made, make_contexts
from text2sql.context.measure import Recall, recall
from text2sql.context.settings import Context
from text2sql.databases import database_path
from text2sql.schema.ddl import read_ddl, write_ddl
from text2sql.schema.settings import Prompt
from text2sql.schema.sqlite import read_sqlite
from text2sql.workstore import WorkStore

pytestmark = pytest.mark.slow

Rows = list[tuple[Asked, str]]  # questions with their gold queries


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> WorkStore:
    return WorkStore(tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def rows(real_data: Path) -> Rows:
    schemas: dict[str, str] = {}
    found = []
    for number, row in enumerate(
        json.loads((real_data / "spider" / "dev_sql.json").read_text(encoding="utf-8"))
    ):
        db_id = row["instruction"].split()[0]
        database = database_path(real_data / "spider" / "database", db_id)
        if db_id not in schemas:
            schemas[db_id] = write_ddl(read_sqlite(database))
        found.append((Asked(str(number), database, db_id, row["input"], schemas[db_id]), row["output"]))
    return found


def made(rows: Rows, work: WorkStore, **settings: Any) -> tuple[list[Made], Recall]:
    context = Context(questions="data/test", value_hints=5, **settings)
    found, _ = make_contexts(
        [asked for asked, _ in rows], context, Prompt(schema_types=True), work, processes=1
    )
    return found, recall([(asked.id, asked.ddl, gold) for asked, gold in rows], found)


def test_every_question_has_a_context_and_every_gold_query_is_read(rows: Rows, work: WorkStore) -> None:
    found, figures = made(rows, work)
    assert not [one.problem for one in found if one.problem]
    assert (figures.questions, figures.unread) == (1034, [])


def test_hints_have_most_gold_values_and_are_mostly_gold_values(rows: Rows, work: WorkStore) -> None:
    figures = made(rows, work)[1].figures()
    assert figures["value_recall"] > 75
    assert figures["value_precision"] > 65
    assert figures["lossy_questions"] == 0


@pytest.mark.parametrize(("budget", "most_lossy"), [(10, 8), (15, 4), (20, 2.5), (30, 1)])
def test_a_cut_schema_keeps_what_gold_queries_use(
    rows: Rows, work: WorkStore, budget: int, most_lossy: float
) -> None:
    figures = made(rows, work, link=budget)[1].figures()
    assert figures["lossy_questions"] < most_lossy
    assert figures["table_recall"] > 98


def test_sqlite_accepts_every_schema_with_values_and_reads_the_columns_shown(
    rows: Rows, work: WorkStore
) -> None:
    for one in made(rows, work, example_values=5, link=12)[0]:
        schema = read_ddl(one.text)
        assert {(t.name.lower(), c.name.lower()) for t in schema.tables for c in t.columns} == one.columns


def test_a_second_run_reads_no_database(rows: Rows, work: WorkStore) -> None:
    first = made(rows, work)[0]
    kept = {file: file.stat().st_mtime_ns for file in work.root.rglob("values.json")}
    time.sleep(0.01)
    assert made(rows, work)[0] == first
    assert len(kept) == 20
    assert kept == {file: file.stat().st_mtime_ns for file in work.root.rglob("values.json")}
