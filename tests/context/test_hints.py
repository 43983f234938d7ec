"""text2sql.context.hints: values of a database that a question names, and words that name none."""

from __future__ import annotations

from itertools import pairwise

import pytest

from text2sql.context.hints import Hint, ValueIndex
from text2sql.context.values import ColumnValues, DatabaseValues


def index(**columns: list[str]) -> ValueIndex:
    return ValueIndex(DatabaseValues([ColumnValues("t", name, texts) for name, texts in columns.items()]))


CITIES = index(city=["New York", "York", "São Paulo", "Los Angeles"], pet=["dog", "cat"], code=["END", "LHR"])


def values(found: list[Hint]) -> list[str]:
    return [hint.value for hint in found]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Who lives in New York?", ["New York"]),
        ("Who lives in new york?", ["New York"]),
        ("Who lives in Sao Paulo?", ["São Paulo"]),
        ("Who lives in SÃO PAULO?", ["São Paulo"]),
        ("How many dogs are there?", ["dog"]),
        ("Who lives in 'Los Angeles'?", ["Los Angeles"]),
        ("Who lives in Los Angelos?", ["Los Angeles"]),
        ("Which flights end in LHR?", ["LHR"]),
        ("Who lives in NewYork or in York?", ["York"]),
    ],
)
def test_a_value_is_found_as_it_is_written_folded_or_misspelled(question: str, expected: list[str]) -> None:
    assert values(CITIES.find(question, 5)) == expected


def test_the_words_of_a_longer_value_are_no_values_of_their_own() -> None:
    assert values(CITIES.find("Is New York large?", 5)) == ["New York"]


def test_words_of_any_question_are_no_values() -> None:
    common = index(a=["all", "name", "How many", "the", "First", "What is", "and"])
    assert common.find("How many of all the first names and what is the name?", 5) == []


def test_a_common_word_in_quotes_is_a_value() -> None:
    assert values(index(a=["all"]).find("Whose name is 'all'?", 5)) == ["all"]


def test_words_in_names_of_columns_are_values_only_where_they_are_names() -> None:
    found = index(type=["singer", "Dave"])
    assert found.find("How many singers are there?", 5, names={"singer"}) == []
    assert values(found.find("How old is Dave?", 5, names={"dave"})) == ["Dave"]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("concerts in 2014", ["2014"]),
        ("the top 10", []),
        ("the number '10'", ["10"]),
        ("concerts in 2016", []),
    ],
)
def test_numbers_in_texts_must_be_equal_and_short_ones_in_quotes(question: str, expected: list[str]) -> None:
    assert values(index(year=["2014", "10"]).find(question, 5)) == expected


def test_a_single_letter_is_a_value_where_it_is_a_capital() -> None:
    grades = index(grade=["F", "A"])
    assert values(grades.find("students with grade F in f", 5)) == ["F"]
    assert grades.find("Is a student there?", 5) == []


def test_a_code_is_a_value_only_with_its_own_letters() -> None:
    assert CITIES.find("Where do the routes end?", 5) == []
    assert values(CITIES.find("Where is END?", 5)) == ["END"]


def test_the_column_that_the_question_fits_comes_first() -> None:
    both = index(country=["France"], city=["France"])
    ranks = {("t", "city"): 1.0, ("t", "country"): 0.0}
    found = both.find("Is France there?", 5, rank=lambda place: ranks[place])
    assert [hint.column for hint in found] == ["city", "country"]


def test_each_value_comes_before_the_second_column_of_another() -> None:
    found = index(a=["France", "Peru"], b=["France", "Peru"]).find("France or Peru", 5)
    assert values(found) == ["France", "Peru", "France", "Peru"]


def test_a_value_that_a_question_names_twice_is_one_hint() -> None:
    found = index(a=["France", "Peru"]).find("In France, France or france, or in Peru?", 2)
    assert values(found) == ["France", "Peru"]


def test_of_a_question_the_first_5000_characters_are_read() -> None:
    assert values(CITIES.find(f"in Los Angeles{' ' * 5_000}or New York", 5)) == ["Los Angeles"]


def test_no_more_hints_than_asked_for_are_given() -> None:
    assert len(index(a=["France", "Peru", "Chile"]).find("France, Peru or Chile", 2)) == 2


def test_a_hint_knows_the_words_of_the_question() -> None:
    question = "Who lives in Los Angeles now?"
    (hint,) = CITIES.find(question, 5)
    assert question[hint.start : hint.end] == "Los Angeles"
    assert hint.quality == 1.0


def test_a_value_as_it_is_written_is_better_than_in_another_case_or_spelling() -> None:
    questions = ("in New York", "in new york", "in NewYork", "in New Yorck")
    qualities = [
        CITIES.find(question, 1)[0].quality if CITIES.find(question, 1) else 0 for question in questions
    ]
    assert qualities[0] > qualities[1] > qualities[3] > 0
    assert all(before != after for before, after in pairwise(qualities))


@pytest.mark.parametrize("question", ["", "?", "'", "\"\" ''", "a" * 10_000, "\0", "日本"])
def test_odd_questions_have_no_hints(question: str) -> None:
    assert CITIES.find(question, 5) == []


def test_values_of_signs_alone_are_left_out() -> None:
    assert index(a=["+++", "--", "?"]).find("What is +++ or -- ?", 5) == []
