"""Figures of retrieved examples from gold queries."""

from __future__ import annotations

from text2sql.records import ConvertedQuestion, TrainingRow
from text2sql.retrieval.quality import quality

SINGERS = "CREATE TABLE singer (id INTEGER, name TEXT, age INTEGER);"
PLANES = "CREATE TABLE plane (model TEXT);"
ROWS = {
    "a": TrainingRow("a", "t", "q", SINGERS, "SELECT name FROM singer WHERE age > 3"),
    "b": TrainingRow("b", "t", "q", PLANES, "SELECT model FROM plane"),
    "bad": TrainingRow("bad", "t", "q", PLANES, "SELECT ("),
}
GOLD = "SELECT id FROM singer"


def asked(gold: str) -> ConvertedQuestion:
    return ConvertedQuestion(0, "c", "q", gold, SINGERS, "", "rules", ())


def test_the_form_of_the_gold_query_is_counted_for_the_first_example_and_for_all() -> None:
    found = quality([asked(GOLD), asked(GOLD)], [[("a", 0.9), ("b", 0.5)], [("b", 0.7)]], ROWS)
    assert found["same_skeleton"] == {"at_1": 50.0, "at_k": 100.0, "n": 2}


def test_names_are_counted_in_examples_on_the_same_schema_only() -> None:
    gold = "SELECT name, id FROM singer"
    found = quality([asked(gold), asked(gold)], [[("a", 0.9), ("b", 0.5)], [("b", 0.7)]], ROWS)
    assert found["same_schema"] == {"tables": 100.0, "columns": 50.0, "n": 1}


def test_the_score_is_the_mean_of_the_best_examples_and_the_number_shown_is_the_mean_of_all() -> None:
    found = quality(
        [asked(GOLD), asked(GOLD), asked(GOLD)], [[("a", 0.9), ("b", 0.5)], [("b", 0.7)], []], ROWS
    )
    assert found["top_score"] == {"mean": 0.8, "n": 2}
    assert found["examples"] == {"mean": 1.0, "n": 3}


def test_questions_whose_gold_is_missing_or_does_not_parse_do_not_count() -> None:
    found = quality([asked(""), asked("SELECT (")], [[("a", 0.9)], [("a", 0.9)]], ROWS)
    assert found["same_skeleton"] == {"at_1": None, "at_k": None, "n": 0}
    assert found["same_schema"] == {"tables": None, "columns": None, "n": 0}


def test_an_example_that_does_not_parse_matches_nothing() -> None:
    assert quality([asked(GOLD)], [[("bad", 0.9)]], ROWS)["same_skeleton"]["at_k"] == 0.0
