"""`text2sql convert-schema`: from DB-GPT's rows to CREATE TABLE text."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.conftest import ROOT
from tests.openai_server import Reply, Server
from text2sql.cli import main
from text2sql.errors import RERUN

PROSE = (
    "shop contains tables such as item. Table item has columns such as id, name. "
    "id is the primary key. The name contains values such as Tea."
)
ROWS: list[dict[str, Any]] = [
    {"instruction": PROSE, "input": "How many?", "output": "SELECT count(*) FROM item"},
    {"instruction": PROSE.replace("shop", "store"), "input": "Names?", "output": "SELECT name FROM item"},
    {"instruction": PROSE, "input": "How heavy?", "output": "SELECT weight FROM item"},
]
DDL = "CREATE TABLE item (id PRIMARY KEY, name);"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with rows.json and the database `shop`."""
    monkeypatch.chdir(tmp_path)
    Path("rows.json").write_text(json.dumps(ROWS))
    Path("db/shop").mkdir(parents=True)
    with closing(sqlite3.connect("db/shop/shop.sqlite")) as connection:
        connection.execute("CREATE TABLE Item (ID INTEGER PRIMARY KEY, Name TEXT)")
    return tmp_path


def convert(*options: str, rows: str = "rows.json", backend: str = "rules") -> Result:
    arguments = ["--input", rows, "--output", "out/ddl.jsonl", "--backend", backend]
    return CliRunner().invoke(main, ["convert-schema", *arguments, *options])


def results(*options: str, rows: str = "rows.json", backend: str = "rules") -> list[dict[str, Any]]:
    result = convert(*options, rows=rows, backend=backend)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in Path("out/ddl.jsonl").read_text().splitlines()]


def error_of(result: Result) -> str:
    assert result.exit_code == 1
    assert result.stdout == ""
    assert not Path("out/ddl.jsonl").exists()
    return result.stderr[result.stderr.index("error: ") :]


# -- what it writes --


def test_generated_columns_of_a_database_are_listed() -> None:
    with closing(sqlite3.connect("db/shop/shop.sqlite")) as connection:
        connection.execute("ALTER TABLE Item ADD COLUMN total REAL AS (ID * 2)")
        connection.execute("CREATE TABLE line (qty INT, vat REAL GENERATED ALWAYS AS (qty * 0.2) STORED)")
    Path("shop.json").write_text(json.dumps(ROWS[:1]))
    (row,) = results("--database-dir", "db", rows="shop.json", backend="sqlite")
    assert row["ddl"] == (
        "CREATE TABLE Item (ID INTEGER PRIMARY KEY, Name TEXT, total REAL);\n"
        "CREATE TABLE line (qty INT, vat REAL);"
    )


def test_a_line_a_row_is_written_in_input_order_with_the_documented_fields() -> None:
    rows = results()
    expected = {"row": 0, "db_id": "shop", "ddl": DDL, "backend": "rules", "attempts": 1, "problems": []}
    assert rows[0] == expected
    assert [(row["row"], row["db_id"]) for row in rows] == [(0, "shop"), (1, "store"), (2, "shop")]


def test_a_gold_query_that_does_not_compile_is_listed_with_the_reason() -> None:
    assert results()[2]["problems"] == ["gold does not compile: no such column: weight"]


def test_counts_and_every_row_with_a_problem_are_printed() -> None:
    assert convert().stdout.splitlines() == [
        "schemas: 2 (2 by rules), 0 with problems",
        "rows: 3",
        "gold queries that compile: 2 of 3",
        "row 2 (shop): gold does not compile: no such column: weight",
    ]


def test_lines_of_json_are_read_as_a_list_is() -> None:
    expected = results()
    Path("rows.jsonl").write_text("\ufeff" + "\r\n\r\n".join(map(json.dumps, ROWS)), encoding="utf-8")
    assert results(rows="rows.jsonl") == expected


def test_values_are_written_as_asked() -> None:
    assert results("--values", "comment")[0]["ddl"].splitlines()[2] == "  name -- e.g. 'Tea'"
    assert results("--values", "insert")[0]["ddl"] == f"{DDL}\nINSERT INTO item (name) VALUES ('Tea');"


def test_a_row_without_gold_is_converted_and_not_counted_among_them() -> None:
    Path("rows.json").write_text(json.dumps([{"instruction": PROSE}, ROWS[0]]))
    assert "gold queries that compile: 1 of 1" in convert().stdout


