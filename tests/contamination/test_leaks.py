"""The rules find leaks, and the evidence names rule and test row."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from text2sql.contamination import leaks
from text2sql.contamination.leaks import Evidence, LeakFinder, find_leaks
from text2sql.contamination.settings import RULES, Rules
from text2sql.errors import UserError
from text2sql.records import TestQuestion, TrainingRow

PROSE = "d contains tables such as t. Table t has columns such as id, name. id is the primary key."
DDL = "CREATE TABLE T (ID INTEGER, Name TEXT);"
TEST = [
    TestQuestion(4, "d", "How many are there?", "SELECT count(*) FROM t", PROSE, "all"),
    TestQuestion(9, "d", "Who is 3?", "SELECT name FROM t WHERE id = 3", PROSE, "all"),
]
CLEAN = TrainingRow("a:0", "a", "Names?", DDL, "SELECT name FROM t")


EVERY = Rules(near_question=0.9, same_sql="masked", same_database=True, embedding=0.9)
EXACT = Rules(contains=False, near_question=None, same_sql="exact")
NONE = Rules(question=False, contains=False, near_question=None, same_sql=None)


def embed(texts: Sequence[str]) -> np.ndarray:
    """Vectors of length one; texts that begin with the same letter mean the same."""
    return np.array([np.eye(26)[ord(text[0].lower()) - ord("a")] for text in texts])


def evidence(row: TrainingRow, rules: Rules = EXACT) -> Evidence | None:
    ((same, found),) = find_leaks([row], TEST, rules, embed)
    assert same is row
    return found


def test_a_row_that_tells_nothing_of_the_test_is_clean() -> None:
    assert evidence(CLEAN) is None


def test_the_same_question_leaks_on_any_schema() -> None:
    row = dataclasses.replace(CLEAN, question="how many ARE there", ddl="CREATE TABLE x (y)")
    assert evidence(row) == Evidence("question", 4, 1.0)


@pytest.mark.parametrize(
    ("question", "leaks"),
    [("How many are there?", True), (" How many are there?\n", True), ("how many are there", False)],
)
def test_an_exact_question_leaks_but_for_white_space_at_its_ends(question: str, leaks: bool) -> None:
    row = dataclasses.replace(CLEAN, question=question)
    found = evidence(row, EXACT.replace(question_form="exact"))
    assert found == (Evidence("question", 4, 1.0) if leaks else None)


def test_the_same_query_leaks_on_the_same_schema_only() -> None:
    row = dataclasses.replace(CLEAN, sql="select NAME from T where ID=3;")
    assert evidence(row) == Evidence("same_sql", 9, 1.0)
    assert evidence(dataclasses.replace(row, ddl="CREATE TABLE t (id, name, age)")) is None


def test_the_first_rule_that_fits_is_named() -> None:
    row = dataclasses.replace(CLEAN, question="Who is 3", sql="SELECT count(*) FROM t")
    assert evidence(row) == Evidence("question", 9, 1.0)


def test_a_rule_that_is_off_finds_nothing() -> None:
    row = dataclasses.replace(CLEAN, question="Who is 3?", sql=TEST[1].gold)
    assert evidence(
        row, Rules(question=False, contains=False, near_question=None, same_sql="exact")
    ) == Evidence("same_sql", 9, 1.0)
    assert evidence(row, NONE) is None


def test_questions_of_punctuation_alone_are_not_the_same() -> None:
    test = [dataclasses.replace(TEST[0], question="???")]
    row = dataclasses.replace(CLEAN, question="!")
    assert list(find_leaks([row], test, Rules(near_question=None, same_sql=None))) == [(row, None)]


def test_of_equal_test_questions_the_first_is_named() -> None:
    test = [dataclasses.replace(TEST[0], row=row) for row in (7, 8)]
    row = dataclasses.replace(CLEAN, question=TEST[0].question)
    assert list(find_leaks([row], test, EXACT)) == [(row, Evidence("question", 7, 1.0))]


def test_every_row_comes_back_in_order() -> None:
    rows = [dataclasses.replace(CLEAN, id=f"a:{n}") for n in range(5)]
    assert [row for row, _ in find_leaks(iter(rows), TEST, EXACT)] == rows


def test_blocks_do_not_change_what_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [CLEAN, dataclasses.replace(CLEAN, question="Who is 3"), CLEAN] * 3
    every = Rules(**{**dict(EVERY), "same_database": False})
    at_once = list(find_leaks(rows, TEST, every, embed))
    monkeypatch.setattr(leaks, "BLOCK", 2)
    assert list(find_leaks(rows, TEST, every, embed)) == at_once
    assert sum(found is not None for _, found in at_once) == 3


def test_rows_are_read_no_further_than_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "BLOCK", 2)
    rows = iter([CLEAN] * 9)
    next(find_leaks(rows, TEST, EXACT))
    assert len(list(rows)) == 7


def test_a_reworded_question_leaks_on_any_schema_if_it_is_near_enough() -> None:
    row = dataclasses.replace(
        CLEAN, question="How many is there?", ddl="CREATE TABLE x (y)", sql="SELECT count(id) FROM t"
    )
    near = Rules(question=False, near_question=0.6, same_sql="exact")
    assert evidence(row, near) == Evidence("near_question", 4, 13 / 21)
    assert evidence(row, Rules(**{**dict(near), "near_question": 0.8})) is None


def test_the_same_query_with_other_values_leaks_where_the_tables_used_fit() -> None:
    row = dataclasses.replace(CLEAN, ddl="CREATE TABLE t (name, id)", sql="SELECT name FROM t WHERE id = 7")
    assert evidence(row) is None
    assert evidence(row, Rules(near_question=None, same_sql="masked")) == Evidence("masked_sql", 9, 1.0)


def test_the_same_database_leaks_whatever_is_asked() -> None:
    rules = Rules(near_question=None, same_sql="exact", same_database=True)
    assert evidence(CLEAN, rules) == Evidence("same_database", 4, 1.0)
    assert evidence(dataclasses.replace(CLEAN, ddl="CREATE TABLE t (id)"), rules) == Evidence(
        "same_database", 4, 0.5
    )
    assert evidence(dataclasses.replace(CLEAN, ddl="CREATE TABLE t (id, age)"), rules) is None


def test_a_question_that_means_the_same_leaks_on_such_a_schema_only() -> None:
    rules = Rules(near_question=None, same_sql="exact", embedding=0.9)
    row = dataclasses.replace(
        CLEAN, question="Which one is number three?", sql="SELECT t.name FROM t WHERE 3 = id"
    )
    assert evidence(row, rules) == Evidence("embedding", 9, 1.0)
    assert evidence(dataclasses.replace(row, ddl="CREATE TABLE x (y)"), rules) is None
    assert evidence(dataclasses.replace(row, question="Anyone?"), rules) is None


def test_only_questions_on_a_schema_of_the_test_are_embedded() -> None:
    seen: list[str] = []

    def counting(texts: Sequence[str]) -> np.ndarray:
        seen.extend(texts)
        return embed(texts)

    other = dataclasses.replace(CLEAN, question="Elsewhere?", ddl="CREATE TABLE x (y)")
    rules = Rules(near_question=None, same_sql="exact", embedding=0.9)
    list(find_leaks([CLEAN, other], TEST, rules, counting))
    assert seen == [*(question.question for question in TEST), CLEAN.question]


def test_rules_tell_the_names_that_their_evidence_may_have() -> None:
    assert EVERY.replace(same_result=True).names() == list(RULES)
    assert NONE.names() == []
    assert EXACT.names() == ["question", "same_sql"]


def test_a_schema_that_names_no_table_of_the_test_is_not_even_read() -> None:
    row = dataclasses.replace(CLEAN, ddl="CREATE TABLE x (", sql="SELECT y FROM x")
    assert evidence(row, EVERY) is None


def test_meaning_cannot_be_compared_without_a_model() -> None:
    with pytest.raises(ValueError, match="embed"):
        LeakFinder(TEST, Rules(near_question=None, same_sql="exact", embedding=0.5))


def test_a_test_schema_may_be_create_table_text() -> None:
    test = [dataclasses.replace(question, schema=DDL) for question in TEST]
    row = dataclasses.replace(CLEAN, sql="select NAME from T where ID=3;")
    assert list(find_leaks([row], test, EXACT)) == [(row, Evidence("same_sql", 9, 1.0))]


def test_a_test_schema_that_cannot_be_read_is_named_by_its_row() -> None:
    with pytest.raises(UserError, match="test row 4: schema prose"):
        list(find_leaks([CLEAN], [dataclasses.replace(TEST[0], schema="?")], EXACT))


def test_a_training_schema_that_cannot_be_read_is_named_by_its_row() -> None:
    with pytest.raises(UserError, match="training row a:0: CREATE TABLE"):
        list(find_leaks([dataclasses.replace(CLEAN, ddl="CREATE TABLE")], TEST, EXACT))


def test_a_training_schema_that_cannot_be_read_may_be_passed_over() -> None:
    told: list[str] = []
    row = dataclasses.replace(CLEAN, ddl="CREATE TABLE t (")
    found = list(find_leaks([row], TEST, EVERY, embed, lambda row, error: told.append(f"{row.id} {error}")))
    assert found == [(row, None)]
    assert told and told[0].startswith("a:0 CREATE TABLE text")
