"""The share of the test questions that training rows leak, for each test set."""

from __future__ import annotations

from text2sql.contamination.evidence import Evidence
from text2sql.contamination.exposure import Exposure
from text2sql.records import TestQuestion, TrainingRow

DDL = "CREATE TABLE t (id, name)"
TEST = [
    TestQuestion(
        0, "d", "How many rows has the table?", "SELECT count(*) FROM t", DDL, "all", test_set="one"
    ),
    TestQuestion(1, "d", "Count the rows.", "select count(*) from T", DDL, "all", test_set="one"),
    TestQuestion(2, "d", "What are the names in it?", "SELECT name FROM t", DDL, "all", test_set="one"),
    TestQuestion(3, "d", "count THE rows", "", "", "all", test_set="two"),
    TestQuestion(4, "e", "Names?", "SELECT name FROM t", "", "all", test_set="two"),
]


def row(question: str, sql: str) -> TrainingRow:
    return TrainingRow("a:0", "a", question, DDL, sql)


def shares(*found: tuple[TrainingRow, Evidence | None]) -> dict[str, dict[str, float]]:
    exposure = Exposure(TEST)
    assert list(exposure.watch(iter(found))) == list(found)
    return exposure.shares()


def test_without_rows_nothing_is_leaked() -> None:
    assert shares() == {
        "one": {"questions": 3, "before": 0.0, "after": 0.0},
        "two": {"questions": 2, "before": 0.0, "after": 0.0},
    }


def test_a_removed_row_leaks_questions_with_the_same_query_or_words_before_only() -> None:
    found = shares((row("?", "SELECT 1"), Evidence("embedding", 0, 0.9)))
    assert found["one"] == {"questions": 3, "before": 66.67, "after": 0.0}
    assert found["two"]["before"] == 0.0
    found = shares((row("?", "SELECT 1"), Evidence("embedding", 1, 0.9)))
    assert (found["one"]["before"], found["two"]["before"]) == (66.67, 50.0)


def test_a_kept_row_that_a_rule_which_is_off_would_remove_counts_before_and_after() -> None:
    found = shares((row("Anything", "SELECT name FROM t"), None))
    assert found["one"] == {"questions": 3, "before": 33.33, "after": 33.33}
    assert found["two"] == {"questions": 2, "before": 0.0, "after": 0.0}


def test_a_row_with_a_schema_that_cannot_be_read_is_compared_by_its_question() -> None:
    broken = TrainingRow("a:0", "a", "Names?", "CREATE TABLE t (", "SELECT name FROM t")
    assert shares((broken, None))["two"]["after"] == 50.0


def test_a_set_without_name_is_called_test() -> None:
    exposure = Exposure([TestQuestion(0, "", "?", "", "", "all")])
    assert list(exposure.shares()) == ["test"]
