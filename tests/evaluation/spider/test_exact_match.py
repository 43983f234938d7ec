"""Exact set match compares clauses as sets, with the exceptions of the official script."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from text2sql.evaluation.spider.exact_match import PARTS, exact_match
from text2sql.evaluation.spider.parser import UnreadableSQL
from text2sql.evaluation.spider.schema import SpiderSchema
from text2sql.evaluation.verdicts import PartCount

SCHEMA = SpiderSchema(
    {"singer": ("id", "name", "age"), "song": ("id", "singer_id", "title")},
    {"singer.id": "singer.id", "song.singer_id": "singer.id"},
)
BOTH = "FROM singer JOIN song ON singer.id = song.singer_id"


def matches(gold: str, predicted: str) -> bool:
    return exact_match(gold, predicted, SCHEMA).em


def part(name: str, gold: str, predicted: str) -> tuple[int, int, int]:
    count = exact_match(gold, predicted, SCHEMA).parts[name]
    return count.gold, count.predicted, count.shared


@pytest.mark.parametrize(
    ("gold", "predicted"),
    [
        ("SELECT name, age FROM singer", "SELECT age, name FROM singer"),
        ("SELECT name FROM singer", "SELECT DISTINCT T1.name FROM singer AS T1"),
        ("SELECT count(DISTINCT name) FROM singer", "SELECT count(name) FROM singer"),
        ("SELECT name FROM singer WHERE age = 1", "SELECT name FROM singer WHERE age = 99"),
        ("SELECT name FROM singer LIMIT 1", "SELECT name FROM singer LIMIT 5"),
        (
            "SELECT name FROM singer WHERE age = 1 AND id > 2",
            "SELECT name FROM singer WHERE id > 2 AND age = 1",
        ),
        (f"SELECT name {BOTH}", "SELECT name FROM song JOIN singer"),
        (f"SELECT id {BOTH}", f"SELECT song.singer_id {BOTH}"),
        (f"SELECT count(*) {BOTH} GROUP BY singer.id", f"SELECT count(*) {BOTH} GROUP BY song.singer_id"),
        ("SELECT name FROM singer WHERE age = id OR id = 1", "SELECT name FROM singer WHERE age = 1"),
        (
            "SELECT name FROM singer UNION SELECT title FROM song WHERE id = 1",
            "SELECT name FROM singer UNION SELECT title FROM song WHERE id = 2",
        ),
        (
            "SELECT name FROM singer WHERE id IN (SELECT id FROM song WHERE id = 1)",
            "SELECT name FROM singer WHERE id IN (SELECT id FROM song WHERE id = 2)",
        ),
    ],
)
def test_what_does_not_count_may_differ(gold: str, predicted: str) -> None:
    assert matches(gold, predicted)
    assert matches(predicted, gold)


@pytest.mark.parametrize(
    ("gold", "predicted"),
    [
        ("SELECT name FROM singer", "SELECT name, name FROM singer"),
        ("SELECT max(age) FROM singer", "SELECT min(age) FROM singer"),
        ("SELECT id FROM singer", "SELECT singer_id FROM song"),
        ("SELECT count(*) FROM singer", f"SELECT count(*) {BOTH}"),
        ("SELECT name FROM singer WHERE age > 1", "SELECT name FROM singer WHERE age >= 1"),
        ("SELECT name FROM singer WHERE age LIKE 1", "SELECT name FROM singer WHERE age NOT LIKE 1"),
        (
            "SELECT name FROM singer WHERE age > 1 AND id = 1",
            "SELECT name FROM singer WHERE age > 1 OR id = 1",
        ),
        ("SELECT name FROM singer ORDER BY age", "SELECT name FROM singer ORDER BY age DESC"),
        ("SELECT name FROM singer ORDER BY age, id", "SELECT name FROM singer ORDER BY id, age"),
        ("SELECT name FROM singer ORDER BY age LIMIT 1", "SELECT name FROM singer ORDER BY age"),
        ("SELECT name FROM singer GROUP BY name", "SELECT name FROM singer GROUP BY age"),
        (
            "SELECT name FROM singer GROUP BY name HAVING count(*) > 1",
            "SELECT name FROM singer GROUP BY name",
        ),
        ("SELECT name FROM singer UNION SELECT title FROM song", "SELECT name FROM singer"),
        (
            "SELECT name FROM singer UNION SELECT title FROM song",
            "SELECT name FROM singer EXCEPT SELECT title FROM song",
        ),
        (
            "SELECT name FROM singer UNION SELECT title FROM song",
            "SELECT name FROM singer UNION SELECT id FROM song",
        ),
        (
            "SELECT name FROM singer WHERE id IN (SELECT id FROM song)",
            "SELECT name FROM singer WHERE id IN (SELECT DISTINCT id FROM song)",
        ),
        (
            "SELECT count(*) FROM (SELECT name FROM singer WHERE age = 1)",
            "SELECT count(*) FROM (SELECT name FROM singer WHERE age = 2)",
        ),
    ],
)
def test_what_counts_must_not_differ(gold: str, predicted: str) -> None:
    assert not matches(gold, predicted)
    assert not matches(predicted, gold)


def test_the_tables_of_the_first_select_decide_which_columns_are_tied() -> None:
    gold = "SELECT name FROM singer UNION SELECT singer_id FROM song"
    assert not matches(gold, "SELECT name FROM singer UNION SELECT singer.id FROM song")
    assert matches(
        f"SELECT name {BOTH} UNION SELECT song.singer_id FROM song",
        f"SELECT name {BOTH} UNION SELECT singer.id FROM song",
    )


def test_parts_count_items_of_the_gold_of_the_prediction_and_of_both() -> None:
    gold = "SELECT name, max(age) FROM singer WHERE age > 1 AND id = 2"
    predicted = "SELECT name, min(age), id FROM singer WHERE age < 1"
    assert part("select", gold, predicted) == (2, 3, 1)
    assert part("select(no AGG)", gold, predicted) == (2, 3, 2)
    assert part("where", gold, predicted) == (2, 1, 0)
    assert part("where(no OP)", gold, predicted) == (2, 1, 1)


def test_group_by_is_compared_by_columns_without_their_tables_but_for_having() -> None:
    gold, predicted = f"SELECT name {BOTH} GROUP BY song.id", "SELECT name FROM singer GROUP BY id"
    assert part("group(no Having)", gold, predicted) == (1, 1, 1)
    assert part("group", gold, predicted) == (1, 1, 0)


def test_order_by_needs_the_same_direction_and_limit() -> None:
    gold = "SELECT name FROM singer ORDER BY age DESC LIMIT 1"
    assert part("order", gold, "SELECT id FROM singer ORDER BY age DESC LIMIT 3") == (1, 1, 1)
    assert part("order", gold, "SELECT id FROM singer ORDER BY age LIMIT 3") == (1, 1, 0)
    assert part("order", gold, "SELECT id FROM singer") == (1, 0, 0)


def test_a_set_operation_counts_once() -> None:
    gold = "SELECT name FROM singer EXCEPT SELECT title FROM song"
    assert part("IUEN", gold, "SELECT id FROM singer EXCEPT SELECT title FROM song") == (1, 1, 1)
    assert part("IUEN", gold, "SELECT id FROM singer EXCEPT SELECT id FROM song") == (1, 1, 0)
    assert part("IUEN", gold, "SELECT id FROM singer UNION SELECT title FROM song") == (1, 1, 0)


def test_the_totals_of_the_connectives_are_swapped() -> None:
    gold = "SELECT name FROM singer WHERE age = 1 AND id = 1 OR id = 2"
    assert part("and/or", gold, "SELECT name FROM singer WHERE age = 1 AND id = 2") == (1, 2, 0)
    assert part("and/or", gold, "SELECT name FROM singer WHERE id = 1 OR id = 2 AND id = 3") == (1, 1, 1)


def test_keywords_are_those_of_clauses_and_conditions() -> None:
    gold = (
        "SELECT name FROM singer WHERE age NOT IN (1) OR name LIKE 'x' GROUP BY id ORDER BY age DESC LIMIT 1"
    )
    # where, group, order, desc, limit, or, not, in, like; of those the prediction lacks not and like
    predicted = "SELECT name FROM singer WHERE age IN (1) OR age = 2 GROUP BY id ORDER BY age DESC LIMIT 1"
    assert part("keywords", gold, predicted) == (9, 7, 7)


def test_keywords_of_on_and_having_count_too() -> None:
    on = "SELECT name FROM singer JOIN song ON title LIKE 'x' OR title NOT IN (SELECT name FROM singer)"
    assert part("keywords", on, "SELECT name FROM singer") == (4, 0, 0)
    having = "SELECT name FROM singer GROUP BY name HAVING max(name) LIKE 'x'"
    assert part("keywords", having, "SELECT name FROM singer GROUP BY name") == (3, 1, 1)


def test_a_second_condition_without_and_counts_as_a_connective() -> None:
    gold = "SELECT name FROM singer WHERE age = 1"
    assert part("where", gold, gold + " id = 2") == (1, 1, 1)
    assert part("and/or", gold, gold + " id = 2") == (1, 0, 0)


def test_an_unreadable_prediction_counts_as_a_query_without_clauses() -> None:
    match = exact_match("SELECT name FROM singer WHERE age = 1", "SELECT name FROM nowhere", SCHEMA)
    assert not match.em
    assert match.parts["select"] == PartCount(1, 0, 0)
    assert match.parts["where"] == PartCount(1, 0, 0)
    assert match.parts["group"] == PartCount(0, 0, 0)
    assert match.parts["and/or"] == PartCount(1, 1, 1)


def test_an_unreadable_gold_is_an_error() -> None:
    with pytest.raises(UnreadableSQL):
        exact_match("SELECT name FROM nowhere", "SELECT name FROM singer", SCHEMA)


def test_two_different_subqueries_in_from_are_compared_in_any_order() -> None:
    names, titles = "(SELECT name FROM singer)", "(SELECT title FROM song)"
    assert matches(f"SELECT count(*) FROM {names} {titles}", f"SELECT count(*) FROM {titles} {names}")
    assert not matches(f"SELECT count(*) FROM {names} {titles}", f"SELECT count(*) FROM {names} {names}")


def test_queries_as_deep_as_can_be_read_are_compared_or_refused() -> None:
    for depth in range(50, 400, 25):
        sql = "SELECT name FROM singer WHERE id IN (" * depth + "1" + ")" * depth
        try:
            assert matches(sql, sql)
        except UnreadableSQL as error:
            assert "deeply" in str(error)


CONDITIONS = ("age > 1", "id = 2", "name LIKE 'x'", "title IN (SELECT name FROM singer)")
COLUMNS = ("name", "max(age)", "singer.id", "count(*)", "title")


@st.composite
def queries(draw: st.DrawFn) -> tuple[list[str], list[str], str]:
    columns = draw(st.lists(st.sampled_from(COLUMNS), min_size=1, max_size=4))
    conditions = draw(st.lists(st.sampled_from(CONDITIONS), max_size=3))
    return columns, conditions, draw(st.sampled_from(("", " GROUP BY name", " ORDER BY age DESC LIMIT 1")))


def written(columns: list[str], conditions: list[str], end: str) -> str:
    where = " WHERE " + " AND ".join(conditions) if conditions else ""
    return f"SELECT {', '.join(columns)} {BOTH}{where}{end}"


@given(queries(), st.randoms())
def test_columns_and_conditions_may_change_places(
    query: tuple[list[str], list[str], str], random: object
) -> None:
    columns, conditions, end = query
    shuffled = written(columns[::-1], conditions[::-1], end)
    match = exact_match(written(columns, conditions, end), shuffled, SCHEMA)
    assert match.em
    assert tuple(match.parts) == PARTS


@given(queries(), queries())
def test_a_match_holds_both_ways(
    one: tuple[list[str], list[str], str], other: tuple[list[str], list[str], str]
) -> None:
    assert matches(written(*one), written(*other)) == matches(written(*other), written(*one))
