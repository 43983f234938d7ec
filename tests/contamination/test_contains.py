"""Questions that contain one another are found by their words, with and without evidence."""

from __future__ import annotations

import pytest

from text2sql.contamination.contains import LEAST_WORDS, ContainedQuestions, without_evidence
from text2sql.contamination.folding import fold_question

TEST = [
    "How many singers are there?",
    "What is the name of the oldest singer?",
    "Who sang in 2014 in the largest stadium?\nEvidence: largest refers to MAX(capacity)",
]
INDEX = ContainedQuestions(TEST)


def found(question: str) -> list[int]:
    return [place for place, _ in INDEX.candidates(fold_question(question))]


@pytest.mark.parametrize(
    "question",
    [
        "Answer in SQL: what is the NAME of the oldest singer",
        "What is the name of the oldest singer and her age?",
        "is the name of the oldest singer",
    ],
)
def test_a_longer_and_a_shorter_question_are_found(question: str) -> None:
    assert found(question) == [1]


@pytest.mark.parametrize(
    "question",
    [
        "What is the surname of the oldest singer?",
        "What is the name of the oldest singers?",
        "What is, by the way, the name of the oldest singer?",
        "the name of the oldest",
        TEST[1],
        "",
    ],
)
def test_a_part_of_a_word_other_words_between_and_few_words_are_not_found(question: str) -> None:
    assert found(question) == []


def test_a_short_question_is_part_of_too_many_others() -> None:
    assert len(TEST[0].split()) < LEAST_WORDS
    assert found("How many singers are there in each country?") == []


def test_the_longest_of_several_comes_first_and_the_share_counts_words() -> None:
    index = ContainedQuestions(["a b c d e f", "a b c d e f g h"])
    assert index.candidates("a b c d e f g h i j") == [(1, 0.8), (0, 0.6)]


@pytest.mark.parametrize(
    ("question", "place"),
    [
        (f"{TEST[0]}\nEvidence: singer refers to table singer", 0),
        (f"{TEST[1]} Hint: MAX(age)", 1),
        ("who sang in 2014 in the largest stadium", 2),
        ("Who sang in 2014 in the largest stadium?\nExternal Knowledge: none", 2),
    ],
)
def test_evidence_of_either_question_does_not_count(question: str, place: int) -> None:
    assert INDEX.same_without_evidence(question) == place


@pytest.mark.parametrize("question", [*TEST, "Evidence: x", "\nEvidence: x", "???", "Which evidence: none?"])
def test_an_equal_question_is_left_to_the_rule_question(question: str) -> None:
    assert INDEX.same_without_evidence(question) is None


def test_only_evidence_with_a_colon_is_cut_off() -> None:
    assert without_evidence("Which evidence is new?") == "Which evidence is new?"
    assert without_evidence("Who?\nEVIDENCE : a\nb") == "Who?"
