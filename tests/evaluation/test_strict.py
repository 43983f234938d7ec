"""The strict comparison of two results."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evaluation.generated_results import VALUES, Row, Rows, generated_pairs
from text2sql.evaluation.gold_order import GoldOrder
from text2sql.evaluation.strict import TOLERANCE, strictly_same

BAG = GoldOrder(any_order=True)
ORDERED = GoldOrder(any_order=False, ties="ties", complete=True)
LIMITED = GoldOrder(any_order=False, ties="ties")


def same(gold: Rows, predicted: Rows) -> bool:
    return strictly_same(gold, predicted, BAG, no_query)


def no_query(sql: str) -> Rows:
    raise AssertionError(f"{sql}: should not run")


def allowed(gold: Rows, predicted: Rows, ranked: Rows | None, order: GoldOrder = ORDERED) -> bool:
    return strictly_same(gold, predicted, order, lambda sql: ranked)


@pytest.mark.parametrize(
    ("gold", "predicted", "equal"),
    [
        ([(1,), (2,)], [(2,), (1,)], True),
        ([(1,), (1,)], [(1,)], False),
        ([(1,), (1,), (2,)], [(1,), (2,), (2,)], False),
        ([(1, 2)], [(2, 1)], False),
        ([(1,)], [(1, 1)], False),
        ([(1,)], [(1.0,)], True),
        ([(1,)], [("1",)], False),
        ([(1,)], [(b"1",)], False),
        ([("1",)], [(b"1",)], False),
        ([("a",)], [("A",)], False),
        ([(None,)], [(None,)], True),
        ([(None,)], [(0,)], False),
        ([(None,)], [("",)], False),
        ([(0.3,)], [(0.1 + 0.2,)], True),
        ([(1.0,)], [(1.00001,)], False),
        ([(2_000_000,)], [(2_000_001,)], False),  # whole numbers are exact
        ([(2_000_000,)], [(2_000_001.0,)], True),
        ([(0.0,)], [(1e-12,)], False),  # the tolerance is relative
        ([(float("inf"),)], [(float("inf"),)], True),
        ([(float("inf"),)], [(1e308,)], False),
        ([(float("inf"),)], [(float("-inf"),)], False),
        ([(float("nan"),)], [(0.0,)], False),
        ([(0.1, None), (0.2, "x")], [(0.2, "x"), (0.1 + 1e-9, None)], True),
        ([(0.5, 2), (0.5 + 1e-9, 1)], [(0.5, 1), (0.5 + 1e-9, 2)], True),
        ([(0.5, 2), (0.5, 1)], [(0.5, 1), (0.5, 1)], False),
        ([], [], True),
        ([], [(None,)], False),
        ([(None,)], [], False),
    ],
)
def test_results_are_the_same_bag_of_rows(gold: Rows, predicted: Rows, equal: bool) -> None:
    assert same(gold, predicted) is equal
    assert same(predicted, gold) is equal


def test_generated_results_without_close_numbers_are_the_same_as_sorted_lists() -> None:
    def key(row: Row) -> list[tuple[int, str]]:
        return [(VALUES.index(value), "") for value in row]  # 1 and 1.0 have the same index

    wrong = [
        (gold, predicted)
        for gold, predicted in generated_pairs(3_000, seed=6)
        if same(gold, predicted) is not (sorted(map(key, gold)) == sorted(map(key, predicted)))
    ]
    assert wrong == []


@given(st.lists(st.tuples(st.integers(-3, 3), st.floats(-1e6, 1e6)), max_size=8), st.randoms())
def test_noise_below_the_tolerance_and_another_order_change_nothing(rows: Rows, draw: st.DataObject) -> None:
    noisy = [(number, value * (1 + TOLERANCE / 10)) for number, value in rows]
    draw.shuffle(noisy)  # type: ignore[attr-defined]
    assert same(rows, noisy)


def test_many_rows_are_compared_row_by_row_and_not_each_with_each() -> None:
    rows: Rows = [(number % 7, number / 3) for number in range(50_000)]
    assert same(rows, [(number, value * (1 + 1e-9)) for number, value in reversed(rows)])
    assert not same(rows, [*rows[1:], (0, -1.0)])


# -- order --


RANKED: Rows = [("a", 1), ("b", 1), ("c", 2)]
GOLD: Rows = [("a",), ("b",), ("c",)]


def test_rows_with_equal_sort_keys_may_change_places() -> None:
    assert allowed(GOLD, [("b",), ("a",), ("c",)], RANKED)
    assert not allowed(GOLD, [("a",), ("c",), ("b",)], RANKED)


def test_without_the_ranks_only_the_golds_own_order_is_right() -> None:
    assert allowed(GOLD, GOLD, None)
    assert not allowed(GOLD, [("b",), ("a",), ("c",)], None)
    assert not strictly_same(GOLD, GOLD[::-1], GoldOrder(any_order=False), no_query)


def test_ranks_that_do_not_allow_the_golds_own_rows_allow_no_others() -> None:
    assert not allowed(GOLD, [("b",), ("a",), ("c",)], [("b", 1), ("a", 2), ("c", 2)])
    assert not allowed(GOLD, [("b",), ("a",), ("c",)], [("a", 1), ("b", 1)])


def test_another_row_with_the_key_of_the_last_one_may_take_its_place() -> None:
    ranked: Rows = [("a", 1), ("b", 2), ("c", 2), ("d", 3)]
    gold: Rows = [("a",), ("b",)]
    assert allowed(gold, [("a",), ("c",)], ranked, LIMITED)
    assert not allowed(gold, [("a",), ("d",)], ranked, LIMITED)
    assert not allowed(gold, [("c",), ("a",)], ranked, LIMITED)
    assert not allowed(gold, [("a",), ("a",)], ranked, LIMITED)


def test_rows_before_the_offset_may_come_in_if_they_have_the_key_of_the_first_row() -> None:
    ranked: Rows = [("a", 1), ("b", 1), ("c", 2)]
    order = GoldOrder(any_order=False, ties="ties", skipped=1)
    assert allowed([("b",), ("c",)], [("a",), ("c",)], ranked, order)
    assert not allowed([("b",), ("c",)], [("c",), ("a",)], ranked, order)


def test_the_query_with_the_ranks_does_not_run_where_it_cannot_help() -> None:
    assert not strictly_same(GOLD, [("a",), ("b",), ("x",)], ORDERED, no_query)
    assert not strictly_same(GOLD, [("a",)], LIMITED, no_query)
    assert not strictly_same(GOLD, [("a", 1)] * 3, LIMITED, no_query)
    assert strictly_same(GOLD, list(GOLD), LIMITED, no_query)
