"""Stage convert_schema: validated CREATE TABLE text for every test question."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages import prepare
from stages.convert_schema import main
from tests.openai_server import Reply, Server
from tests.small_raw import (
    DDL,
    PROSE,
    QUESTIONS,
    ROOT,
    SPIDER,
    failure,
    question_line,
    run_stage,
    write_database,
    write_params,
    write_raw,
    write_test,
)
from text2sql.inference.questions import read_chats
from text2sql.records import ConvertedQuestion, read_records

PATHS = {
    "prepared": "data/prepared",
    "databases": "data/raw/databases",
    "output": "data/test",
    "metrics": "metrics/convert_schema.json",
}
RECORDED = {**SPIDER, "recorded_schemas": "answers.jsonl"}
BROKEN_GOLD = {"instruction": PROSE, "input": "Weight?", "output": "SELECT weight FROM item"}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path)
    write_raw(Path("data/raw"), questions=[*QUESTIONS, BROKEN_GOLD])
    run_stage(prepare.main, raw="data/raw", output="data/prepared", metrics="metrics/prepare.json")


def convert(**params: object) -> list[ConvertedQuestion]:
    write_params(Path(), convert_schema=params)
    run_stage(main, **PATHS)
    return read_records("data/test/test.jsonl", ConvertedQuestion)


def figures() -> dict[str, Any]:
    return json.loads(Path(PATHS["metrics"]).read_text())


@pytest.mark.parametrize(
    ("backend", "ddl"),
    [("rules", "CREATE TABLE item (id PRIMARY KEY, name, price);"), ("sqlite", DDL)],
)
def test_each_backend_writes_the_schema_it_reads(backend: str, ddl: str) -> None:
    first = convert(backend=backend)[0]
    assert first == ConvertedQuestion(
        0, "shop", QUESTIONS[0]["input"], QUESTIONS[0]["output"], ddl, "all", backend, (), "shop"
    )


@pytest.mark.parametrize("backend", ["rules", "sqlite"])
def test_a_gold_query_that_does_not_compile_is_listed_and_kept(backend: str) -> None:
    rows = convert(backend=backend)
    assert [len(row.problems) for row in rows] == [0, 0, 0, 1]
    assert rows[3].problems == ("gold does not compile: no such column: weight",)
    assert figures() == {
        "schemas": 1,
        "valid": 1,
        "rows": 4,
        "rows_with_problems": 1,
        "backends": {backend: 1},
        "attempts": 1,
    }


def test_example_values_are_written_as_the_profile_says() -> None:
    assert convert(values="comment")[0].ddl.splitlines()[2] == "  name, -- e.g. 'Tea'"
    assert convert(values="insert")[0].ddl.endswith("INSERT INTO item (name) VALUES ('Tea');")


def test_a_database_gives_as_many_values_as_the_profile_says() -> None:
    path = Path("data/raw/databases/shop/shop.sqlite")
    path.unlink()
    write_database(path, f"{DDL} INSERT INTO item VALUES (1, 'Tea', 2.5), (2, 'Milk', 1.5), (3, 'Jam', 4.0)")
    first = convert(backend="sqlite", values="insert", examples=2)[0]
    assert first.ddl.endswith("VALUES (1, 'Jam', 1.5), (2, 'Milk', 2.5);")


def test_a_model_is_asked_once_a_schema_and_what_it_took_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    with Server(lambda request: Reply(request.right)).running() as server:
        section = yaml.safe_load((ROOT / "params.yaml").read_text())["convert_schema"]["openai"]
        changed = {
            **section,
            "base_url": server.base_url,
            "usd_per_million_in": 1.0,
            "usd_per_million_out": 2.0,
        }
        rows = convert(backend="openai", openai=changed)
        convert(backend="openai", openai={**changed, "cap_usd": 9.0})
    assert len(server.requests) == 1
    assert {row.backend for row in rows} == {"openai"}
    assert figures()["spending"] == {"answers": 1, "tokens_in": 100, "tokens_out": 10, "usd": 0.00012}


def test_recorded_schemas_are_used_as_they_are_and_their_faults_are_listed() -> None:
    answers = ["<sql>-- mine\nCREATE TABLE item (id PRIMARY KEY, name, price);</sql>"] * 2
    answers += ["<sql>CREATE TABLE item (</sql>", "<sql>CREATE TABLE item (id PRIMARY KEY, name);</sql>"]
    record(answers)
    write_params(Path(), fetch_data=RECORDED, convert_schema={"backend": "recorded"})
    run_stage(main, **PATHS)
    rows = read_records("data/test/test.jsonl", ConvertedQuestion)
    assert [f"<sql>{row.ddl}</sql>" for row in rows] == answers
    assert {row.backend for row in rows} == {"recorded"}
    assert [len(row.problems) for row in rows] == [0, 0, 2, 2]
    assert figures()["schemas"] == 3 and figures()["valid"] == 1


def test_a_recorded_schema_that_sqlite_refuses_is_still_used(
    capsys: pytest.CaptureFixture[str],
) -> None:
    record(["<sql>CREATE TABLE 1item (id INT);</sql>"] * 4)
    write_params(Path(), fetch_data=RECORDED, convert_schema={"backend": "recorded"})
    run_stage(main, **PATHS)
    path = Path("data/test/test.jsonl")
    texts = {chat.messages[1]["content"] for types in (True, False) for chat in read_chats(path, types)}
    assert texts == {f"CREATE TABLE 1item (id INT);\n{row['input']}" for row in [*QUESTIONS, BROKEN_GOLD]}
    assert "test.jsonl, record 4: column types are kept in the prompt: " in capsys.readouterr().err


def test_a_question_without_a_recorded_schema_is_named() -> None:
    record(["<sql>CREATE TABLE item (id);</sql>", "", "", ""])
    write_params(Path(), fetch_data=RECORDED, convert_schema={"backend": "recorded"})
    said = failure(main, **PATHS)
    assert "data/prepared/test.jsonl, row 1 (database shop): no schema is recorded" in said


def record(answers: list[str]) -> None:
    """Prepare the questions anew, each with its answer under `table_creating`."""
    rows = [*QUESTIONS, BROKEN_GOLD]
    told = [{**row, "table_creating": answer} for row, answer in zip(rows, answers, strict=True)]
    write_test(Path("data/raw"), shop=map(question_line, told))
    run_stage(prepare.main, raw="data/raw", output="data/prepared", metrics="metrics/prepare.json")


def test_distinct_prose_of_one_database_is_converted_apart() -> None:
    path = Path("data/prepared/test.jsonl")
    path.write_text(path.read_text().replace("such as Tea.", "such as Coffee.", 1))
    convert(backend="rules")
    assert figures()["schemas"] == 2


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
    error = failure(main, **PATHS)
    assert "data/prepared/test.jsonl, row 0 (database shop): schema prose does not fit" in error
    assert "dvc repro fetch_data" in error
    assert not Path("data/test").exists()


def test_missing_and_empty_questions_are_named() -> None:
    Path("data/prepared/test.jsonl").write_text("")
    assert "has no question" in failure(main, **PATHS)
    Path("data/prepared/test.jsonl").unlink()
    assert "test.jsonl: no such file" in failure(main, **PATHS)


# -- test sets without prose --

BARE = {"question": "How many items?", "gold": "SELECT count(*) FROM item"}
TEXT = "CREATE TABLE item (id INTEGER)"


def prepare_sets(**sets: list[dict[str, str]]) -> None:
    """Prepare these sets anew."""
    write_test(Path("data/raw"), **sets)
    run_stage(prepare.main, raw="data/raw", output="data/prepared", metrics="metrics/prepare.json")
    write_params(Path(), convert_schema={"backend": "sqlite"})


@pytest.mark.parametrize("backend", ["rules", "sqlite"])
def test_questions_with_a_database_only_are_converted_beside_others(backend: str) -> None:
    prepare_sets(first=[question_line(QUESTIONS[0])], bare=[{**BARE, "db_id": "shop"}])
    first, second = convert(backend=backend)
    assert (first.test_set, first.backend) == ("first", backend)
    assert (second.test_set, second.backend, second.ddl) == ("bare", "sqlite", DDL)


def test_a_question_without_gold_has_no_gold_problem() -> None:
    prepare_sets(bare=[{"db_id": "shop", "question": "How many items?"}])
    (row,) = convert(backend="sqlite")
    assert (row.gold, row.problems) == ("", ())


def test_a_known_schema_needs_no_database() -> None:
    prepare_sets(bare=[{**BARE, "db_id": "gone", "schema": TEXT}, {**BARE, "db_id": "", "schema": TEXT}])
    rows = convert(backend="sqlite")
    assert [(row.backend, row.ddl) for row in rows] == [("rules", "CREATE TABLE item (id INTEGER);")] * 2


def test_missing_databases_are_one_sentence_with_the_set_their_number_and_the_remedy() -> None:
    missing = [{**BARE, "db_id": f"base{number}"} for number in (3, 1, 0, 2, 0)]
    known = {**BARE, "db_id": "known", "schema": TEXT}
    prepare_sets(bare=[*missing, known, {**BARE, "db_id": "shop"}])
    said = failure(main, **PATHS)
    assert "error: data/raw/databases/base0/base0.sqlite: no such file; " in said
    assert "4 of 5 databases of test set bare are missing: base0, base1, base2, base3; put each as" in said
    assert "`dvc repro fetch_data`" in said and len(said.strip().splitlines()) == 1
    assert not Path("data/test").exists()


def test_a_schema_that_does_not_execute_is_named_by_its_row() -> None:
    prepare_sets(bare=[{**BARE, "db_id": "gone", "schema": "CREATE TABLE item ("}])
    said = failure(main, **PATHS)
    assert "test.jsonl, row 0 (database gone): no table can be read from its CREATE TABLE text: " in said
