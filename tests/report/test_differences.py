"""text2sql.report.differences: the kinds of difference between two queries, and the sentence."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from text2sql.evaluation.verdicts import Verdict, without_gold
from text2sql.report.differences import FAILURES, KINDS, differences

JOINED = "SELECT T1.name FROM singer AS T1 JOIN concert AS T2 ON T1.id = T2.singer_id"


def verdict(ex: bool | None = False, error: str | None = None, message: str | None = None) -> Verdict:
    return Verdict(0, "db", "", "easy", ex, error=error, message=message)


@pytest.mark.parametrize(
    ("gold", "predicted", "kinds", "sentence"),
    [
        ("SELECT DISTINCT a FROM t", "SELECT a FROM t", ["distinct"], "Lacks DISTINCT."),
        ("SELECT a FROM t", "SELECT DISTINCT a FROM t", ["distinct"], "Adds DISTINCT."),
        (
            "SELECT count(DISTINCT a) FROM t",
            "SELECT count(a) FROM t",
            ["distinct"],
            "Selects COUNT(a) instead of COUNT(DISTINCT a).",
        ),
        ("SELECT a FROM t", "SELECT b FROM t", ["column"], "Selects b instead of a."),
        ("SELECT a, b FROM t", "SELECT a FROM t", ["column"], "Does not select b."),
        ("SELECT a FROM t", "SELECT a, b FROM t", ["column"], "Also selects b."),
        (
            "SELECT a, b FROM t",
            "SELECT b, a FROM t",
            ["column_order"],
            "Selects the columns in another order.",
        ),
        ("SELECT avg(a) FROM t", "SELECT sum(a) FROM t", ["aggregate"], "Selects SUM(a) instead of AVG(a)."),
        ("SELECT max(a) FROM t", "SELECT a FROM t", ["aggregate"], "Selects a instead of MAX(a)."),
        ("SELECT a FROM t", "SELECT a FROM u", ["table"], "Reads u instead of t."),
        (
            JOINED,
            "SELECT name FROM singer",
            ["table"],
            "Does not read concert.",
        ),
        (
            JOINED,
            "SELECT T2.name FROM singer AS T1 JOIN concert AS T2 ON T1.id = T2.singer_id",
            ["column"],
            "Selects concert.name instead of singer.name.",
        ),
        (
            JOINED,
            "SELECT T1.name FROM singer AS T1 JOIN concert AS T2 ON T1.id = T2.id",
            ["join"],
            "Joins on concert.id = singer.id instead of concert.singer_id = singer.id.",
        ),
        (
            JOINED,
            "SELECT T1.name FROM singer AS T1 JOIN concert AS T2",
            ["join"],
            "Joins without the condition concert.singer_id = singer.id.",
        ),
        (
            JOINED,
            "SELECT T1.name FROM singer AS T1 LEFT JOIN concert AS T2 ON T1.id = T2.singer_id",
            ["join"],
            "Uses LEFT JOIN instead of JOIN.",
        ),
        (
            JOINED,
            "SELECT name FROM singer WHERE id IN (SELECT singer_id FROM concert)",
            ["extra_condition", "subquery"],
            "Adds the condition id IN (SELECT singer_id FROM concert); reads concert in a subquery only.",
        ),
        (
            "SELECT name FROM singer WHERE id IN (SELECT singer_id FROM concert)",
            JOINED,
            ["missing_condition", "subquery"],
            "Lacks the condition id IN (SELECT singer_id FROM concert); reads concert outside of a subquery.",
        ),
        (
            "SELECT a, count(*) FROM t GROUP BY a ORDER BY count(*)",
            "SELECT a, count(*) AS n FROM t GROUP BY a ORDER BY n DESC",
            ["order"],
            "Sorts in the other direction.",
        ),
        (
            "SELECT a FROM t WHERE b = 1",
            "SELECT a FROM t",
            ["missing_condition"],
            "Lacks the condition b = 1.",
        ),
        ("SELECT a FROM t", "SELECT a FROM t WHERE b = 1", ["extra_condition"], "Adds the condition b = 1."),
        (
            "SELECT a FROM t WHERE b = 'x'",
            "SELECT a FROM t WHERE b = 'y'",
            ["literal"],
            "Tests b = 'y' instead of b = 'x'.",
        ),
        (
            "SELECT a FROM t WHERE b > 1",
            "SELECT a FROM t WHERE b >= 1",
            ["operator"],
            "Tests b >= 1 instead of b > 1.",
        ),
        (
            "SELECT a FROM t WHERE b IS NULL",
            "SELECT a FROM t WHERE b IS NOT NULL",
            ["operator"],
            "Tests b IS NOT NULL instead of b IS NULL.",
        ),
        (
            "SELECT a FROM t WHERE b = 1 AND c = 2",
            "SELECT a FROM t WHERE b = 1 OR c = 2",
            ["operator"],
            "Connects conditions by OR instead of AND.",
        ),
        (
            "SELECT a FROM t WHERE b = 1",
            "SELECT a FROM t WHERE c = 1",
            ["column"],
            "Tests c instead of b.",
        ),
        (
            "SELECT a FROM t WHERE b > (SELECT avg(b) FROM t)",
            "SELECT a FROM t WHERE b > 5",
            ["subquery"],
            "Tests b > 5 instead of b > (SELECT AVG(b) FROM t).",
        ),
        (
            "SELECT a FROM t WHERE b IN (SELECT b FROM u WHERE c = 1)",
            "SELECT a FROM t WHERE b IN (SELECT b FROM u WHERE c = 2)",
            ["literal"],
            "Tests c = 2 instead of c = 1.",
        ),
        (
            "SELECT a FROM t GROUP BY a",
            "SELECT a FROM t GROUP BY b",
            ["grouping"],
            "Groups by b instead of a.",
        ),
        ("SELECT a FROM t GROUP BY a", "SELECT a FROM t", ["grouping"], "Does not group by a."),
        (
            "SELECT a FROM t GROUP BY a HAVING count(*) > 2",
            "SELECT a FROM t GROUP BY a",
            ["having"],
            "Lacks HAVING COUNT(*) > 2.",
        ),
        ("SELECT a FROM t ORDER BY b", "SELECT a FROM t", ["order"], "Does not sort by b."),
        ("SELECT a FROM t", "SELECT a FROM t ORDER BY b DESC", ["order"], "Sorts by b descending."),
        (
            "SELECT a FROM t ORDER BY b",
            "SELECT a FROM t ORDER BY b DESC",
            ["order"],
            "Sorts in the other direction.",
        ),
        ("SELECT a FROM t ORDER BY b", "SELECT a FROM t ORDER BY c", ["order"], "Sorts by c instead of b."),
        ("SELECT a FROM t LIMIT 1", "SELECT a FROM t", ["limit"], "Lacks LIMIT 1."),
        ("SELECT a FROM t LIMIT 1", "SELECT a FROM t LIMIT 3", ["limit"], "Has LIMIT 3 instead of LIMIT 1."),
        (
            "SELECT a FROM t EXCEPT SELECT a FROM u",
            "SELECT a FROM t UNION SELECT a FROM u",
            ["set_operator"],
            "Uses UNION instead of EXCEPT.",
        ),
        (
            "SELECT a FROM t EXCEPT SELECT a FROM u",
            "SELECT a FROM t",
            ["set_operator"],
            "Does not use EXCEPT.",
        ),
        (
            "SELECT a FROM t UNION SELECT a FROM u",
            "SELECT a FROM t UNION ALL SELECT a FROM u",
            ["set_operator"],
            "Uses UNION ALL instead of UNION.",
        ),
        ("SELECT a FROM t", "SELECT a + 0 FROM t", ["column"], "Selects a + 0 instead of a."),
    ],
)
def test_each_difference_has_its_kind_and_its_sentence(
    gold: str, predicted: str, kinds: list[str], sentence: str
) -> None:
    found = differences(gold, predicted, verdict())
    assert (list(found.kinds), found.sentence) == (kinds, sentence)


@pytest.mark.parametrize(
    "predicted",
    [
        "select T1.NAME from Singer as T1 join concert as T2 on T1.id = T2.singer_id",
        "SELECT singer.name FROM singer JOIN concert ON concert.singer_id = singer.id",
        "SELECT x.name FROM concert y JOIN singer x ON x.id = y.singer_id",
        'SELECT "T1"."name" FROM singer AS T1, concert AS T2 WHERE T1.id = T2.singer_id;',
    ],
)
def test_case_quotes_aliases_and_the_way_of_joining_are_no_difference(predicted: str) -> None:
    assert differences(JOINED, predicted, verdict()).kinds == ("form",)
    assert differences(JOINED, predicted, verdict(True)).sentence == "Right: the same query."


def test_text_in_double_quotes_beside_a_column_is_a_value() -> None:
    found = differences('SELECT a FROM t WHERE b = "X"', "SELECT a FROM t WHERE b = 'x'", verdict())
    assert (found.kinds, found.sentence) == (("literal",), "Tests b = 'x' instead of b = 'X'.")


def test_several_differences_are_in_one_sentence_in_the_order_of_the_kinds() -> None:
    gold = "SELECT a FROM t WHERE b = 1 GROUP BY a ORDER BY c LIMIT 1"
    found = differences(gold, "SELECT DISTINCT z FROM t", verdict())
    assert found.kinds == ("column", "distinct", "missing_condition", "grouping", "order", "limit")
    shown = "Selects z instead of a; adds DISTINCT; lacks the condition b = 1; does not group by a"
    assert found.sentence == f"{shown}; 2 more differences."


@pytest.mark.parametrize("kind", FAILURES)
def test_a_query_that_does_not_run_has_one_kind(kind: str) -> None:
    found = differences(
        "SELECT a FROM t", "SELECT b FROM u", verdict(error=kind, message="no such column: b")
    )
    assert found.kinds == (kind,)
    assert found.sentence.startswith("Does not run: ")


def test_the_message_of_a_failure_is_in_the_sentence() -> None:
    found = differences(
        "SELECT a FROM t", "SELECT b FROM t", verdict(False, "no_such_column", "no such column: b")
    )
    assert found.sentence == "Does not run: no such column: b."


@pytest.mark.parametrize("predicted", ["", "   ", "-- nothing"])
def test_an_answer_without_sql_is_called_that(predicted: str) -> None:
    found = differences("SELECT a FROM t", predicted, verdict(False, "empty", "no statement"))
    assert (found.kinds, found.sentence) == (("empty",), "Does not run: the answer has no SQL.")


def test_a_right_answer_has_no_kind() -> None:
    found = differences("SELECT a FROM t", "SELECT a FROM t ORDER BY a", verdict(True))
    assert (found.kinds, found.sentence) == ((), "Right: another query with the same result.")


def test_what_cannot_be_judged_has_no_kind() -> None:
    failed = verdict(None, "gold: no_such_table", "no such table: t")
    assert differences("SELECT a FROM t", "SELECT 1", failed).sentence == (
        "Not scored: the gold SQL fails (no such table: t)."
    )
    assert differences("", "SELECT 1", without_gold(0, "db")).sentence == (
        "Not scored: the question has no gold SQL."
    )


def test_sql_that_only_sqlite_reads_is_not_compared() -> None:
    found = differences("SELECT a FROM t", "SELECT a FROM t WHERE a MATCH 'x' ESCAPE ((", verdict())
    assert found.kinds == ("unread",) and "predicted SQL cannot be parsed" in found.sentence


@pytest.mark.parametrize(
    "predicted",
    [
        "SELECT " + "(" * 3000 + "1" + ")" * 3000,
        "SELECT a FROM t WHERE " + " AND ".join(["a = 1"] * 1500),
        "SELECT a FROM t WHERE " + "NOT " * 3000 + "a",
        "SELECT " + "a" * 90_000,
        " UNION ".join(["SELECT 1"] * 400),
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c",
        "\x00SELECT 1",
        "SELECT '\ud800'",
    ],
    ids=["brackets", "conditions", "negations", "name", "unions", "recursion", "zero", "surrogate"],
)
def test_hostile_sql_has_a_sentence_of_ordinary_length(predicted: str) -> None:
    for gold in ("SELECT a FROM t", predicted):
        found = differences(gold, predicted, verdict())
        assert set(found.kinds) <= set(KINDS) and found.kinds
        assert 0 < len(found.sentence) < 700


WORDS = st.sampled_from(
    [
        *("SELECT", "FROM", "WHERE", "GROUP", "BY", "ORDER", "LIMIT", "JOIN", "ON", "UNION", "AS"),
        *(
            "a",
            "b",
            "t",
            "u",
            "'x'",
            "1",
            "count",
            "*",
            ",",
            "(",
            ")",
            ".",
            "=",
            ">",
            "AND",
            "OR",
            "NOT",
            "IN",
        ),
    ]
)


@settings(max_examples=150)
@given(st.lists(WORDS, max_size=20), st.lists(WORDS, max_size=20))
def test_any_two_texts_can_be_compared(one: list[str], other: list[str]) -> None:
    found = differences(" ".join(one), " ".join(other), verdict())
    assert set(found.kinds) <= set(KINDS) and found.kinds
    assert found.sentence.endswith(".")
