"""When two results are the same, and what is run in place of a query as written."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from text2sql.evaluation.equivalence import normalise_sql, order_matters, same_result

Rows = list[tuple[object, ...]]

# Few values, so that equal rows, equal columns and near misses are common.
VALUES = st.sampled_from([None, 0, 1, 1.5, "1", "a", "", b"a"])
SHAPES = st.tuples(st.integers(1, 7), st.integers(1, 6))
TABLES = SHAPES.flatmap(
    lambda shape: st.lists(st.tuples(*[VALUES] * shape[1]), min_size=shape[0], max_size=shape[0])
)
PAIRS = SHAPES.flatmap(
    lambda shape: st.tuples(
        *[st.lists(st.tuples(*[VALUES] * shape[1]), min_size=shape[0], max_size=shape[0])] * 2
    )
)


def shuffled(rows: Rows, seed: int, also_rows: bool) -> Rows:
    generator = random.Random(seed)
    order = list(range(len(rows[0])))
    generator.shuffle(order)
    result = [tuple(row[index] for index in order) for row in rows]
    if also_rows:
        generator.shuffle(result)
    return result


@given(TABLES, st.integers())
def test_any_order_of_rows_and_columns_is_the_same_bag(rows: Rows, seed: int) -> None:
    assert same_result(rows, shuffled(rows, seed, also_rows=True), order_matters=False)


@given(TABLES, st.integers())
def test_any_order_of_columns_is_the_same_list(rows: Rows, seed: int) -> None:
    assert same_result(rows, shuffled(rows, seed, also_rows=False), order_matters=True)


@given(PAIRS, st.booleans())
def test_sameness_is_symmetric(pair: tuple[Rows, Rows], ordered: bool) -> None:
    first, second = pair
    assert same_result(first, second, ordered) == same_result(second, first, ordered)


@given(PAIRS)
def test_the_same_list_is_the_same_bag(pair: tuple[Rows, Rows]) -> None:
    first, second = pair
    if same_result(first, second, order_matters=True):
        assert same_result(first, second, order_matters=False)


@given(TABLES, st.integers(), st.data())
def test_one_changed_value_is_found(rows: Rows, seed: int, data: st.DataObject) -> None:
    row = data.draw(st.integers(0, len(rows) - 1))
    column = data.draw(st.integers(0, len(rows[0]) - 1))
    changed = [list(values) for values in rows]
    changed[row][column] = "planted"
    predicted = shuffled([tuple(values) for values in changed], seed, also_rows=True)
    assert not same_result(rows, predicted, order_matters=False)
    assert not same_result(rows, predicted, order_matters=True)


@given(TABLES, st.booleans())
def test_one_row_more_is_found(rows: Rows, ordered: bool) -> None:
    assert not same_result(rows, [*rows, rows[0]], ordered)


def test_the_order_of_rows_counts_only_where_it_matters() -> None:
    rows: Rows = [(1,), (2,)]
    assert same_result(rows, rows[::-1], order_matters=False)
    assert not same_result(rows, rows[::-1], order_matters=True)


def test_columns_are_paired_one_to_one() -> None:
    assert not same_result([(1, 2), (2, 1)], [(1, 1), (2, 2)], order_matters=False)
    assert not same_result([(1, 1, 2)], [(1, 2, 2)], order_matters=False)


def test_columns_with_equal_values_are_told_apart_by_their_rows() -> None:
    gold: Rows = [(0, 0, "x"), (0, 1, "y"), (1, 0, "z"), (1, 1, "w")]
    predicted: Rows = [(0, 0, "x"), (0, 1, "y"), (1, 0, "w"), (1, 1, "z")]
    assert not same_result(gold, predicted, order_matters=False)


def test_repeated_rows_count_as_often_as_they_stand() -> None:
    assert not same_result([(1,), (1,), (2,)], [(1,), (2,), (2,)], order_matters=False)


def test_numbers_compare_by_value_and_never_equal_text() -> None:
    assert same_result([(1,)], [(1.0,)], order_matters=False)
    assert not same_result([(1,)], [("1",)], order_matters=False)


def test_empty_results_are_the_same_whatever_was_selected() -> None:
    assert same_result([], [], order_matters=True)
    assert not same_result([], [(None,)], order_matters=False)


@pytest.mark.parametrize("planted", [0, "different"])
def test_wide_results_need_no_trial_of_every_order(planted: object) -> None:
    generator = random.Random(7)
    rows = [tuple(generator.randrange(2) for _ in range(40)) for _ in range(30)]
    rows.append((0,) * 40)
    other = [*rows[:-1], (planted, *rows[-1][1:])]
    predicted = shuffled(other, 11, also_rows=True)
    assert same_result(rows, predicted, order_matters=False) == (planted == 0)


@pytest.mark.parametrize(
    ("written", "run"),
    [
        ("SELECT DISTINCT name FROM t;", "SELECT  name FROM t"),
        ("SELECT count(distinct name) FROM t ; ;", "SELECT count( name) FROM t"),
        ("SELECT a FROM t WHERE a > = 1 AND b ! = 2", "SELECT a FROM t WHERE a >= 1 AND b != 2"),
        ("SELECT YEAR(CURDATE()) - year FROM t", "SELECT 2020 - year FROM t"),
        ("SELECT distinct_id, 'distinct > =' FROM t", "SELECT distinct_id, 'distinct > =' FROM t"),
        ('SELECT "distinct", [distinct] FROM t', 'SELECT "distinct", [distinct] FROM t'),
        ("SELECT 'it''s distinct' FROM t", "SELECT 'it''s distinct' FROM t"),
        ("SELECT a IS DISTINCT FROM b FROM t", "SELECT a IS DISTINCT FROM b FROM t"),
        ("SELECT 'never closed distinct", "SELECT 'never closed distinct"),
        ("", ""),
    ],
)
def test_a_query_is_run_as_the_official_evaluator_would(written: str, run: str) -> None:
    assert normalise_sql(written) == run


def test_distinct_can_be_kept() -> None:
    assert normalise_sql("SELECT DISTINCT a FROM t", keep_distinct=True) == "SELECT DISTINCT a FROM t"


@given(st.text(alphabet="'\"`[]/*- distncDISTNC;\n"))
def test_normalising_twice_changes_nothing_more_than_the_blanks(sql: str) -> None:
    once = normalise_sql(sql, keep_distinct=True)
    assert normalise_sql(once, keep_distinct=True) == once


def test_order_matters_where_the_gold_says_order_by() -> None:
    assert order_matters("SELECT a FROM t ORDER  BY a")
    assert not order_matters("SELECT a FROM orders")
