"""Spider dev questions hidden in real training data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from text2sql.contamination.folding import fold_question
from text2sql.contamination.leaks import find_leaks
from text2sql.contamination.near import NearQuestions, jaccard, shingles
from text2sql.contamination.settings import Rules
from text2sql.files import read_jsonl
from text2sql.records import TestQuestion, TrainingRow
from text2sql.schema.ddl import write_ddl
from text2sql.schema.sqlite import read_sqlite

pytestmark = pytest.mark.slow

EXACT = Rules(contains=False, near_question=None, same_sql="exact")
QUESTION = Rules(contains=False, near_question=None, same_sql=None)


def test_all_47_rows_that_ask_a_dev_question_word_for_word_are_found(real_data: Path) -> None:
    test = _spider_dev(real_data)
    rows = _context_rows(real_data)
    asked = {question.question for question in test}
    verbatim = {row.id for row in rows if row.question in asked}
    assert len(verbatim) == 47
    found = {row.id: evidence for row, evidence in find_leaks(rows, test, EXACT) if evidence}
    assert verbatim <= set(found)
    assert all(found[row_id].rule == "question" for row_id in verbatim)


def test_what_the_question_rule_finds_asks_the_same_words(real_data: Path) -> None:
    test = {question.row: question for question in _spider_dev(real_data)}
    for row, evidence in find_leaks(_context_rows(real_data), list(test.values()), QUESTION):
        if evidence:
            assert _letters(row.question) == _letters(test[evidence.test_row].question)


def test_every_dev_answer_on_its_own_database_is_found_by_its_sql(real_data: Path) -> None:
    test = _spider_dev(real_data)
    databases = real_data / "spider" / "database"
    ddls = {
        db_id: write_ddl(read_sqlite(databases / db_id / f"{db_id}.sqlite"))
        for db_id in {question.db_id for question in test}
    }
    rows = [TrainingRow(str(q.row), "dev", f"reworded {q.row}", ddls[q.db_id], f" {q.gold} ;") for q in test]
    missed = [test[int(row.id)].db_id for row, evidence in find_leaks(rows, test, EXACT) if not evidence]
    assert missed == []


def test_near_questions_are_those_that_comparing_all_would_find(real_data: Path) -> None:
    test = [fold_question(question.question) for question in _spider_dev(real_data)]
    rows = [fold_question(row.question) for row in _context_rows(real_data)[::40]]
    sets = [shingles(text) for text in test]
    best = [max(jaccard(shingles(text), wanted) for wanted in sets) for text in rows]
    for threshold in (0.3, 0.5, 0.7):
        found = NearQuestions(test, threshold).nearest(rows)
        assert [near[1] if near else None for near in found] == [
            similarity if similarity >= threshold else None for similarity in best
        ]


def _spider_dev(real_data: Path) -> list[TestQuestion]:
    rows = json.loads((real_data / "spider" / "dev_sql.json").read_text(encoding="utf-8"))
    return [
        TestQuestion(
            number,
            row["instruction"].split()[0],
            row["input"],
            row["output"],
            row["instruction"],
            "all",
        )
        for number, row in enumerate(rows)
    ]


def _context_rows(real_data: Path) -> list[TrainingRow]:
    """All rows; for the question rule one schema is as good as another, and some are broken."""
    path = real_data / "sql_create_context" / "train.jsonl"
    return [
        TrainingRow(str(n), "context", row["question"], "CREATE TABLE t (a);", row["answer"])
        for n, row in enumerate(read_jsonl(path))
    ]


def _letters(text: str) -> str:
    return "".join(char for char in text.lower() if char.isalnum())
