"""Percentages, intervals and the test of pairs."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from text2sql.evaluation.scores import Verdict, mcnemar, score_table, wilson_interval


def verdict(
    row: int,
    ex: bool | None,
    hardness: str | None = "easy",
    error: str | None = None,
    slice: str = "",
) -> Verdict:
    return Verdict(row, "concert", slice, hardness, ex, error)


# Newcombe 1998, table I, method 3, in percent.
@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (81, 263, 25.53, 36.62),
        (15, 148, 6.24, 16.05),
        (0, 20, 0.0, 16.11),
        (1, 29, 0.61, 17.18),
    ],
)
def test_wilson_gives_the_published_intervals(successes: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(successes, n) == pytest.approx((low, high), abs=0.005)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_share_and_stays_within_0_and_100(case: tuple[int, int]) -> None:
    low, high = wilson_interval(*case)
    assert 0 <= low <= 100 * case[0] / case[1] <= high <= 100


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (3, 2), (-1, 2)])
def test_impossible_counts_have_no_interval(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="no interval"):
        wilson_interval(successes, n)


# Discordant pairs and two-sided binomial probabilities, by hand: 2 * sum C(n, i) / 2**n.
@pytest.mark.parametrize(
    ("only_a", "only_b", "p"),
    [
        (0, 0, 1.0),
        (1, 1, 1.0),
        (0, 5, 2 / 32),
        (1, 9, 22 / 1024),
        (10, 2, 158 / 4096),
        (0, 10, 2 / 1024),
    ],
)
def test_mcnemar_gives_the_binomial_probability(only_a: int, only_b: int, p: float) -> None:
    a = [True] * only_a + [False] * only_b + [True, True, False]
    b = [False] * only_a + [True] * only_b + [True, True, False]
    assert mcnemar(a, b) == pytest.approx(p, rel=1e-12)
    assert mcnemar(b, a) == mcnemar(a, b)


def test_mcnemar_bears_thousands_of_pairs() -> None:
    assert 0.0 <= mcnemar([True] * 9000, [False] * 9000) < 1e-300


def test_mcnemar_wants_pairs() -> None:
    with pytest.raises(ValueError, match="shorter"):
        mcnemar([True, False], [True])


def test_scores_are_percentages_of_each_class() -> None:
    verdicts = [
        verdict(0, True),
        verdict(1, False),
        verdict(2, True),
        verdict(3, False, "hard", "syntax"),
    ]
    table = score_table(verdicts)
    assert table["ex"] == {"all": 50.0, "easy": 66.7, "medium": None, "hard": 0.0, "extra": None}
    assert table["n"] == {"all": 4, "easy": 3, "medium": 0, "hard": 1, "extra": 0}
    assert table["ci95"]["all"] == {"low": 15.0, "high": 85.0}
    assert table["ci95"]["medium"] is None
    assert table["errors"] == {"syntax": 1}
    assert "slices" not in table


def test_a_failing_gold_is_listed_and_in_no_other_number() -> None:
    table = score_table([verdict(0, True), verdict(7, None, None, "gold: syntax")])
    assert table["gold_failures"] == [7]
    assert (table["n"]["all"], table["ex"]["all"], table["errors"]) == (1, 100.0, {})


def test_several_slices_are_scored_one_by_one() -> None:
    verdicts = [
        verdict(0, True, slice="seen"),
        verdict(1, False, slice="unseen"),
        verdict(2, None, None, "gold: syntax", slice="broken"),
    ]
    assert score_table(verdicts)["slices"] == {"broken": None, "seen": 100.0, "unseen": 0.0}


def test_no_verdicts_give_nulls_and_not_zeros() -> None:
    table = score_table([])
    assert set(table["ex"].values()) == set(table["ci95"].values()) == {None}


def test_the_table_is_plain_json() -> None:
    table = score_table([verdict(0, True)])
    assert json.loads(json.dumps(table, allow_nan=False)) == table
