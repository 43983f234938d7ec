"""The rows on which the tiny base model is trained."""

from __future__ import annotations

import re
import sqlite3

import pytest

from text2sql.builtin.base_rows import SimpleRow, base_rows
from text2sql.builtin.databases import DATABASES
from text2sql.contamination.folding import fold_question
from text2sql.errors import UserError
from text2sql.evaluation.spider.hardness import hardness
from text2sql.prompts import schema_text
from text2sql.schema.ddl import write_ddl

HINT = re.compile(r"/\* (.*?) \*/")


@pytest.fixture(scope="module")
def rows() -> list[SimpleRow]:
    return base_rows(5, 1500, (), types=False)


def test_they_ask_no_forbidden_question() -> None:
    forbidden = {row["question"].upper() for row in base_rows(5, 200, (), False)[:100]}
    others = base_rows(5, 200, forbidden, False)
    folded = {fold_question(question) for question in forbidden}
    assert len(others) == 200
    assert not folded & {fold_question(row["question"]) for row in others}


def test_they_are_the_same_for_the_same_seed_only() -> None:
    assert base_rows(5, 50, (), False) == base_rows(5, 50, (), False)
    assert base_rows(5, 50, (), False) != base_rows(6, 50, (), False)


def test_they_are_of_the_simplest_kinds(rows: list[SimpleRow]) -> None:
    for row in rows:
        assert hardness(row["sql"]) == "easy"
        assert not re.search(r"JOIN|LIMIT|LIKE|\(SELECT|INTERSECT|EXCEPT", row["sql"])


def test_they_use_no_hand_designed_database(rows: list[SimpleRow]) -> None:
    assert not {write_ddl(domain.schema()) for domain in DATABASES} & {row["ddl"] for row in rows}


def test_schemas_are_as_prompts_show_them(rows: list[SimpleRow]) -> None:
    for row in rows:
        assert HINT.sub("", row["schema"]).replace(" ,", ",").replace(" )", ")") == schema_text(
            row["ddl"], False
        )
        sqlite3.connect(":memory:").executescript(row["schema"])


def test_schemas_can_have_types() -> None:
    assert all(
        "TEXT" in row["schema"] or "INTEGER" in row["schema"] for row in base_rows(5, 50, (), types=True)
    )


def test_most_rows_with_a_text_have_it_as_a_hint(rows: list[SimpleRow]) -> None:
    compared = [(row, texts) for row in rows if (texts := re.findall(r"= ('[^']*')", row["sql"]))]
    hinted = [(row, texts) for row, texts in compared if HINT.findall(row["schema"])]
    assert len(compared) > len(rows) / 5
    assert 0.6 < len(hinted) / len(compared) < 0.8
    assert all({*texts} <= {*HINT.findall(row["schema"])} for row, texts in hinted)


def test_a_fifth_have_a_solved_row_before_them_mostly_of_their_kind(rows: list[SimpleRow]) -> None:
    solved = {(row["question"], schema_text(row["ddl"], False), row["sql"]) for row in rows}
    shown = [(row, example) for row in rows for example in row["examples"]]
    assert 0.15 < len(shown) / len(rows) < 0.25
    assert {(example["question"], example["ddl"], example["sql"]) for _, example in shown} <= solved
    alike = sum(_frame(row["sql"]) == _frame(example["sql"]) for row, example in shown)
    assert alike > len(shown) / 2


def _frame(sql: str) -> list[str]:
    return re.findall(r"[A-Z]{2,}", sql)


def test_below_one_is_refused() -> None:
    with pytest.raises(UserError, match="count is 0"):
        base_rows(5, 0, (), False)
