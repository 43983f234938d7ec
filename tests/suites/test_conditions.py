"""Constants and conditions of gold queries."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.suites.databases import SCHOOL, database
from text2sql.suites.conditions import Cell, Condition, Goal, GroupSize, Link, constants, matching, read_goal
from text2sql.suites.facts import DatabaseFacts, read_facts


@pytest.fixture
def facts(tmp_path: Path) -> DatabaseFacts:
    return read_facts(database(tmp_path / "school.sqlite", SCHOOL))


def goal(sql: str, facts: DatabaseFacts) -> Goal:
    found = read_goal(sql, facts)
    assert found
    return found


def test_constants_are_found_through_aliases_and_in_subqueries(facts: DatabaseFacts) -> None:
    sql = """SELECT T1.name FROM school AS T1 JOIN town t2 ON T1.town_id = t2.id WHERE t2.People > 200000
        AND size BETWEEN 100 AND -5 AND T1.id IN
        (SELECT school FROM pupil WHERE 1.5 >= GRADE OR age IN (7, 8))"""
    assert constants([sql], facts) == {
        ("town", "people"): [200000],
        ("school", "size"): [100, -5],
        ("pupil", "grade"): [1.5],
        ("pupil", "age"): [7, 8],
    }


def test_a_text_in_double_quotes_is_a_constant_where_no_column_has_that_name(facts: DatabaseFacts) -> None:
    sql = 'SELECT 1 FROM pupil WHERE "home town" = "Ulm" AND lower("home town") != \'x\''
    assert constants([sql], facts) == {("pupil", "home town"): ["Ulm", "x"]}


def test_a_like_pattern_gives_a_text_that_matches(facts: DatabaseFacts) -> None:
    found = constants(["SELECT 1 FROM town WHERE name LIKE '%o_n%'"], facts)
    assert found == {("town", "name"): ["aoana"]}
    assert matching("_b%", "xy") == "xbxy"


def test_constants_of_having_belong_to_the_column_of_the_aggregate(facts: DatabaseFacts) -> None:
    sql = "SELECT school FROM pupil GROUP BY school HAVING avg(age) > 10 AND count(*) >= 2"
    assert constants([sql], facts) == {("pupil", "age"): [10]}
    assert goal(sql, facts).sizes == [GroupSize(Cell(0, "school"), 2)]


def test_equal_columns_are_links_that_set_operations_and_not_in_make_unsure(facts: DatabaseFacts) -> None:
    sql = """SELECT name FROM town WHERE id NOT IN (SELECT town_id FROM school)
        INTERSECT SELECT "home town" FROM pupil"""
    found = goal(sql, facts)
    cells = {(found.tables[one.table], one.column) for link in found.links for one in (link.one, link.other)}
    assert cells == {("town", "id"), ("school", "town_id"), ("town", "name"), ("pupil", "home town")}
    assert not any(link.sure for link in found.links)
    using = goal("SELECT 1 FROM school JOIN town USING (id)", facts)
    assert using.links == [Link(Cell(0, "id"), Cell(1, "id"))]


def test_a_condition_under_not_is_turned_round(facts: DatabaseFacts) -> None:
    sql = "SELECT 1 FROM town WHERE NOT people > 5 AND name NOT LIKE 'a%' AND founded IS NOT NULL"
    found = {(one.cell.column, one.operator, one.value) for one in goal(sql, facts).conditions}
    assert found == {("people", "<=", 5), ("name", "not like", "a%"), ("founded", "not null", None)}


def test_a_constant_on_the_left_is_compared_the_other_way_round(facts: DatabaseFacts) -> None:
    assert goal("SELECT 1 FROM town WHERE 5 < people", facts).conditions == [
        Condition(Cell(0, "people"), ">", 5)
    ]


def test_what_is_no_query_or_names_no_table_gives_nothing(facts: DatabaseFacts) -> None:
    for sql in (
        "",
        "SELECT",
        "SELEC 1 FRM town",
        "SELECT 1",
        "SELECT * FROM nothing WHERE a = 1",
        "'",
        "(((",
    ):
        assert read_goal(sql, facts) is None, sql
    assert constants(["SELECT (", "SELECT 1"], facts) == {}
