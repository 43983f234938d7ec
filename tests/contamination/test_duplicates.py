"""Rows that repeat an earlier one are found by question, query and schema."""

from __future__ import annotations

import dataclasses

import pytest

from text2sql.contamination.duplicates import Duplicates
from text2sql.records import TrainingRow

ROW = TrainingRow("a:0", "a", "How many?", "CREATE TABLE t (id, name)", "SELECT count(*) FROM t")


def first(**changes: str) -> str | None:
    duplicates = Duplicates()
    assert duplicates.first(ROW) is None
    return duplicates.first(dataclasses.replace(ROW, id="b:1", source="b", **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"question": "how MANY"},
        {"sql": "select COUNT(*) from T;"},
        {"ddl": "create table T (\n id,\n name\n);"},
        {"db_id": "d"},
    ],
)
def test_a_row_of_another_source_that_says_the_same_repeats_it(changes: dict[str, str]) -> None:
    assert first(**changes) == "a:0"


@pytest.mark.parametrize(
    "changes",
    [
        {"question": "How many are there?"},
        {"sql": "SELECT count(id) FROM t"},
        {"ddl": "CREATE TABLE t (id)"},
        {"ddl": ""},
    ],
)
def test_another_question_query_or_schema_makes_another_row(changes: dict[str, str]) -> None:
    assert first(**changes) is None


def test_without_a_schema_the_database_counts() -> None:
    duplicates, bare = Duplicates(), dataclasses.replace(ROW, ddl="", db_id="d")
    assert duplicates.first(bare) is None
    assert duplicates.first(dataclasses.replace(bare, id="b:1", db_id="e")) is None
    assert duplicates.first(dataclasses.replace(bare, id="b:2")) == "a:0"


def test_the_first_of_several_is_named() -> None:
    duplicates = Duplicates()
    found = [duplicates.first(dataclasses.replace(ROW, id=f"a:{n}")) for n in range(3)]
    assert found == [None, "a:0", "a:0"]


@pytest.mark.parametrize("sql", ["", "?", "SELECT '\ud800'", "(" * 3_000])
def test_odd_queries_are_compared_as_text(sql: str) -> None:
    duplicates = Duplicates()
    rows = [dataclasses.replace(ROW, id=str(n), sql=sql) for n in range(2)]
    assert [duplicates.first(row) for row in rows] == [None, "0"]
