"""Dates of other dialects give in SQLite what they give there."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from text2sql.preparation.transpile import candidates


def to_sqlite(sql: str, dialect: str) -> str | None:
    """The first translation of a query of a dialect."""
    return next((text for _, text in candidates(sql, dialect)), None)


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.executescript("CREATE TABLE t (d, n); INSERT INTO t VALUES ('2024-03-15 10:11:12', 'Foo')")
    yield connection
    connection.close()


@pytest.mark.parametrize(
    ("dialect", "expression", "value"),
    [
        ("mysql", "YEAR(d)", 2024),
        ("mysql", "MONTH(d) + DAY(d)", 18),
        ("mysql", "DATE_SUB('2024-03-15', INTERVAL 1 YEAR)", "2023-03-15"),
        ("mysql", "DATE_ADD('2024-03-15', INTERVAL 2 WEEK)", "2024-03-29"),
        ("mysql", "YEAR(DATE_SUB(d, INTERVAL 1 MONTH))", 2024),
        ("mysql", "DATE_FORMAT(d, '%Y-%m')", "2024-03"),
        ("mysql", "NOW() > DATE_SUB(NOW(), INTERVAL 1 HOUR)", 1),
        ("postgres", "EXTRACT(YEAR FROM d)", 2024),
        ("postgres", "DATE_PART('hour', d)", 10),
        ("postgres", "DATE_TRUNC('month', d)", "2024-03-01"),
        ("postgres", "d::date - INTERVAL '1 month'", "2024-02-15"),
        ("postgres", "n ILIKE 'foo'", 1),
        ("tsql", "DATEADD(day, -1, '2024-03-15')", "2024-03-14"),
        ("tsql", "DATEADD(hour, 1, d)", "2024-03-15 11:11:12"),
        ("tsql", "DATEADD(week, 1, '2024-03-15')", "2024-03-22"),
        ("mysql", "DATE_ADD(d, INTERVAL 1 HOUR)", "2024-03-15 11:11:12"),
        ("tsql", "DATEDIFF(day, '2024-03-01', '2024-03-15')", 14),
        ("tsql", "LEN(n)", 3),
        ("snowflake", "DATEADD(year, 1, '2024-03-15')", "2025-03-15"),
        ("bigquery", "DATE_TRUNC(d, YEAR)", "2024-01-01"),
    ],
)
def test_an_expression_has_its_value(
    database: sqlite3.Connection, dialect: str, expression: str, value: object
) -> None:
    sql = to_sqlite(f"SELECT {expression} FROM t", dialect)
    assert sql is not None
    assert database.execute(sql).fetchall() == [(value,)]


@pytest.mark.parametrize(
    "expression", ["EXTRACT(EPOCH FROM d)", "d - INTERVAL n DAY", "DATE_TRUNC('week', d)", "STDDEV(n)"]
)
def test_what_sqlite_has_nothing_for_does_not_compile(database: sqlite3.Connection, expression: str) -> None:
    for dialect in ("postgres", "mysql"):
        sql = to_sqlite(f"SELECT {expression} FROM t", dialect)
        if sql is not None:
            with pytest.raises(sqlite3.Error):
                database.execute(sql)


@pytest.mark.parametrize("sql", ["DROP TABLE t", "SELECT 1; SELECT 2", "SELECT (", ""])
def test_only_one_query_is_translated(sql: str) -> None:
    assert [to_sqlite(sql, dialect) for dialect in ("postgres", "mysql", "tsql")] == [None] * 3


def test_a_number_that_lost_its_comma_is_no_dialect() -> None:
    assert list(candidates("SELECT n FROM t WHERE d > 43 OFFSET 211", None)) == []
