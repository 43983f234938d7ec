"""BIRD's EX and Soft F1; expected values follow from its rules, by hand or in fractions."""

from __future__ import annotations

from fractions import Fraction

import pytest

from tests.evaluation.generated_results import Rows, generated_pairs
from text2sql.evaluation.bird.compare import same_set, soft_f1

PAIRS = 3_000


@pytest.mark.parametrize(
    ("gold", "predicted", "same"),
    [
        ([(1,), (2,)], [(2,), (1,)], True),
        ([(1,), (1,)], [(1,)], True),
        ([(1, 2)], [(2, 1)], False),
        ([(1,)], [(1.0,)], True),
        ([(1,)], [("1",)], False),
        ([(None,)], [(None,)], True),
        ([(None,)], [(0,)], False),
        ([(0.3,)], [(0.1 + 0.2,)], False),
        ([(b"a",)], [("a",)], False),
        ([], [], True),
        ([], [(None,)], False),
        ([(1,)], [(1, 1)], False),
        ([(float("inf"),)], [(float("inf"),)], True),
    ],
)
def test_ex_compares_sets_of_rows(gold: Rows, predicted: Rows, same: bool) -> None:
    assert same_set(gold, predicted) is same


@pytest.mark.parametrize(
    ("gold", "predicted", "score"),
    [
        ([(1, 2)], [(1, 2)], 1),
        ([(1, 2)], [(2, 1)], 1),  # the order of columns does not count
        ([(1,)], [(1, 1)], 1),  # nor how often a value occurs
        ([(1,), (2,)], [(2,), (1,)], 0),  # the order of rows does
        ([(1,), (1,), (2,)], [(1,), (2,), (2,)], 1),  # repeated rows are dropped first
        ([(1, 2)], [(1, 3)], Fraction(1, 2)),  # one of two found, one too many, one missing
        ([(1, 2)], [(1,)], Fraction(2, 3)),  # precision 1, recall 1/2
        ([(1,)], [(1, 2)], Fraction(2, 3)),  # precision 1/2, recall 1
        ([(1,), (2,)], [(1,)], Fraction(2, 3)),
        ([(1,)], [(1,), (2,)], Fraction(2, 3)),
        ([(None,)], [(None,)], 1),
        ([(1,)], [("1",)], 0),
        ([(1,)], [(1.0,)], 1),
        ([], [], 1),
        ([], [(1,)], 0),
        ([(1,)], [], 0),
    ],
)
def test_soft_f1_counts_the_values_that_rows_at_the_same_place_share(
    gold: Rows, predicted: Rows, score: Fraction
) -> None:
    assert soft_f1(gold, predicted) == pytest.approx(float(score))


def test_ex_of_generated_results_is_that_each_row_is_somewhere_in_the_other() -> None:
    found = [
        (gold, predicted, same_set(gold, predicted)) for gold, predicted in generated_pairs(PAIRS, seed=4)
    ]
    wrong = [
        (gold, predicted)
        for gold, predicted, same in found
        if same is not (all(row in predicted for row in gold) and all(row in gold for row in predicted))
    ]
    assert wrong == []
    assert PAIRS / 5 < sum(same for *_, same in found) < 4 * PAIRS / 5


def test_soft_f1_of_generated_results_is_the_harmonic_mean_of_the_counted_shares() -> None:
    wrong = [
        (gold, predicted)
        for gold, predicted in generated_pairs(PAIRS, seed=5)
        if soft_f1(gold, predicted) != pytest.approx(float(counted_f1(gold, predicted)))
    ]
    assert wrong == []


def counted_f1(gold: Rows, predicted: Rows) -> Fraction:
    """2 matches / (2 matches + extra + missing), in parts of the gold's width."""
    if not gold and not predicted:
        return Fraction(1)
    golds, predictions = distinct(gold), distinct(predicted)
    matched = extra = missing = Fraction(0)
    for one, other in zip(golds, predictions, strict=False):
        width = len(one)
        matched += Fraction(len([value for value in other if value in one]), width)
        extra += Fraction(len([value for value in other if value not in one]), width)
        missing += Fraction(len([value for value in one if value not in other]), width)
    extra += max(0, len(predictions) - len(golds))
    missing += max(0, len(golds) - len(predictions))
    return 2 * matched / (2 * matched + extra + missing) if matched else Fraction(0)


def distinct(rows: Rows) -> Rows:
    return [row for place, row in enumerate(rows) if row not in rows[:place]]