def test_a_database_is_found_by_the_proses_first_word_or_by_db_id() -> None:
    told = [ROWS[0], {**ROWS[1], "db_id": "shop"}]
    Path("rows.json").write_text(json.dumps(told))
    rows = results("--database-dir", "db", backend="sqlite")
    assert [row["ddl"] for row in rows] == ["CREATE TABLE Item (ID INTEGER PRIMARY KEY, Name TEXT);"] * 2
    assert {row["backend"] for row in rows} == {"sqlite"}


def test_the_commands_of_the_page_work_as_they_are_written() -> None:
    page = (ROOT / "docs" / "schemas.md").read_text(encoding="utf-8")
    commands = re.findall(
        r"^text2sql (convert-schema .*--backend (?:rules|sqlite|recorded).*)$", page, re.MULTILINE
    )
    Path("rows.json").write_text(json.dumps([ROWS[0]]))
    Path("rows.json").rename("dev_sql.json")
    Path("dev_sql_llm_response.jsonl").write_text(json.dumps({**ROWS[0], "table_creating": DDL}))
    Path("db").rename("database")
    assert len(commands) == 3
    for command in commands:
        assert CliRunner().invoke(main, command.split()).exit_code == 0
        assert json.loads(Path("schemas.jsonl").read_text())["problems"] == []


def test_recorded_schemas_are_taken_from_the_rows() -> None:
    answers = [{**row, "table_creating": "<sql>CREATE TABLE item (id, kg</sql>"} for row in ROWS]
    Path("rows.json").write_text(json.dumps(answers))
    row = results(backend="recorded")[0]
    assert (row["ddl"], row["backend"]) == ("CREATE TABLE item (id, kg", "recorded")
    assert row["problems"][0] == "CREATE TABLE text does not execute in SQLite: incomplete input"


SPIDER = {"db_id": "shop", "question": "How many?", "query": "SELECT count(*) FROM item"}
BIRD = {"db_id": "shop", "question": "How heavy?", "evidence": "", "SQL": "SELECT weight FROM item"}


@pytest.mark.parametrize("backend", ["sqlite", "rules", "recorded"])
@pytest.mark.parametrize("place", ["db/shop/shop.sqlite", "db/shop.sqlite", "db/shop.db"])
def test_rows_of_spider_and_bird_are_read_from_their_databases(place: str, backend: str) -> None:
    Path("db/shop/shop.sqlite").rename(place)
    Path("rows.json").write_text(json.dumps([SPIDER, BIRD]))
    rows = results("--database-dir", "db", backend=backend)
    assert {row["backend"] for row in rows} == {"sqlite"}
    assert [row["ddl"] for row in rows] == ["CREATE TABLE Item (ID INTEGER PRIMARY KEY, Name TEXT);"] * 2
    assert [row["problems"] for row in rows] == [[], ["gold does not compile: no such column: weight"]]


def test_rows_with_and_without_prose_are_converted_together() -> None:
    Path("rows.json").write_text(json.dumps([ROWS[0], SPIDER]))
    assert [row["backend"] for row in results("--database-dir", "db")] == ["rules", "sqlite"]


def test_without_a_folder_of_databases_a_row_needs_prose() -> None:
    Path("rows.json").write_text(json.dumps([SPIDER]))
    said = error_of(convert())
    assert "rows.json, row 0: no text under `instruction`" in said and "--database-dir" in said


# -- the language model --


def test_a_model_is_asked_once_a_schema_and_never_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    with Server(lambda request: Reply(request.right)).running() as server:
        prices = ["--usd-per-million-in", "1", "--usd-per-million-out", "2", "--cap-usd", "5"]
        options = ["--base-url", server.base_url, "--model", "writer", *prices]
        first = convert(*options, backend="openai")
        again = convert(*options, backend="openai")
    assert len(server.requests) == 2
    assert first.stdout == again.stdout
    assert "schemas: 2 (2 by openai), 0 with problems" in first.stdout
    assert "answers: 2, 200 tokens read, 20 written, 0.0002 US dollars" in first.stdout
    assert Path("out/ddl.jsonl.answers").is_dir()


def test_after_faulty_answers_the_rules_convert_the_schema_and_the_rows_say_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    with Server(lambda _: Reply("CREATE TABLE item (id PRIMARY KEY);")).running() as server:
        options = ["--base-url", server.base_url, "--model", "writer", "--max-repairs", "1"]
        first = results(*options, backend="openai")[0]
    assert (first["ddl"], first["backend"], first["attempts"]) == (DDL, "rules", 3)
    assert "column name of table item is missing: add it" in first["problems"][0]


# -- what is wrong with what is asked --


