"""Forms of queries without names and values, and the names that queries have."""

from __future__ import annotations

import pytest

from text2sql.retrieval.skeleton import Names, names, skeleton

CASES = [
    ("SELECT T1.a FROM t AS T1 WHERE T1.b = 'x'", "SELECT _ FROM _ WHERE _ = ?"),
    ("select c from u where d=-3;  -- why", "SELECT _ FROM _ WHERE _ = ?"),
    ("SELECT max(a) AS n FROM t ORDER BY n ASC", "SELECT MAX(_) FROM _ ORDER BY _"),
    ("SELECT count(*) FROM t LIMIT 1", "SELECT COUNT(*) FROM _ LIMIT ?"),
    ("SELECT a FROM t INNER JOIN u ON t.x = u.y", "SELECT _ FROM _ JOIN _ ON _ = _"),
    ("SELECT a FROM (SELECT a FROM t) AS s", "SELECT _ FROM (SELECT _ FROM _)"),
    ("WITH w AS (SELECT a FROM t) SELECT a FROM w", "WITH _ AS (SELECT _ FROM _) SELECT _ FROM _"),
    ("SELECT a FROM main.t ORDER BY b DESC", "SELECT _ FROM _ ORDER BY _ DESC"),
]


@pytest.mark.parametrize(("sql", "form"), CASES)
def test_a_skeleton_has_no_names_and_no_values(sql: str, form: str) -> None:
    assert skeleton(sql) == form


@pytest.mark.parametrize("sql", ["", "SELECT (", "DELETE FROM t", "SELECT 1; SELECT 2"])
def test_what_is_not_one_query_has_no_skeleton_and_no_names(sql: str) -> None:
    assert skeleton(sql) is None
    assert names(sql) is None


def test_other_operators_make_another_skeleton() -> None:
    assert skeleton("SELECT a FROM t WHERE b > 1") != skeleton("SELECT a FROM t WHERE b < 1")


def test_names_are_those_of_tables_and_columns_without_their_case() -> None:
    sql = "SELECT T1.Name FROM Singer AS T1 JOIN concert USING (id) WHERE T1.age > 3"
    tables, columns = frozenset({"singer", "concert"}), frozenset({"name", "age", "id"})
    assert names(sql) == Names(tables, columns, star=False)


def test_a_table_that_with_defines_is_no_table() -> None:
    found = names("WITH w AS (SELECT a FROM t) SELECT a FROM w")
    assert found and found.tables == {"t"}


@pytest.mark.parametrize(("sql", "star"), [("SELECT * FROM t", True), ("SELECT count(*) FROM t", False)])
def test_a_star_is_one_outside_count(sql: str, star: bool) -> None:
    found = names(sql)
    assert found and found.star is star
