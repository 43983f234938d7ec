"""The choice of databases that together tell the most near-misses apart."""

from __future__ import annotations

from text2sql.suites.select import choose


def test_the_database_that_tells_most_apart_comes_first() -> None:
    assert choose({0: 0b0001, 1: 0b0111, 2: 0b1000}, already=0, most=2) == [1, 2]


def test_what_the_original_tells_apart_counts_a_tenth() -> None:
    assert choose({0: 0b0111, 1: 0b1000}, already=0b0111, most=1) == [1]


def test_a_database_that_adds_nothing_is_not_chosen() -> None:
    assert choose({0: 0b0, 1: 0b1}, already=0, most=5) == [1]


def test_a_near_miss_is_to_be_told_apart_by_three_databases_and_not_by_a_fourth() -> None:
    assert choose(dict.fromkeys(range(5), 0b1), already=0, most=5) == [0, 1, 2]


def test_of_equally_useful_databases_the_first_is_chosen() -> None:
    assert choose({3: 0b1, 2: 0b1}, already=0, most=1) == [2]
