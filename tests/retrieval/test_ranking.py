"""The choice among ranked examples."""

from __future__ import annotations

import numpy as np
import pytest

from text2sql.records import TrainingRow
from text2sql.retrieval.ranking import by_draft, choose, distinct, likeness

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


QUERIES = {"a": "SELECT x FROM t WHERE y = 1", "b": "SELECT count(*) FROM u", "c": "SELECT ("}
ROWS = {name: TrainingRow(name, "t", "q", "", sql) for name, sql in QUERIES.items()}


def test_hits_with_the_form_of_the_draft_come_first() -> None:
    (ranking,) = by_draft(["select COUNT(*) from s"], [HITS], ROWS)
    assert [row_id for row_id, _ in ranking] == ["b", "a", "c"]
    assert ranking[0][1] == 1.0
    assert ranking[2][1] == 0.0, "its query does not parse"


@pytest.mark.parametrize("draft", ["", "SELECT (", "I do not know"])
def test_without_a_draft_that_parses_hits_stay_as_they_are(draft: str) -> None:
    assert by_draft([draft], [HITS], ROWS) == [HITS]


def test_equally_alike_hits_are_ordered_by_cosine_and_then_by_id() -> None:
    rows = {name: TrainingRow(name, "t", "q", "", f"SELECT {name} FROM t") for name in "abcd"}
    hits = [("d", 0.7), ("c", 0.9), ("b", 0.7), ("a", 0.5)]
    (ranking,) = by_draft(["SELECT z FROM y"], [hits], rows)
    assert ranking == [("c", 1.0), ("b", 1.0), ("d", 1.0), ("a", 1.0)]


def test_each_question_has_its_own_draft() -> None:
    first, second = by_draft(["SELECT count(*) FROM t", "SELECT z FROM y WHERE x = 2"], [HITS, HITS], ROWS)
    assert (first[0][0], second[0][0]) == ("b", "a")


def test_only_equal_skeletons_are_fully_alike() -> None:
    one, two = "SELECT _ FROM _ JOIN _ ON _ = _", "SELECT _ FROM _ JOIN _ ON _ = _ JOIN _ ON _ = _"
    assert likeness(one, one) == 1.0
    assert 0 < likeness("SELECT _ FROM _ WHERE _ IN (?)", one) < likeness(one, two) < 1
    assert likeness("SELECT _ FROM _", "SELECT _ , _ FROM _") == pytest.approx(2 * 4 / (4 + 6))
    assert likeness("_ >= ?", "_ > ?") == pytest.approx(2 * 2 / (3 + 3)), "an operator is one token"
