"""Rows that ask the same, and rows with one gold that cannot."""

from __future__ import annotations

import pytest

from text2sql.evaluation.doubtful.questions import Gold, contradictions, rivals


def rows(*pairs: tuple[str, str], db_id: str = "d") -> list[Gold]:
    return [Gold(row, db_id, gold, question) for row, (question, gold) in enumerate(pairs)]


def test_equal_questions_with_other_golds_are_rivals_wherever_they_are() -> None:
    golds = rows(("How  many?", "SELECT 1"), ("Who?", "SELECT 5"), ("how many", "SELECT 2"))
    assert rivals(golds) == {0: [2], 2: [0]}


def test_equal_golds_are_no_rivals() -> None:
    assert rivals(rows(("How many?", "SELECT 1"), ("How many?", "SELECT 1"))) == {}


def test_questions_on_other_databases_are_no_rivals() -> None:
    assert rivals([*rows(("Who?", "SELECT 1")), *rows(("Who?", "SELECT 2"), db_id="e")]) == {}


def test_rows_without_a_question_are_no_rivals() -> None:
    assert rivals(rows(("", "SELECT 1"), ("", "SELECT 2"))) == {}
    assert contradictions(rows(("", "SELECT 1"), ("", "SELECT 1"))) == {}


def test_neighbours_in_nearly_the_same_words_are_rivals() -> None:
    one, other = (
        "What is the average and maximum capacity of all stadiums?",
        "Find the maximum and average capacities",
    )
    assert rivals(rows((one, "SELECT 1"), (f"{other} for each stadium.", "SELECT 2"))) == {0: [1], 1: [0]}


def test_a_row_that_has_its_paraphrase_beside_it_has_no_other() -> None:
    pair = ("Show the grades of all students", "SELECT 1"), ("List each student's grade", "SELECT 1")
    assert rivals(rows(*pair, ("Show the grades of students", "SELECT 2"))) == {}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Who is the youngest singer of all?", "Who is the oldest singer of all?"),
        ("Which shops opened before 2010 in Rome?", "Which shops opened after 2010 in Rome?"),
        ("Which shops opened in 2010 in Rome?", "Which shops opened in 2014 in Rome?"),
    ],
)
def test_questions_that_contradict_are_no_rivals_and_cannot_have_one_gold(one: str, other: str) -> None:
    assert rivals(rows((one, "SELECT 1"), (other, "SELECT 2"))) == {}
    found = contradictions(rows((one, "SELECT 1"), (other, "select 1")))
    assert set(found) == {0, 1}
    assert "row 1 has the same gold" in found[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Who has at least 3 cars?", "Who has more than two cars?"),
        ("Sort by age, descending", "From oldest to youngest, by age"),
        ("Who was born in 1980?", "Who was born then?"),
        ("Code 99999999999999999999999999 of ²", "Code 11111111111111111111111111 of ³"),
    ],
)
def test_other_words_for_one_thing_do_not_contradict(one: str, other: str) -> None:
    assert contradictions(rows((one, "SELECT 1"), (other, "SELECT 1"))) == {}
