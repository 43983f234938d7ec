"""Stage prepare: canonical rows, rejected rows, refused tests."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from stages.prepare import main
from tests.small_raw import (
    DDL,
    PROSE,
    QUESTIONS,
    ROWS,
    failure,
    question_line,
    read_lines,
    run_stage,
    write_params,
    write_raw,
    write_test,
)
from text2sql.records import TestQuestion, TrainingRow, read_records

GOOD = ROWS[0]
PATHS = {"raw": "data/raw", "output": "data/prepared", "metrics": "metrics/prepare.json"}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path)


def prepare(*rows: object) -> tuple[list[TrainingRow], list[Any]]:
    """Kept and rejected rows of one training file."""
    write_raw(Path("data/raw"), rows)
    run_stage(main, **PATHS)
    kept = read_records("data/prepared/train.jsonl", TrainingRow)
    return kept, read_lines("data/prepared/rejected.jsonl")


def test_every_shape_of_row_takes_the_one_form() -> None:
    kept, rejected = prepare(*ROWS)
    assert [row.id for row in kept] == ["made:0", "made:1", "made:2", "made:3"]
    assert kept[0] == TrainingRow(
        "made:0", "made", "List every name.", DDL, "SELECT name FROM item ORDER BY name"
    )
    assert kept[2].ddl == "CREATE TABLE item (id PRIMARY KEY, name, price);"
    assert rejected == []


def test_one_schema_written_in_two_ways_takes_the_one_form() -> None:
    text = 'create table "item" (id INTEGER NOT NULL primary key,\r\n name TEXT, price REAL)'
    (row,), _ = prepare({**GOOD, "context": text})
    assert row.ddl == DDL


BROKEN = [
    ([1], "not an object"),
    ("text", "not an object"),
    (None, "not an object"),
    ({}, "unknown form of row"),
    ({"question": "a", "answer": "b"}, "missing schema"),
    ({**GOOD, "question": " \n"}, "missing question"),
    ({**GOOD, "question": None}, "missing question"),
    ({**GOOD, "context": ""}, "missing schema"),
    ({**GOOD, "answer": ""}, "missing SQL"),
    ({**GOOD, "answer": None}, "missing SQL"),
    ({**GOOD, "answer": 7}, "SQL is not text"),
    ({**GOOD, "question": {"text": "a"}}, "question is not text"),
    ({**GOOD, "question": "a" * 1_000_000}, "question is too long"),
    ({**GOOD, "answer": "SELECT naem FROM item"}, "SQL names an unknown column"),
    ({"question": "a", "context": DDL}, "missing SQL"),
    ({**GOOD, "context": "CREATE TABLE t ("}, "DDL does not execute"),
    ({**GOOD, "context": "SELECT 1"}, "DDL does not execute"),
    ({**GOOD, "context": "ATTACH 'x.db' AS x"}, "DDL does not execute"),
    ({**GOOD, "context": PROSE[:-5]}, "schema prose does not fit"),
    ({**GOOD, "answer": "SELECT FROM WHERE ("}, "SQL does not parse as one query"),
    ({**GOOD, "answer": "DROP TABLE item"}, "SQL does not parse as one query"),
    ({**GOOD, "answer": "SELECT 1; SELECT 2"}, "SQL does not parse as one query"),
    ({**GOOD, "question": "a\0b"}, "NUL or broken Unicode"),
    ({**GOOD, "answer": "SELECT '\ud800'"}, "NUL or broken Unicode"),
]


def test_a_broken_row_is_rejected_with_its_reason() -> None:
    write_params(Path(), prepare={"max_rejected": 100.0})
    kept, rejected = prepare(GOOD, *(row for row, _ in BROKEN))
    assert [row.id for row in kept] == ["made:0"]
    assert all(left_out.pop("detail") is not None for left_out in rejected)
    expected = [
        {"source": "made", "row": number, "reason": reason, "text": json.dumps(row)}
        for number, (row, reason) in enumerate(BROKEN, 1)
    ]
    assert rejected == expected
    metrics = json.loads(Path("metrics/prepare.json").read_text())
    assert metrics["sources"]["made"]["rejected_by_reason"] == Counter(reason for _, reason in BROKEN)
    assert metrics["train"] == {"read": 25, "rejected": 24, "beyond_limit": 0, "kept": 1}


def test_emoji_carriage_returns_and_a_byte_order_mark_are_no_fault() -> None:
    write_raw(Path("data/raw"))
    line = json.dumps({**GOOD, "question": "Tea 🫖?"}, ensure_ascii=False)
    content = b"\xef\xbb\xbf" + f"{line}\r\n\r\n{line}\r\n".encode()
    Path("data/raw/train/made.jsonl").write_bytes(content)
    run_stage(main, **PATHS)
    rows = read_records("data/prepared/train.jsonl", TrainingRow)
    assert [row.question for row in rows] == ["Tea 🫖?"] * 2


@pytest.mark.parametrize("line", [b'{"question": "a', b"\xff\xfe", b"\0", b"{} {}"])
def test_a_line_that_is_not_json_costs_one_row(line: bytes) -> None:
    write_raw(Path("data/raw"))
    with open("data/raw/train/made.jsonl", "ab") as file:
        file.write(line + b"\n")
    run_stage(main, **PATHS)
    (rejected,) = read_lines("data/prepared/rejected.jsonl")
    assert rejected["row"] == 4 and rejected["reason"] in ("not JSON", "not UTF-8")


def test_a_source_that_is_read_in_a_wrong_way_stops_the_stage_and_leaves_nothing() -> None:
    write_raw(Path("data/raw"), [{"nl": "a", "ddl": DDL, "query": "SELECT 1"}] * 9)
    said = failure(main, **PATHS)
    assert "made.jsonl: 9 of 9 rows cannot be used" in said
    assert "unknown form of row; for example row 0 (its keys are nl, ddl, query)" in said
    assert "prepare.sources.made: columns" in said
    assert not Path("data/prepared").exists() and not Path("metrics").exists()


def test_missing_training_files_are_named() -> None:
    write_raw(Path("data/raw"))
    Path("data/raw/train/made.jsonl").unlink()
    assert "has no training file" in failure(main, **PATHS)


def test_an_empty_training_file_is_an_error() -> None:
    write_raw(Path("data/raw"), [])
    assert "made.jsonl: is empty" in failure(main, **PATHS)


def test_a_limit_keeps_rows_of_every_source_in_proportion() -> None:
    write_raw(Path("data/raw"), [GOOD] * 30)
    lines = (json.dumps(GOOD) + "\n") * 10
    Path("data/raw/train/other.jsonl").write_text(lines)
    write_params(Path(), prepare={"train_limit": 8, "test_limit": 2})
    run_stage(main, **PATHS)
    metrics = json.loads(Path("metrics/prepare.json").read_text())
    assert {name: own["kept"] for name, own in metrics["sources"].items()} == {"made": 6, "other": 2}
    assert metrics["test"] == {"shop": {"read": 3, "beyond_limit": 1, "kept": 2, "without_gold": 0}}
    rows = read_records("data/prepared/test.jsonl", TestQuestion)
    assert [row.row for row in rows] == [0, 1]


def test_rows_of_a_table_are_read_by_the_columns_in_the_parameters() -> None:
    write_raw(Path("data/raw"), [])
    Path("data/raw/train/made.jsonl").unlink()
    Path("data/raw/train/sheet.csv").write_text(f'nl,ddl,query\nWhat?,"{DDL}",SELECT id FROM item;\n')
    columns = {"question": "nl", "schema": "ddl", "sql": "query"}
    write_params(Path(), prepare={"sources": {"sheet": {"columns": columns}}})
    run_stage(main, **PATHS)
    rows = read_records("data/prepared/train.jsonl", TrainingRow)
    assert rows == [TrainingRow("sheet:0", "sheet", "What?", DDL, "SELECT id FROM item")]


def test_a_query_with_unknown_names_is_kept_where_only_parsing_is_asked_for() -> None:
    write_params(Path(), prepare={"sql_check": "parse"})
    kept, _ = prepare({**GOOD, "answer": "SELECT naem FROM item"})
    assert [row.sql for row in kept] == ["SELECT naem FROM item"]


def test_rows_with_the_same_id_of_their_own_get_different_ids() -> None:
    kept, _ = prepare({**GOOD, "id": 1}, {**GOOD, "id": 1})
    assert [row.id for row in kept] == ["made:0", "made:1"]


def test_test_questions_keep_their_row_database_and_slice() -> None:
    prepare(*ROWS)
    rows = read_records("data/prepared/test.jsonl", TestQuestion)
    assert rows[0] == TestQuestion(
        0, "shop", "How many items are there?", "SELECT count(*) FROM item", PROSE, "all", test_set="shop"
    )
    assert [row.slice for row in rows] == ["all", "all", "seen"]


def test_recorded_schemas_go_with_their_questions_and_leave_no_trace_where_there_are_none() -> None:
    write_raw(Path("data/raw"), questions=[QUESTIONS[0], {**QUESTIONS[1], "table_creating": " <sql>a</sql>"}])
    run_stage(main, **PATHS)
    assert [row.get("recorded") for row in read_lines("data/prepared/test.jsonl")] == [None, "<sql>a</sql>"]
    rows = read_records("data/prepared/test.jsonl", TestQuestion)
    assert [row.recorded for row in rows] == ["", "<sql>a</sql>"]


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("recorded", "CREATE \ud800", "'recorded' is not valid"),
        ("question", "", "'question' is missing"),
        ("question", None, "'question' is missing"),
        ("gold", "SELECT \0", "'gold' is not valid"),
        ("gold", 1, "'gold' is not valid"),
        ("schema", 3, "'schema' is not valid"),
        ("schema", "shop has tables.", "schema prose does not fit"),
        ("db_id", ["shop"], "'db_id' is not valid"),
    ],
)
def test_a_broken_test_question_is_an_error_that_names_its_row(key: str, value: object, named: str) -> None:
    write_raw(Path("data/raw"))
    lines = [*map(question_line, QUESTIONS), {**question_line(QUESTIONS[0]), key: value}]
    write_test(Path("data/raw"), first=[QUESTION], shop=lines)
    said = failure(main, **PATHS)
    assert "test/shop.jsonl, row 3: " in said and named in said and "dvc repro fetch_data" in said
    assert not Path("data/prepared").exists()


@pytest.mark.parametrize("lines", [[], [1], ["x"]])
def test_a_test_file_of_another_shape_is_refused(lines: list[object]) -> None:
    write_raw(Path("data/raw"))
    write_test(Path("data/raw"), shop=lines)
    assert "test/shop.jsonl" in failure(main, **PATHS)


@pytest.mark.parametrize("text", ["", "[]", "{}", "[1]", '"shop"'])
def test_a_broken_list_of_test_sets_is_refused(text: str) -> None:
    write_raw(Path("data/raw"))
    Path("data/raw/test_sets.json").write_text(text)
    assert "test_sets.json" in failure(main, **PATHS)


def test_a_listed_test_set_that_is_missing_is_named() -> None:
    write_raw(Path("data/raw"))
    Path("data/raw/test/shop.jsonl").unlink()
    assert "test/shop.jsonl: no such file" in failure(main, **PATHS)


QUESTION = {"db_id": "mall", "question": "How many shops?", "schema": "CREATE TABLE shop (id);"}


def test_rows_are_numbered_over_all_sets_and_a_limit_applies_to_each() -> None:
    write_raw(Path("data/raw"))
    mall = [{**QUESTION, "gold": "SELECT 1"}, QUESTION, {**QUESTION, "gold": " "}, QUESTION]
    write_test(Path("data/raw"), mall=mall, shop=map(question_line, QUESTIONS), one=[QUESTION])
    write_params(Path(), prepare={"test_limit": 2})
    run_stage(main, **PATHS)
    rows = read_records("data/prepared/test.jsonl", TestQuestion)
    assert [(row.row, row.test_set) for row in rows] == [
        (0, "mall"),
        (2, "mall"),
        (4, "shop"),
        (5, "shop"),
        (7, "one"),
    ]
    assert [row.gold for row in rows[:2]] == ["SELECT 1", ""]
    assert json.loads(Path("metrics/prepare.json").read_text())["test"] == {
        "mall": {"read": 4, "beyond_limit": 2, "kept": 2, "without_gold": 1},
        "shop": {"read": 3, "beyond_limit": 1, "kept": 2, "without_gold": 0},
        "one": {"read": 1, "beyond_limit": 0, "kept": 1, "without_gold": 1},
    }


def test_a_question_needs_neither_a_database_file_nor_a_schema() -> None:
    write_raw(Path("data/raw"))
    write_test(Path("data/raw"), mall=[QUESTION, {"db_id": "gone", "question": "How many?"}])
    run_stage(main, **PATHS)
    rows = read_records("data/prepared/test.jsonl", TestQuestion)
    assert [(row.db_id, row.schema) for row in rows] == [("mall", "CREATE TABLE shop (id);"), ("gone", "")]


def test_the_list_of_planted_leaks_is_carried_on() -> None:
    write_raw(Path("data/raw"))
    Path("data/raw/planted.json").write_text("[]")
    run_stage(main, **PATHS)
    assert Path("data/prepared/planted.json").read_text() == "[]"


def test_two_runs_write_the_same_bytes() -> None:
    write_raw(Path("data/raw"))
    run_stage(main, **PATHS)
    before = {path: path.read_bytes() for path in Path("data/prepared").iterdir()}
    run_stage(main, **PATHS)
    assert before == {path: path.read_bytes() for path in Path("data/prepared").iterdir()}
