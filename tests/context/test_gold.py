"""text2sql.context.gold: tables, columns and strings of gold queries."""

from __future__ import annotations

import pytest

from tests.context.databases import SINGERS
from text2sql.context.gold import Gold, read_gold
from text2sql.schema.ddl import executed


def gold(sql: str) -> Gold | None:
    with executed(SINGERS) as connection:
        return read_gold(connection, sql)


def read(sql: str) -> Gold:
    found = gold(sql)
    assert found is not None
    return found


def test_tables_and_columns_are_found_under_aliases_and_in_subqueries() -> None:
    found = read(
        "SELECT T1.NAME FROM singer AS T1 WHERE T1.Singer_ID IN (SELECT Singer_ID FROM singer_in_concert)"
    )
    assert found.tables == {"singer", "singer_in_concert"}
    assert found.columns == {("singer", "name"), ("singer", "singer_id"), ("singer_in_concert", "singer_id")}


def test_a_table_of_which_no_column_is_named_counts() -> None:
    assert read("SELECT count(*) FROM singer") == Gold(frozenset({"singer"}), frozenset(), frozenset())


def test_a_star_is_all_columns_and_a_table_expression_is_none() -> None:
    found = read("WITH c AS (SELECT * FROM concert) SELECT Theme FROM c")
    assert found.tables == {"concert"}
    assert found.columns == {("concert", "concert_id"), ("concert", "theme"), ("concert", "year")}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("Country = 'France'", {"France"}),
        ('Country = "France"', {"France"}),
        ("'France' != Country", {"France"}),
        ("Country IN ('France', 'Peru')", {"France", "Peru"}),
        ("Country LIKE '%ance'", set()),
        ("Age = 3", set()),
        ('Country = "Name"', set()),
    ],
)
def test_strings_are_those_that_a_column_is_compared_with(condition: str, expected: set[str]) -> None:
    assert read(f"SELECT Age FROM singer WHERE {condition}").strings == expected


@pytest.mark.parametrize(
    "sql", ["", "SELECT", "SELECT nothing FROM singer", "DROP TABLE singer", "SELECT 1; SELECT 2"]
)
def test_a_query_that_cannot_be_read_is_none(sql: str) -> None:
    assert gold(sql) is None


def test_reading_runs_nothing() -> None:
    assert read(
        "SELECT count(*) FROM singer, singer AS a, singer AS b WHERE randomblob(1000000000) > 1"
    ).tables
