"""Questions with names and values masked."""

from __future__ import annotations

import pytest

from text2sql.records import TrainingRow
from text2sql.retrieval.mask import embedded_texts, mask_question

DDL = "CREATE TABLE singer (singer_id INTEGER, song_name TEXT, isMale INTEGER, country TEXT);"


@pytest.mark.parametrize(
    ("question", "masked"),
    [
        ("Show singers older than 20.5 years", "Show name older than value years"),
        ("Who sang 'Hey Jude'?", "Who sang value?"),
        ('Who sang "Hey Jude"?', "Who sang value?"),
        ("Which come from New York City?", "Which come from value?"),
        ("List each Song Name by country", "List each value by name"),
        ("List each song name by country", "List each name by name"),
        ("List each song_name", "List each name"),
        ("How many is male?", "How many name?"),
    ],
)
def test_values_and_names_are_masked(question: str, masked: str) -> None:
    assert mask_question(question, DDL) == masked


def test_an_apostrophe_does_not_start_a_literal() -> None:
    assert mask_question("What's the singer's age?", DDL) == "What's the name's age?"


def test_a_name_inside_a_longer_word_is_not_masked() -> None:
    assert mask_question("How many countrymen?", DDL) == "How many countrymen?"


def test_names_are_not_regular_expressions() -> None:
    ddl = 'CREATE TABLE "a.*b" ("c(d" TEXT);'
    assert mask_question("every axxb", ddl) == "every axxb"


def test_a_name_without_letters_masks_nothing() -> None:
    assert mask_question("how many?", 'CREATE TABLE "%" ("#" TEXT);') == "how many?"


def test_names_are_not_masked_if_sqlite_rejects_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert mask_question("age of 3 singers", "CREATE TABLE (") == "age of value singers"
    assert "names are not masked" in capsys.readouterr().err


def test_embedded_texts_are_on_one_line_and_masked_if_asked() -> None:
    row = TrainingRow("t:0", "t", "List each\nsong name", DDL, "SELECT 1")
    assert embedded_texts([row], masked=False) == ["List each song name"]
    assert embedded_texts([row], masked=True) == ["List each name"]
