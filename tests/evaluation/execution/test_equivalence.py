"""When two results are the same."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from text2sql.evaluation.execution.equivalence import same_result

Rows = list[tuple[object, ...]]

# Few values, so that equal rows, equal columns and near misses are common.
VALUES = st.sampled_from([None, 0, 1, 1.0, 1.5, "1", "a", "", b"a"])
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


def test_columns_with_equal_values_are_distinguished_by_their_rows() -> None:
    gold: Rows = [(0, 0, "x"), (0, 1, "y"), (1, 0, "z"), (1, 1, "w")]
    predicted: Rows = [(0, 0, "x"), (0, 1, "y"), (1, 0, "w"), (1, 1, "z")]
    assert not same_result(gold, predicted, order_matters=False)


def test_results_that_look_alike_in_every_row_and_column_can_differ() -> None:
    # Rows are the edges of a graph with six corners: one ring of six, two rings of three.
    ring: Rows = [tuple(int(corner in (edge, (edge + 1) % 6)) for corner in range(6)) for edge in range(6)]
    corners = [(0, 1), (1, 2), (0, 2), (3, 4), (4, 5), (3, 5)]
    triangles: Rows = [tuple(int(corner in edge) for corner in range(6)) for edge in corners]
    assert not same_result(ring, triangles, order_matters=False)


def test_repeated_rows_count_as_often_as_they_occur() -> None:
    assert not same_result([(1,), (1,), (2,)], [(1,), (2,), (2,)], order_matters=False)


def test_numbers_compare_by_value_and_never_equal_text() -> None:
    assert same_result([(1,)], [(1.0,)], order_matters=False)
    assert not same_result([(1,)], [("1",)], order_matters=False)


def test_a_number_written_differently_is_rejected_if_that_changes_the_order_of_a_row_as_text() -> None:
    # "1.5" comes before "1" and a type's name, but behind "1.0".
    assert not same_result([(1, 1.5)], [(1.0, 1.5)], order_matters=False)
    assert not same_result([(1, 1.5)], [(1.0, 1.5)], order_matters=True)
    assert not same_result([(0.0, "-0")], [(-0.0, "-0")], order_matters=False)
    assert same_result([(1, 2.5)], [(1.0, 2.5)], order_matters=True)


def test_the_order_of_a_row_as_text_does_not_count_if_the_bag_has_both_orders() -> None:
    gold: Rows = [(1, 1.5), (1.0, 1.5)]
    assert not same_result(gold, [(1, 1.5), (1, 1.5)], order_matters=False)
    assert same_result(gold, [(1.0, 1.5), (1, 1.5)], order_matters=False)
    assert not same_result(gold, [(1.0, 1.5), (1, 1.5)], order_matters=True)


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
