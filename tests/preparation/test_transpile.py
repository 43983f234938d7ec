"""SQL of another dialect becomes SQLite's, or nothing where SQLite's would mean something else."""

from __future__ import annotations

import pytest

from text2sql.preparation.transpile import candidates


def last(sql: str, dialect: str | None) -> str | None:
    """The last form of a query in SQLite's SQL, None if there is none."""
    return next((text for _, text in reversed(list(candidates(sql, dialect)))), None)


@pytest.mark.parametrize(
    ("dialect", "sql", "expected"),
    [
        ("tsql", "SELECT DATEADD(day, -1, ts) FROM t", "SELECT DATE(ts, '-1 DAY') FROM t"),
        ("tsql", "SELECT a + ' ' + b, a + 1 FROM t", "SELECT a || ' ' || b, a + 1 FROM t"),
        ("tsql", "SELECT ISNULL(SUM(a), 0) FROM t", "SELECT COALESCE(SUM(a), 0) FROM t"),
        ("mysql", "SELECT ISNULL(COALESCE(a, b)) FROM t", "SELECT (COALESCE(a, b) IS NULL) FROM t"),
        (
            "mysql",
            "SELECT DATE_FORMAT(ts, '%Y-%m-%dT%H') FROM t",
            "SELECT STRFTIME('%Y-%m-%dT%H', ts) FROM t",
        ),
        ("postgres", "SELECT TO_CHAR(ts, 'YYYY-MM-DD') FROM t", "SELECT STRFTIME('%Y-%m-%d', ts) FROM t"),
        ("oracle", "SELECT a FROM t FETCH FIRST 5 ROWS ONLY", "SELECT a FROM t LIMIT 5"),
        ("sqlite", "SELECT s.t.a FROM s.t WHERE s.t.a > 1", "SELECT t.a FROM t WHERE t.a > 1"),
    ],
)
def test_a_query_keeps_its_meaning(dialect: str, sql: str, expected: str) -> None:
    assert last(sql, dialect) == expected


@pytest.mark.parametrize(
    ("dialect", "sql"),
    [
        ("tsql", "SELECT DATEADD(day, n, ts) FROM t"),
        ("tsql", "SELECT DATEDIFF(year, a, b) FROM t"),
        ("tsql", "SELECT GETDATE() - 7 FROM t"),
        ("mysql", "SELECT ISNULL(SUM(a), 0) FROM t"),
        ("mysql", "SELECT DATE_FORMAT(ts, '%M') FROM t"),
        ("postgres", "SELECT a::date - b::date FROM t"),
        ("postgres", "SELECT a::int, CURRENT_DATE - 7 FROM t"),
        ("postgres", "SELECT TO_CHAR(a, '999') FROM t"),
        ("postgres", "SELECT TO_CHAR(ts, 'Day') FROM t"),
        ("mysql", "SELECT a FROM t WHERE ts >= TIMESTAMP '2020-01-01 00:00:00'"),
        ("oracle", "SELECT a FROM t FETCH FIRST 5 ROWS WITH TIES"),
        ("snowflake", "SELECT TRY_CAST(a AS INT) FROM t"),
        ("sqlite", "SELECT x.t.a FROM x.t JOIN y.t ON x.t.a = y.t.a"),
    ],
)
def test_a_query_that_would_mean_something_else_in_sqlite_is_left_out(dialect: str, sql: str) -> None:
    assert last(sql, dialect) is None
