"""The choice among ranked examples."""

from __future__ import annotations

import numpy as np
import pytest

from text2sql.retrieval.ranking import choose, distinct

HITS = [("a", 0.9), ("b", 0.8), ("c", 0.5)]
NEAR, FAR = np.array([1.0, 0.0]), np.array([0.0, 1.0])
VECTORS = {"a": NEAR, "b": NEAR, "c": FAR}


def test_lambda_one_takes_the_best_without_looking_at_vectors() -> None:
    assert choose(HITS, 2, 1.0, {}) == HITS[:2]


def test_a_lower_lambda_prefers_an_example_unlike_the_one_before() -> None:
    assert choose(HITS, 2, 0.5, VECTORS) == [HITS[0], HITS[2]]


def test_lambda_zero_begins_with_the_best_and_then_looks_at_diversity_alone() -> None:
    assert choose(HITS, 3, 0.0, VECTORS) == [HITS[0], HITS[2], HITS[1]]


@pytest.mark.parametrize("mmr_lambda", [0.3, 1.0])
def test_more_examples_than_there_are_gives_all_of_them(mmr_lambda: float) -> None:
    assert {row_id for row_id, _ in choose(HITS, 9, mmr_lambda, VECTORS)} == {"a", "b", "c"}


def test_equal_examples_keep_the_order_of_the_ranking() -> None:
    same = [("x", 0.5), ("y", 0.5)]
    assert choose(same, 2, 0.5, {"x": NEAR, "y": NEAR}) == same


def test_of_hits_with_one_question_the_best_stays() -> None:
    questions = {"a": "who", "b": "who", "c": "how many"}
    assert distinct(HITS, questions) == [HITS[0], HITS[2]]
    assert distinct(HITS, {"a": "a", "b": "b", "c": "c"}) == HITS
