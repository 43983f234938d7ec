"""Leaks found by look-up."""

import dataclasses

import pytest

from text2sql.contamination.leaks import Evidence, find_leaks
from text2sql.records import TestQuestion, TrainingRow, UserError

PROSE = "d contains tables such as t. Table t has columns such as id, name. id is the primary key."
DDL = "CREATE TABLE T (ID INTEGER, Name TEXT);"
TEST = [
    TestQuestion(4, "d", "How many are there?", "SELECT count(*) FROM t", PROSE, "all"),
    TestQuestion(9, "d", "Who is 3?", "SELECT name FROM t WHERE id = 3", PROSE, "all"),
]
CLEAN = TrainingRow("a:0", "a", "Names?", DDL, "SELECT name FROM t")


def evidence(row: TrainingRow, rules: tuple[str, ...] = ("question", "same_sql")) -> Evidence | None:
    ((same, found),) = find_leaks([row], TEST, rules)
    assert same is row
    return found


def test_a_row_that_tells_nothing_of_the_test_is_clean() -> None:
    assert evidence(CLEAN) is None


def test_the_same_question_leaks_on_any_schema() -> None:
    row = dataclasses.replace(CLEAN, question="how many ARE there", ddl="CREATE TABLE x (y)")
    assert evidence(row) == Evidence("question", 4, 1.0)


def test_the_same_query_leaks_on_the_same_schema_only() -> None:
    row = dataclasses.replace(CLEAN, sql="select NAME from T where ID=3;")
    assert evidence(row) == Evidence("same_sql", 9, 1.0)
    assert evidence(dataclasses.replace(row, ddl="CREATE TABLE t (id, name, age)")) is None


def test_the_first_rule_that_fits_is_named() -> None:
    row = dataclasses.replace(CLEAN, question="Who is 3", sql="SELECT count(*) FROM t")
    assert evidence(row) == Evidence("question", 9, 1.0)


def test_a_rule_that_is_off_finds_nothing() -> None:
    row = dataclasses.replace(CLEAN, question="Who is 3?", sql=TEST[1].gold)
    assert evidence(row, ("same_sql",)) == Evidence("same_sql", 9, 1.0)
    assert evidence(row, ()) is None


def test_questions_of_punctuation_alone_are_not_the_same() -> None:
    test = [dataclasses.replace(TEST[0], question="???")]
    row = dataclasses.replace(CLEAN, question="!")
    assert list(find_leaks([row], test, ("question",))) == [(row, None)]


def test_every_row_comes_back_in_order() -> None:
    rows = [dataclasses.replace(CLEAN, id=f"a:{n}") for n in range(5)]
    assert [row for row, _ in find_leaks(iter(rows), TEST)] == rows


def test_an_unknown_rule_is_named() -> None:
    with pytest.raises(UserError, match="unknown contamination rule vibes"):
        list(find_leaks([CLEAN], TEST, ("vibes",)))


def test_a_test_schema_that_cannot_be_read_is_named_by_its_row() -> None:
    with pytest.raises(UserError, match="test row 4: schema prose"):
        list(find_leaks([CLEAN], [dataclasses.replace(TEST[0], prose="?")]))


def test_a_training_schema_that_cannot_be_read_is_named_by_its_row() -> None:
    with pytest.raises(UserError, match="training row a:0: CREATE TABLE"):
        list(find_leaks([dataclasses.replace(CLEAN, ddl="CREATE TABLE")], TEST))
