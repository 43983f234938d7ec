"""Queries that ask for the same in other words are kept apart from queries that ask for something else."""

from __future__ import annotations

import pytest

from text2sql.contamination.meaning import changes_meaning, meaning

OLDEST = "SELECT name FROM singer ORDER BY age DESC LIMIT 1"
MANY = (
    "SELECT T1.name FROM singer AS T1 JOIN concert AS T2 ON T1.id = T2.singer_id GROUP BY T1.id "
    "HAVING count(*) >= 3"
)
NEVER = "SELECT name FROM singer WHERE id NOT IN (SELECT singer_id FROM concert)"
BOTH = "SELECT name FROM singer WHERE country = 'Peru' AND age > 30"

SAME = [
    (OLDEST, "SELECT s.name FROM singer AS s WHERE s.age = (SELECT max(age) FROM singer)"),
    (OLDEST, "SELECT name FROM singer WHERE age >= (SELECT max(age) FROM singer)"),
    (MANY, "SELECT name FROM singer WHERE id IN "
           "(SELECT singer_id FROM concert GROUP BY singer_id HAVING count(id) > 2)"),
    (NEVER, "SELECT name FROM singer EXCEPT SELECT name FROM singer JOIN concert ON singer.id = singer_id"),
    (NEVER, "SELECT name FROM singer AS s WHERE NOT EXISTS (SELECT 1 FROM concert WHERE singer_id = s.id)"),
    (NEVER, "SELECT s.name FROM singer s LEFT JOIN concert c ON c.singer_id = s.id WHERE c.id IS NULL"),
    (BOTH, "SELECT name AS who FROM singer WHERE 30 < age AND country IN ('Peru')"),
    (BOTH, "SELECT name FROM singer WHERE age >= 31 AND country LIKE '%peru%'"),
    (BOTH, 'SELECT name FROM singer WHERE country = "Peru" AND NOT age <= 30'),
    ("SELECT avg(age) FROM singer", "SELECT sum(age) * 1.0 / count(age) FROM singer"),
    ("SELECT id FROM t WHERE a BETWEEN 2 AND 5", "SELECT id FROM t WHERE a > 1 AND a < 6"),
    ("SELECT name FROM t WHERE a = 1 OR a = 2", "SELECT name FROM t WHERE a IN (2, 1)"),
    ("SELECT name, age FROM singer", "SELECT s.age AS age, s.name AS name FROM singer AS s"),
]  # fmt: skip
DIFFERENT = [
    (OLDEST, "SELECT name FROM singer ORDER BY age LIMIT 1"),
    (OLDEST, "SELECT name FROM singer WHERE age = (SELECT min(age) FROM singer)"),
    (OLDEST, "SELECT name FROM singer ORDER BY age DESC LIMIT 3"),
    (OLDEST, "SELECT name FROM singer ORDER BY height DESC LIMIT 1"),
    (OLDEST, "SELECT country FROM singer ORDER BY age DESC LIMIT 1"),
    (OLDEST, "SELECT name FROM singer ORDER BY age DESC"),
    (OLDEST, "SELECT name FROM dancer ORDER BY age DESC LIMIT 1"),
    (MANY, MANY.replace(">=", ">")),
    (MANY, MANY.replace(">=", "<=")),
    (MANY, MANY.replace("3", "4")),
    (NEVER, NEVER.replace("NOT ", "")),
    (BOTH, "SELECT name FROM singer WHERE country = 'Peru'"),
    (BOTH, BOTH.replace("Peru", "Chile")),
    (BOTH, BOTH.replace("AND", "OR")),
    (BOTH, BOTH + " AND age < 60"),
    (BOTH, BOTH.replace("=", "!=")),
    (BOTH, BOTH.replace("age > 30", "NOT age > 30")),
    (BOTH, BOTH.replace("SELECT name", "SELECT count(*)")),
    ("SELECT avg(age) FROM singer", "SELECT sum(age) FROM singer"),
    ("SELECT name FROM t ORDER BY a", "SELECT name FROM t ORDER BY a DESC"),
    ("SELECT name FROM t ORDER BY a", "SELECT name FROM t"),
    ("SELECT name FROM t WHERE a > 1.5", "SELECT name FROM t WHERE a >= 1.5"),
    ("SELECT name FROM t WHERE a > -1", "SELECT name FROM t WHERE a > 1"),
    ("SELECT b FROM t WHERE a > (SELECT avg(a) FROM t)", "SELECT b FROM t WHERE a < (SELECT avg(a) FROM t)"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), SAME)
def test_a_query_written_in_another_way_means_the_same(one: str, other: str) -> None:
    assert not changes_meaning(one, other) and not changes_meaning(other, one)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_a_query_that_asks_for_something_else_is_noticed(one: str, other: str) -> None:
    assert changes_meaning(one, other) and changes_meaning(other, one)


@pytest.mark.parametrize(
    "sql", ["", "?", "DROP TABLE singer", "SELECT 1; SELECT 2", "(" * 3_000, "\0", "\ud800"]
)
def test_a_text_that_is_no_query_is_not_compared(sql: str) -> None:
    assert meaning(sql) is None
    assert not changes_meaning(sql, OLDEST) and not changes_meaning(OLDEST, sql)
