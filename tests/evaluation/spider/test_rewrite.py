"""Rewriting of queries before they are run."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from text2sql.evaluation.spider.rewrite import (
    MAX_TOKENS,
    Statement,
    UnreadableStatement,
    _drop_plain_distinct,
    first_statement,
    order_matters,
    replace_year,
    rewrite_gold,
    rewrite_prediction,
)

# What comes out was checked against the official evaluator with sqlparse 0.6.1.
REWRITTEN = [
    ("SELECT DISTINCT name FROM t", "SELECT  name FROM t"),
    ("SELECT count(distinct name) FROM t", "SELECT count( name) FROM t"),
    ("SELECT t.distinct, DistincT x FROM t", "SELECT t.,  x FROM t"),
    ("SELECT a IS DISTINCT FROM b FROM t", "SELECT a IS  FROM b FROM t"),
    ("SELECT distinct_id, 'distinct' FROM t", "SELECT distinct_id, 'distinct' FROM t"),
    ('SELECT "distinct", [distinct] FROM t', 'SELECT "distinct", [distinct] FROM t'),
    ("SELECT 'it''s distinct' FROM t -- distinct", "SELECT 'it''s distinct' FROM t -- distinct"),
    ("SELECT 'never closed distinct", "SELECT 'never closed "),
    (
        "SELECT a FROM t WHERE a > = 1 AND b ! = 2 OR c < = 3",
        "SELECT a FROM t WHERE a >= 1 AND b != 2 OR c <= 3",
    ),
    ("SELECT a FROM t WHERE b = 'x > = y'", "SELECT a FROM t WHERE b = 'x >= y'"),
    ("SELECT a FROM t ;  ", "SELECT a FROM t ;  "),
    ("SELECT ';' FROM t; SELECT 2", "SELECT ';' FROM t; "),
    ("SELECT go FROM t", "SELECT go FROM t"),
    ("", ""),
]

SEVERAL = [
    ("SELECT 1; SELECT 2", True),
    ("SELECT 1; -- a remark\n SELECT 2", True),
    ("SELECT 1 GO SELECT 2", True),
    ("SELECT 1;;x", True),
    ("SELECT 1;", False),
    ("SELECT 1; ; \n;", False),
    ("SELECT 1; -- SELECT 2", False),
    ("SELECT 1; /* SELECT 2 */ -- SELECT 3\n", False),
    ("SELECT 1; /* SELECT 2", False),
    ("SELECT 1 -- ; SELECT 2", False),
    ("SELECT '; SELECT 2'", False),
]

# Without characters that only sqlparse takes for blanks or comments.
LATER = st.text(alphabet="'\"`[]/*-$; \nagoSELCT1", max_size=30)


@pytest.mark.parametrize(("written", "run"), REWRITTEN)
def test_gold_and_prediction_are_rewritten_alike(written: str, run: str) -> None:
    assert rewrite_gold(written) == run
    assert rewrite_prediction(written).sql == run


@pytest.mark.parametrize(("written", "several"), SEVERAL)
def test_further_statements_are_noticed_where_there_are_any(written: str, several: bool) -> None:
    assert rewrite_prediction(written).several == several


@given(LATER)
def test_only_the_first_statement_is_run_whatever_follows(later: str) -> None:
    run = rewrite_gold(f"SELECT 1 AS one;{later}")
    with sqlite3.connect(":memory:") as connection:
        assert connection.execute(run).fetchall() == [(1,)]


def test_the_word_value_becomes_one_in_predictions_only() -> None:
    assert rewrite_prediction("SELECT a FROM t WHERE b = value") == Statement("SELECT a FROM t WHERE b = 1")
    assert (
        rewrite_prediction("SELECT values_ FROM t WHERE b = 'value'").sql == "SELECT 1s_ FROM t WHERE b = '1'"
    )
    assert rewrite_prediction("SELECT VALUE FROM t").sql == "SELECT VALUE FROM t"
    assert rewrite_gold("SELECT value FROM t") == "SELECT value FROM t"


def test_the_word_value_can_be_kept() -> None:
    assert rewrite_prediction("SELECT value FROM t", keep_value=True).sql == "SELECT value FROM t"


@given(st.text(alphabet="dDistnc ;'\"GO\n"))
def test_with_distinct_kept_the_whole_text_is_left_to_sqlite(sql: str) -> None:
    assert rewrite_gold(sql, keep_distinct=True) == sql
    assert rewrite_prediction(sql, keep_distinct=True) == Statement(sql, several=False)


@given(st.text(alphabet=st.characters(), max_size=60))
def test_any_text_has_something_to_run(sql: str) -> None:
    statement = rewrite_prediction(f"{sql};{sql} distinct")
    assert len(statement.sql) <= len(f"{sql};{sql} distinct")


@pytest.mark.parametrize("sql", ["", " \t\n", "a " * MAX_TOKENS, " " * (MAX_TOKENS + 1) + ";"])
def test_text_without_a_readable_statement_is_refused(sql: str) -> None:
    with pytest.raises(UnreadableStatement, match="no statement of 1 to"):
        first_statement(sql)


def test_text_too_long_for_sqlparse_stays_as_it_is() -> None:
    sql = "SELECT DISTINCT 1" + ", 1" * MAX_TOKENS + "; SELECT 2"
    assert rewrite_prediction(sql) == Statement(sql, several=False)


def test_a_short_statement_before_endless_text_is_still_cut_out() -> None:
    assert rewrite_prediction("SELECT 1;" + "x " * MAX_TOKENS) == Statement("SELECT 1;", several=True)


def test_deep_nesting_is_rewritten_too() -> None:
    sql = "SELECT DISTINCT " + "(" * 2000 + "1" + ")" * 2000
    assert rewrite_gold(sql) == sql.replace("DISTINCT", "")


@pytest.mark.parametrize(
    ("written", "run"),
    [
        ("SELECT YEAR(CURDATE()) - born FROM t", "SELECT 2020- born FROM t"),
        ("select year ( curdate ( ) ) - born from t", "select 2020- born from t"),
        ("SELECT YEAR(CURDATE()) FROM t", "SELECT 2020FROM t"),
        ("SELECT YEAR(born) FROM t", "SELECT YEAR(born) FROM t"),
    ],
)
def test_the_current_year_is_2020(written: str, run: str) -> None:
    assert replace_year(written) == run


def test_order_matters_where_the_gold_says_order_by_with_one_blank() -> None:
    assert order_matters("SELECT a FROM t Order By a")
    assert order_matters("SELECT a FROM (SELECT a FROM t ORDER BY a)")
    assert not order_matters("SELECT a FROM t ORDER  BY a")
    assert not order_matters("SELECT a FROM orders")


WORDS = ("distinct", "DISTINCT ", "distinctly", "'distinct'", "a", "t.", "1", "é", "GO")
MARKS = (*" \n(),.='\"-/*[`#$;", "'x'", '"y"', "''", "--", "/*", "*/")
PIECES = st.sampled_from((*WORDS, *MARKS))


@given(st.lists(PIECES, max_size=12).map("".join))
def test_the_quick_way_to_drop_distinct_gives_what_sqlparse_gives(sql: str) -> None:
    assume(sql.strip())
    quick = _drop_plain_distinct(sql)
    slow = "".join(text for _, text in first_statement(sql) if text.lower() != "distinct")
    assert quick in (None, slow)