@pytest.mark.parametrize(
    ("backend", "options", "said"),
    [
        ("sqlite", [], "--backend sqlite needs --database-dir"),
        ("sqlite", ["--database-dir", "none"], "none/shop/shop.sqlite: no such database file"),
        ("openai", ["--model", "m"], "--backend openai needs --base-url"),
        ("openai", ["--base-url", "http://x/v1"], "--backend openai needs --model"),
        ("openai", ["--base-url", "http://x/v1", "--model", "m", "--cap-usd", "1"], "without prices"),
    ],
)
def test_an_option_that_is_missing_is_named(backend: str, options: list[str], said: str) -> None:
    assert said in error_of(convert(*options, backend=backend))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--output", "./rows.json"], "rows.json: --input and --output are the same"),
        (["--output", "out/../rows.json"], "rows.json: --input and --output are the same"),
        (["--output", "db", "--database-dir", "db"], "db: --database-dir and --output are the same"),
        (["--output", "x", "--work", "x"], "x: --output would replace --work, which is in it"),
        (["--output", "x/answers.jsonl", "--work", "x"], "x/answers.jsonl: --output and --work are the same"),
    ],
)
def test_an_output_that_would_replace_another_file_is_refused(options: list[str], said: str) -> None:
    before = Path("rows.json").read_bytes()
    model = ["--base-url", "http://127.0.0.1:9/v1", "--model", "m"] if "--work" in options else []
    result = convert(*options, *model, backend="openai" if model else "rules")
    assert said in error_of(result)
    assert Path("rows.json").read_bytes() == before and Path("db/shop/shop.sqlite").exists()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("[]", "rows.json: has no rows"),
        ("{}", "rows.json: expected a JSON list"),
        ("", "rows.json, line 1: not JSON"),
        ("[1]", "rows.json, row 0: expected an object"),
        ("[" * 100_000, "rows.json: lists or objects are nested too deep"),
        (json.dumps([ROWS[0], {"input": "Why?"}]), "rows.json, row 1: no text under `instruction`"),
        (json.dumps([{**ROWS[0], "output": 3}]), "rows.json, row 0: no text under `output`"),
        (json.dumps([{**ROWS[0], "db_id": " "}]), "rows.json, row 0: no text under `db_id`"),
        (json.dumps([{**ROWS[0], "output": "\ud800"}]), "row 0: `output` contains half of a surrogate pair"),
        (json.dumps([{"instruction": "A shop."}]), "rows.json, row 0: schema prose does not fit"),
        (
            json.dumps([ROWS[0], {"instruction": PROSE.removesuffix(".")}]),
            "rows.json, row 1 (database shop): schema",
        ),
    ],
)
def test_rows_that_do_not_fit_are_named(rows: str, said: str) -> None:
    Path("rows.json").write_text(rows)
    assert said in error_of(convert())


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "row 1 (database store): no schema is recorded for it; fix the row"),
        ("I cannot.", "row 1 (database store): no schema is recorded for it; fix the row"),
        (["x"], "row 1: no text under `table_creating`"),
    ],
)
def test_a_row_without_a_recorded_schema_is_named(answer: object, said: str) -> None:
    rows = [{**ROWS[0], "table_creating": DDL}, {**ROWS[1], "table_creating": answer}]
    Path("rows.json").write_text(json.dumps(rows))
    assert said in error_of(convert(backend="recorded"))


def test_a_line_that_is_no_json_is_named() -> None:
    Path("rows.jsonl").write_text(f"{json.dumps(ROWS[0])}\n{{\n")
    assert "rows.jsonl, line 2: not JSON" in error_of(convert(rows="rows.jsonl"))


def test_a_missing_file_is_named() -> None:
    assert "none.json: no such file; fix --input" in error_of(convert(rows="none.json"))


def test_a_full_disk_is_one_line_with_the_file(small_disk: Path) -> None:
    rows = [{**ROWS[0], "instruction": PROSE.replace("shop", f"shop{n}")} for n in range(3000)]
    Path("rows.json").write_text(json.dumps(rows))
    output = small_disk / "ddl.jsonl"
    said = error_of(convert("--output", str(output)))
    assert said == f"error: {output}: No space left on device; free some space on that disk, then {RERUN}\n"


def test_a_gold_query_may_have_a_megabyte() -> None:
    long = "SELECT '" + "🫖" * 250_000 + "' FROM item"
    Path("rows.json").write_text(json.dumps([{**ROWS[0], "output": long}]))
    assert results()[0]["problems"] == []
