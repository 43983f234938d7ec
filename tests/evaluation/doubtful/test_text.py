"""What the text of a gold query makes doubtful, without a database."""

from __future__ import annotations

import pytest

from text2sql.evaluation.doubtful.examine import examine_text
from text2sql.evaluation.doubtful.reasons import Reason
from text2sql.evaluation.doubtful.text import order_patterns, order_suspicions
from text2sql.schema.queries import parse_query


def reasons(gold: str) -> set[Reason]:
    return {finding.reason for finding in examine_text(gold)}


def rewritten(gold: str, columns: int | None = None) -> list[tuple[str, ...]]:
    tree = parse_query(gold)
    assert tree is not None
    return [each.rewritten for each in order_suspicions(tree, columns) if each.reason == "limit_ties"]


@pytest.mark.parametrize(
    "gold",
    [
        "SELECT date('now')",
        "SELECT DATE( 'NOW' , '-1 day')",
        "SELECT strftime('%Y', 'now') - strftime('%Y', born) FROM t",
        'SELECT julianday("now") - julianday(d) FROM t',
        "SELECT CURRENT_DATE",
        "SELECT * FROM t WHERE d < CURRENT_TIMESTAMP",
        "SELECT datetime() - born FROM t",
        "SELECT name FROM t ORDER BY random() LIMIT 1",
    ],
)
def test_todays_date_and_random_numbers_are_found(gold: str) -> None:
    assert "todays_date" in reasons(gold)


@pytest.mark.parametrize(
    "gold",
    [
        "SELECT date('2020-01-01')",
        "SELECT * FROM t WHERE status = 'now'",
        "SELECT 'random() is a function, CURRENT_DATE a word'",
        "SELECT t.current_date FROM t",
        'SELECT "current_date" FROM t',
        "SELECT strftime('%Y', born) FROM t",
        "SELECT * FROM t WHERE YEAR(CURDATE()) > 3",  # the evaluator replaces it by 2020
    ],
)
def test_other_dates_are_not_todays(gold: str) -> None:
    assert "todays_date" not in reasons(gold)


def test_todays_date_has_an_effect_whatever_the_data() -> None:
    assert [finding.effect for finding in examine_text("SELECT date('now')")] == [True]


def test_todays_date_is_found_in_text_that_does_not_parse() -> None:
    assert reasons("SELEC date('now') FRM (") == {"todays_date"}


@pytest.mark.parametrize(
    "gold", ["SELECT a FROM t LIMIT 3", "SELECT a FROM t WHERE b IN (SELECT c FROM u LIMIT 1)"]
)
def test_limit_without_order_is_found_in_the_query_and_in_a_subquery(gold: str) -> None:
    assert reasons(gold) == {"limit_without_order"}


@pytest.mark.parametrize(
    "gold",
    [
        "SELECT a FROM t ORDER BY a LIMIT 3",
        "SELECT count(*) FROM t LIMIT 1",
        "SELECT 1 LIMIT 1",
        "SELECT a FROM t WHERE EXISTS (SELECT 1 FROM u LIMIT 1)",
    ],
)
def test_limit_that_leaves_no_choice_is_not_found(gold: str) -> None:
    assert reasons(gold) == set()


def test_without_a_database_no_tie_is_claimed() -> None:
    assert reasons("SELECT a FROM t ORDER BY b LIMIT 1") == set()


def test_ties_are_broken_both_ways_by_all_columns_of_the_result() -> None:
    assert rewritten("SELECT a, b FROM t ORDER BY c DESC LIMIT 2 OFFSET 1") == [
        (
            "SELECT a, b FROM t ORDER BY c DESC, 1 ASC, 2 ASC LIMIT 2 OFFSET 1",
            "SELECT a, b FROM t ORDER BY c DESC, 1 DESC, 2 DESC LIMIT 2 OFFSET 1",
        )
    ]


def test_ties_of_a_star_are_broken_by_as_many_columns_as_the_result_has() -> None:
    ((up, _),) = rewritten("SELECT * FROM t ORDER BY c LIMIT 1", columns=3)
    assert up == "SELECT * FROM t ORDER BY c, 1 ASC, 2 ASC, 3 ASC LIMIT 1"


def test_ties_in_a_subquery_are_broken_where_they_are() -> None:
    ((up, down),) = rewritten("SELECT x FROM u WHERE y = (SELECT a FROM t ORDER BY c LIMIT 1)")
    assert up == "SELECT x FROM u WHERE y = (SELECT a FROM t ORDER BY c, 1 ASC LIMIT 1)"
    assert down == "SELECT x FROM u WHERE y = (SELECT a FROM t ORDER BY c, 1 DESC LIMIT 1)"


def test_ties_of_a_compound_query_are_broken() -> None:
    ((up, _),) = rewritten("SELECT a FROM t UNION SELECT b FROM u ORDER BY 1 LIMIT 1")
    assert up == "SELECT a FROM t UNION SELECT b FROM u ORDER BY 1, 1 ASC LIMIT 1"


@pytest.mark.parametrize(
    ("gold", "found"),
    [
        ("SELECT name, count(*) FROM t", ["name: neither grouped nor aggregated"]),
        ("SELECT u.x, count(*) FROM t JOIN u GROUP BY t.id", ["u.x: neither grouped nor aggregated"]),
        ("SELECT group_concat(name) FROM t", ["GROUP_CONCAT(name): joined in no given order"]),
        ("SELECT t.name, count(*) FROM t GROUP BY t.id", []),
        ("SELECT name, count(*) FROM t GROUP BY name", []),
        ("SELECT name, max(age) FROM t", []),
        ("SELECT 'text', \"text\", count(*) FROM t", []),
        ("SELECT name, max(a, b) FROM t", []),
        ("SELECT name, row_number() OVER (ORDER BY a) FROM t", []),
        ("SELECT name, (SELECT count(*) FROM u) FROM t", []),
        ("SELECT count(*) + length(name) FROM t", ["name: neither grouped nor aggregated"]),
    ],
)
def test_patterns_of_order_are_bare_columns_and_joined_texts(gold: str, found: list[str]) -> None:
    tree = parse_query(gold)
    assert tree is not None
    assert order_patterns(tree) == found


@pytest.mark.parametrize(
    "gold", ["", ";", "-- nothing", "DELETE FROM t", "SELECT 1; SELECT 2", "((((", "\0", "é" * 200_000]
)
def test_nothing_is_suspected_of_text_that_is_no_query(gold: str) -> None:
    assert reasons(gold) == set()


def test_text_that_proves_a_comparison_of_text_with_a_number_is_found() -> None:
    assert reasons("SELECT * FROM t WHERE strftime('%Y', d) = 2012") == {"text_with_number"}
    assert reasons("SELECT a FROM t GROUP BY a HAVING count(*) > '5'") == {"text_with_number"}
    assert reasons("SELECT * FROM t WHERE strftime('%Y', d) = '2012' AND a = 5 AND b = '5'") == set()
