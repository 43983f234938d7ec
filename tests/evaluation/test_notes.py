"""What the text of a query says for the notes on a verdict."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from text2sql.evaluation.notes import ties_query, without_text_in_double_quotes

SCRIPT = """
CREATE TABLE t (name TEXT, age INT, "first name" TEXT);
INSERT INTO t VALUES ('Ann', 30, 'A'), ('Bo', 41, 'B'), ('Cy', 41, 'C'), ('Di', 50, 'D');
"""


def has_tie(gold: str) -> bool | None:
    """Whether the LIMIT of a gold query cuts ties; None if it is not known."""
    query = ties_query(gold)
    if query is None:
        return None
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(SCRIPT)
        return query.has_tie(connection.execute(query.sql).fetchall())


@pytest.mark.parametrize(
    ("gold", "expected"),
    [
        ("SELECT name FROM t ORDER BY age DESC LIMIT 1", False),
        ("SELECT name FROM t ORDER BY age DESC LIMIT 2", True),
        ("SELECT name FROM t ORDER BY age LIMIT 2", True),
        ("SELECT name FROM t ORDER BY age LIMIT 3", False),
        ("SELECT name FROM t ORDER BY age LIMIT 4", False),
        ("SELECT name FROM t ORDER BY age LIMIT 9", False),
        ("SELECT name FROM t ORDER BY age LIMIT 0", False),
        ("select name from t order  by age desc nulls last\nlimit 2 ;", True),
        ("SELECT name FROM t ORDER BY age DESC, name LIMIT 2", False),
        ("SELECT name, age FROM t ORDER BY 2 DESC LIMIT 2", True),
        ("SELECT name, age AS years FROM t ORDER BY years DESC LIMIT 2", True),
        ("SELECT age FROM t GROUP BY age ORDER BY count(*) LIMIT 1", True),
        ("SELECT age FROM t GROUP BY age ORDER BY count(*) DESC LIMIT 1", False),
        ("SELECT max(age), count(*) FROM t ORDER BY age LIMIT 1", False),
        ("SELECT T1.name FROM t AS T1 JOIN t AS T2 ON T1.age = T2.age ORDER BY T1.age LIMIT 2", True),
        ("SELECT name FROM t WHERE name <> 'a LIMIT 1, (' -- limit\n ORDER BY age DESC LIMIT 2", True),
        ("SELECT (SELECT max(age) FROM t) - age FROM t ORDER BY abs(age - 41) LIMIT 1", True),
    ],
)
def test_a_tie_is_found_where_limit_cuts_between_equal_keys(gold: str, expected: bool) -> None:
    assert has_tie(gold) is expected


@pytest.mark.parametrize(
    "gold",
    [
        "SELECT name FROM t LIMIT 1",
        "SELECT name FROM t ORDER BY age",
        "SELECT 1 ORDER BY 1 LIMIT 1",
        "SELECT DISTINCT age FROM t ORDER BY age LIMIT 1",
        "SELECT name FROM t ORDER BY age LIMIT 1 OFFSET 1",
        "SELECT name FROM t ORDER BY age LIMIT 1, 1",
        "SELECT name FROM t ORDER BY age LIMIT 1 + 1",
        "SELECT * FROM t ORDER BY 2 LIMIT 2",
        "SELECT name FROM t ORDER BY 7 LIMIT 2",
        "SELECT name FROM t UNION SELECT 'x' FROM t ORDER BY 1 LIMIT 1",
        "WITH u AS (SELECT * FROM t) SELECT name FROM u ORDER BY age LIMIT 1",
        "SELECT name FROM t WHERE age = (SELECT age FROM t ORDER BY age DESC LIMIT 1)",
        "",
        "ORDER BY LIMIT 1 FROM SELECT",
        "SELECT ) FROM t ORDER BY , LIMIT 1",
    ],
)
def test_other_queries_are_not_looked_at(gold: str) -> None:
    assert ties_query(gold) is None


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ('SELECT "nme" FROM t', "SELECT `nme` FROM t"),
        ('SELECT DISTINCT "a", count("b") FROM t', "SELECT DISTINCT `a`, count(`b`) FROM t"),
        ('SELECT a FROM t WHERE "b" > 3 AND NOT "c" = 4', "SELECT a FROM t WHERE `b` > 3 AND NOT `c` = 4"),
        ('SELECT a FROM t GROUP BY "b" ORDER BY "c"', "SELECT a FROM t GROUP BY `b` ORDER BY `c`"),
        ('SELECT "a""b`c" FROM t', 'SELECT `a"b``c` FROM t'),
        (
            'SELECT a FROM t WHERE b BETWEEN "x" AND "y" AND "z"',
            'SELECT a FROM t WHERE b BETWEEN "x" AND "y" AND `z`',
        ),
        ('SELECT a FROM t WHERE b IN (SELECT "c" FROM u)', "SELECT a FROM t WHERE b IN (SELECT `c` FROM u)"),
    ],
)
def test_names_in_double_quotes_are_written_so_that_they_are_no_text(sql: str, expected: str) -> None:
    assert without_text_in_double_quotes(sql) == expected


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a FROM t",
        "SELECT '\"a\"' FROM t",
        'SELECT a FROM t WHERE b = "x" OR b LIKE "%x%" OR b IS NOT "y" OR b = ("z")',
        'SELECT a FROM t WHERE b IN ("x", "y")',
        'SELECT strftime("%Y", d) || "-" FROM t',
        'SELECT CASE a WHEN "x" THEN "y" ELSE "z" END FROM t',
        'SELECT a -- "b"\nFROM t /* "c" */',
    ],
)
def test_text_in_double_quotes_stays(sql: str) -> None:
    assert without_text_in_double_quotes(sql) is None
