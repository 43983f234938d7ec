"""Stage convert_schema: validated CREATE TABLE text for every test question."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stages import prepare
from stages.convert_schema import checked, gold_problem, main
from tests.small_raw import DDL, PROSE, QUESTIONS, failure, run_stage, write_params, write_raw
from text2sql.records import ConvertedQuestion, read_records
from text2sql.schema.model import Column, Schema, Table

PATHS = {
    "prepared": "data/prepared",
    "databases": "data/raw/databases",
    "output": "data/test",
    "metrics": "metrics/convert_schema.json",
}
BROKEN_GOLD = {"instruction": PROSE, "input": "Weight?", "output": "SELECT weight FROM item"}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path)
    write_raw(Path("data/raw"), questions=[*QUESTIONS, BROKEN_GOLD])
    run_stage(prepare.main, raw="data/raw", output="data/prepared", metrics="metrics/prepare.json")


def convert(backend: str) -> list[ConvertedQuestion]:
    write_params(Path(), convert_schema={"backend": backend})
    run_stage(main, **PATHS)
    return read_records("data/test/test.jsonl", ConvertedQuestion)


@pytest.mark.parametrize(
    ("backend", "ddl"),
    [("rules", "CREATE TABLE item (id PRIMARY KEY, name, price);"), ("sqlite", DDL)],
)
def test_each_backend_writes_the_schema_it_reads(backend: str, ddl: str) -> None:
    first = convert(backend)[0]
    assert first == ConvertedQuestion(
        0, "shop", QUESTIONS[0]["input"], QUESTIONS[0]["output"], ddl, "all", backend, ()
    )


@pytest.mark.parametrize("backend", ["rules", "sqlite"])
def test_a_gold_query_that_does_not_compile_is_listed_and_kept(backend: str) -> None:
    rows = convert(backend)
    assert [len(row.problems) for row in rows] == [0, 0, 0, 1]
    assert rows[3].problems == ("gold does not compile: no such column: weight",)
    figures = json.loads(Path(PATHS["metrics"]).read_text())
    assert figures == {"schemas": 1, "valid": 1, "rows": 4, "rows_with_problems": 1}


def test_distinct_prose_of_one_database_is_converted_apart() -> None:
    path = Path("data/prepared/test.jsonl")
    path.write_text(path.read_text().replace("such as Tea.", "such as Coffee.", 1))
    convert("rules")
    assert json.loads(Path(PATHS["metrics"]).read_text())["schemas"] == 2


@pytest.mark.parametrize(
    ("gold", "said"),
    [
        ("SELECT 1; SELECT 2", "one statement"),
        ("SELECT \0", "gold does not compile"),
        ("nonsense 🫖", "syntax error"),
        ("SELECT name FROM shelf", "no such table: shelf"),
        ('SELECT name FROM item WHERE name = "Tea"', ""),
    ],
)
def test_what_is_wrong_with_a_gold_query_is_told(gold: str, said: str) -> None:
    assert said in gold_problem(DDL, gold)
    assert bool(said) == bool(gold_problem(DDL, gold))


def test_a_gold_query_is_never_run() -> None:
    assert gold_problem(DDL, "DELETE FROM item") == ""
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT count(*) FROM n"
    assert gold_problem(DDL, endless) == ""


def test_a_schema_that_sqlite_refuses_is_a_problem_of_its_rows() -> None:
    twice = Schema((Table("t", (Column("a"), Column("A"))),))
    assert "duplicate column name" in checked(twice).problem


def test_a_schema_that_comes_back_different_is_a_problem() -> None:
    reserved = Schema((Table("t", (Column("a"),)), Table("sqlite_stat", (Column("b"),))))
    assert checked(reserved).problem == "schema: tables or columns differ from the source"


@pytest.mark.parametrize("content", [None, b"", b"not a database " * 99])
def test_a_database_that_does_not_open_is_named(content: bytes | None) -> None:
    write_params(Path(), convert_schema={"backend": "sqlite"})
    path = Path("data/raw/databases/shop/shop.sqlite")
    path.unlink() if content is None else path.write_bytes(content)
    assert "shop.sqlite" in failure(main, **PATHS)
    assert not Path("data/test").exists() and not Path(PATHS["metrics"]).exists()


def test_prose_that_does_not_fit_is_named_by_its_row() -> None:
    path = Path("data/prepared/test.jsonl")
    path.write_text(path.read_text().replace("Table item has", "Table thing has"))
    assert "test row 0: schema prose does not fit" in failure(main, **PATHS)
    assert not Path("data/test").exists()


def test_missing_and_empty_questions_are_named() -> None:
    Path("data/prepared/test.jsonl").write_text("")
    assert "holds no question" in failure(main, **PATHS)
    Path("data/prepared/test.jsonl").unlink()
    assert "test.jsonl: no such file" in failure(main, **PATHS)
