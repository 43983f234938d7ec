"""The syntax tree of a query."""

from __future__ import annotations

import pytest
from sqlglot import exp

from text2sql.schema.queries import SQL_LENGTH, parse_query

NO_QUERY = {
    "empty": "",
    "semicolon": ";",
    "comment": "-- nothing",
    "incomplete": "SELECT (",
    "without-names": "SELECT FROM WHERE",
    "table": "DROP TABLE t",
    "rows": "DELETE FROM t",
    "two": "SELECT 1; SELECT 2",
    "nul": "\0",
    "deep": "SELECT " + "(" * 20_000 + "1" + ")" * 20_000,
}


@pytest.mark.parametrize("sql", NO_QUERY.values(), ids=NO_QUERY)
def test_text_that_is_not_one_query_has_no_tree(sql: str) -> None:
    assert parse_query(sql) is None


@pytest.mark.parametrize(
    "sql",
    ["SELECT a FROM t", "WITH q AS (SELECT 1) SELECT * FROM q", "SELECT 1 UNION SELECT 2", "(SELECT 1)"],
)
def test_a_query_is_read_in_any_form(sql: str) -> None:
    tree = parse_query(sql)
    assert tree is not None
    assert tree.sql("sqlite") == sql


@pytest.mark.parametrize("end", [";", ";;", "; -- done", " -- done"])
def test_an_end_without_a_statement_does_not_count(end: str) -> None:
    assert parse_query("SELECT a FROM t" + end) == parse_query("SELECT a FROM t")


def test_a_query_that_sqlite_is_not_given_for_its_length_has_no_tree() -> None:
    longest = "SELECT 1".ljust(SQL_LENGTH)
    assert parse_query(longest) is not None
    assert parse_query(longest + " ") is None


def test_each_call_returns_a_tree_of_its_own() -> None:
    first = parse_query("SELECT a FROM t")
    assert isinstance(first, exp.Select)
    first.set("expressions", [])
    assert parse_query("SELECT a FROM t") != first
