"""Rows that ask the same, and rows with one gold that cannot."""

from __future__ import annotations

import pytest

from text2sql.evaluation.doubtful.questions import Gold, contradictions, rivals


def rows(*pairs: tuple[str, str], db_id: str = "d") -> list[Gold]:
    return [Gold(row, db_id, gold, question) for row, (question, gold) in enumerate(pairs)]


def test_equal_questions_with_other_golds_are_rivals_wherever_they_are() -> None:
    golds = rows(("How  many?", "SELECT 1"), ("Who?", "SELECT 5"), ("how MANY", "SELECT 2"))
    assert rivals(golds) == {0: [2], 2: [0]}


def test_equal_golds_are_no_rivals() -> None:
    assert rivals(rows(("How many?", "SELECT 1"), ("How many?", "SELECT 1"))) == {}


def test_questions_on_other_databases_are_no_rivals() -> None:
    assert rivals([*rows(("Who?", "SELECT 1")), *rows(("Who?", "SELECT 2"), db_id="e")]) == {}


def test_rows_without_a_question_are_no_rivals() -> None:
    assert rivals(rows(("", "SELECT 1"), ("", "SELECT 2"))) == {}
    assert contradictions(rows(("", "SELECT 1"), ("", "SELECT 1"))) == {}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "What are the countries where English or Dutch is the official language?",
            "Which countries have either English or Dutch as an official language?",
        ),
        (
            "Which countries have a population less than any country in Asia?",
            "List all countries that have a smaller population than that of any country in Asia.",
        ),
        ("Every student's grade with 3 cats", "What are each students grades, with three cats?"),
        ("the unique cities", "Find all different city"),
        ("What is the biggest city?", "Which is the largest of the cities?"),
    ],
)
def test_questions_that_differ_in_small_words_alone_are_rivals_wherever_they_are(
    one: str, other: str
) -> None:
    golds = rows((one, "SELECT 1"), ("Who?", "SELECT 5"), (other, "SELECT 2"))
    assert rivals(golds) == {0: [2], 2: [0]}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("what states does the delaware river run through", "what states does the ohio river run through"),
        ("how many people live in kansas", "how many people live in california"),
        (
            "what are the cities of the state with the highest point",
            "what are the highest points of all the states",
        ),
        (
            "what state has the city with the largest population",
            "what is the smallest city in the largest state",
        ),
        ("the smallest city in the largest state", "the largest city in the smallest state"),
        ("the largest city in a state", "the city in the largest state"),
        ("users who follow Mary and Susan", "users who follow Mary or Susan"),
        ("flights from Bari to Como", "flights from Como to Bari"),
        ("flights to Bari", "flights from Bari"),
        ("rivers in texas", "rivers not in texas"),
        ("Where was Bob born?", "What was Bob born?"),
        ("students with more cats than dogs", "students with more dogs than cats"),
        ("students with more cats than dogs", "students with fewer cats than dogs"),
        ("the average age of all students", "the average age of each student"),
        ("the cities", "the distinct cities"),
        ("days with -5 degrees", "days with 5 degrees"),
        ("rows with age < 5", "rows with age > 5"),
        ("books on C++", "books on C#"),
        ("trains of type A", "trains of type AS"),
        ("students with grade A", "students with grade S"),
        ("cities in the state IN", "cities in the state OF"),
        ("allergy types", "allergies and types"),
    ],
)
def test_questions_that_differ_in_a_value_a_content_word_or_its_place_are_no_rivals(
    one: str, other: str
) -> None:
    assert rivals(rows((one, "SELECT 1"), (other, "SELECT 2"))) == {}


def test_different_questions_of_fillers_alone_are_no_rivals() -> None:
    assert rivals(rows(("Show all", "SELECT 1"), ("List it", "SELECT 2"))) == {}


def test_equal_questions_of_fillers_alone_are_rivals() -> None:
    assert rivals(rows(("Who is it?", "SELECT 1"), ("who is it", "SELECT 2"))) == {0: [1], 1: [0]}


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
