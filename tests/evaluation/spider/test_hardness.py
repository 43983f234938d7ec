"""Spider's hardness classes, by the rules and by the quirks of the official script."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from text2sql.evaluation.spider.hardness import HARDNESS, hardness
from text2sql.evaluation.spider.schema import SpiderSchema

NESTED = "a IN (SELECT a FROM u)"


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT count(*) FROM t", "easy"),
        ("SELECT a FROM t WHERE b = 1;", "easy"),
        ("SELECT a FROM t JOIN u ON t.a = u.a", "easy"),
        ("SELECT a, b FROM t", "medium"),
        ("SELECT a FROM t ORDER BY b LIMIT 1", "medium"),
        ("SELECT a FROM t WHERE b LIKE 'x%'", "medium"),
        ("SELECT a FROM t WHERE b = 1 OR b = 2", "medium"),
        ("SELECT a FROM t JOIN u ON t.a = u.a WHERE b = 1 AND c = 2", "medium"),
        ("SELECT a, max(b), min(c) FROM t GROUP BY a, d", "hard"),
        ("SELECT a FROM t JOIN u ON t.a = u.a WHERE b = 1 ORDER BY c", "hard"),
        (f"SELECT a FROM t WHERE {NESTED}", "hard"),
        ("SELECT a FROM t EXCEPT SELECT a FROM u", "hard"),
        (f"SELECT a FROM t WHERE {NESTED} UNION SELECT a FROM u", "extra"),
        (f"SELECT a, b FROM t WHERE {NESTED}", "extra"),
        ("SELECT a FROM t WHERE b = 1 GROUP BY a ORDER BY count(*) LIMIT 1", "extra"),
    ],
)
def test_the_three_counts_decide_the_class(sql: str, expected: str) -> None:
    assert hardness(sql) == expected


def test_of_a_compound_only_the_first_select_is_counted() -> None:
    second = "SELECT a, b FROM u WHERE c = 1 AND d = 2 ORDER BY a LIMIT 3"
    assert hardness(f"SELECT a FROM t UNION {second}") == "hard"


def test_a_chain_of_set_operations_counts_once() -> None:
    assert hardness("SELECT a FROM t UNION SELECT a FROM u UNION SELECT a FROM v") == "hard"


def test_a_subquery_in_from_counts_as_one_table() -> None:
    assert hardness("SELECT count(*) FROM (SELECT a FROM t WHERE b = 1 AND c LIKE 'x')") == "easy"


def test_each_not_counts_as_an_aggregate() -> None:
    assert hardness("SELECT count(*) FROM t WHERE b NOT LIKE 'x'") == "medium"
    # with two columns and two conditions the NOTs make the third of "others"
    plain = "SELECT a, b FROM t WHERE c IN (1) AND d IN (2)"
    assert hardness(plain) == "medium"
    assert hardness(plain.replace(" IN", " NOT IN")) == "hard"


def test_connectives_of_having_count_as_aggregates_and_its_aggregates_do_not() -> None:
    having = "SELECT a FROM t GROUP BY a HAVING count(*) > 1"
    assert hardness(having) == "easy"
    assert hardness(having + " AND sum(b) > 1 AND avg(b) > 1") == "medium"


def test_an_or_after_a_comparison_with_a_bare_column_is_lost() -> None:
    join = "SELECT a FROM t JOIN u ON t.a = u.b"
    assert hardness(join + " OR t.a = u.c") == hardness(join) == "easy"
    assert hardness("SELECT a FROM t WHERE a = 'x' OR a = b") == "medium"


def test_two_and_two_is_extra_though_two_and_three_is_hard() -> None:
    assert hardness("SELECT a, b FROM t WHERE c = 1 AND d = 2 ORDER BY a") == "extra"
    sql = "SELECT max(a), min(b) FROM t WHERE c = 1 AND d = 2 ORDER BY a"
    assert hardness(sql) == "hard"


def test_parentheses_around_conditions_change_nothing() -> None:
    assert hardness("SELECT a FROM t WHERE (b = 1 OR (b = 2))") == "medium"


def test_double_quoted_text_is_no_column() -> None:
    assert hardness('SELECT a FROM t WHERE b = "x" OR b = "y" OR b = "z"') == "hard"


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "hello",
        "DROP TABLE t",
        "SELECT FROM WHERE",
        "SELECT 'open",
        "VALUES (1)",
        "SELECT a FROM t WHERE " + "(" * 3000 + "a = 1" + ")" * 3000,
        "SELECT a FROM t WHERE b IN (" * 3000 + "SELECT a FROM t" + ")" * 3000,
    ],
)
def test_what_is_no_select_is_a_value_error(sql: str) -> None:
    with pytest.raises(ValueError, match=r"cannot parse|not a SELECT"):
        hardness(sql)


def test_a_long_chain_of_conditions_has_a_class() -> None:
    assert hardness("SELECT a FROM t WHERE " + " OR ".join(["a = 1"] * 3000)) == "extra"


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT a FROM t, u WHERE t.a = u.a", "medium"),
        ("SELECT a FROM t LEFT JOIN u ON t.a = u.a", "easy"),
        ("SELECT a AS b FROM t AS u", "easy"),
        ("SELECT max(a) - min(a) FROM t", "medium"),
        ("SELECT upper(a) FROM t WHERE b IS NULL OR c = 1", "medium"),
        ("SELECT a FROM t WHERE b IS NULL AND length(c) > 1", "medium"),
        ("SELECT a FROM t WHERE b IN (1, 2) ORDER BY c LIMIT 1", "hard"),
        ("SELECT a FROM t WHERE EXISTS (SELECT b FROM u WHERE c = 1 AND d = 2)", "hard"),
        ("SELECT a FROM t WHERE b IN (SELECT a FROM u) AND NOT EXISTS (SELECT b FROM u)", "extra"),
        ("SELECT a FROM t UNION ALL SELECT a FROM u", "hard"),
        ("WITH u AS (SELECT a FROM t WHERE b = 1 LIMIT 1) SELECT a FROM u", "easy"),
        ("SELECT a, (SELECT max(b) FROM u WHERE c = 1) FROM t", "medium"),
        ("SELECT a FROM t GROUP BY lower(a), upper(b) HAVING sum(c) > 1 AND avg(c) > 1", "medium"),
    ],
)
def test_what_the_script_cannot_read_is_counted_by_plain_meaning(sql: str, expected: str) -> None:
    assert hardness(sql) == expected


def test_adjacent_names_are_columns_if_the_schema_has_both() -> None:
    sql = "SELECT name age FROM singer"
    assert hardness(sql) == "easy"
    assert hardness(sql, SpiderSchema({"singer": ("name", "age")}, {})) == "medium"
    assert hardness(sql, SpiderSchema({"singer": ("name",)}, {})) == "easy"


KEYWORDS = "select from where group by order limit union not is null case end"
WORDS = st.sampled_from([*KEYWORDS.split(), "(", ")", ",", "a", "b", "t", "=", "1"])


@given(st.lists(WORDS, max_size=15).map(" ".join) | st.text())
def test_any_text_has_a_class_or_is_a_value_error(text: str) -> None:
    try:
        found = hardness(text)
    except ValueError:
        return
    assert found in HARDNESS
