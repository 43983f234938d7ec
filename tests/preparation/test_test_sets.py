"""Files of test questions: each format is recognised and gives the one form; what does not fit is named."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.small_raw import DDL, PROSE, write_database
from text2sql.errors import UserError
from text2sql.preparation.outside_data import OutsideFolder, OutsideSchemas
from text2sql.preparation.settings import QuestionFile
from text2sql.preparation.test_sets import QuestionReader, add_recorded

SPIDER = {"db_id": "shop", "question": "How many?", "query": "SELECT count(*) FROM item", "sql": {"from": 1}}
EXPECTED = {"db_id": "shop", "question": "How many?", "gold": "SELECT count(*) FROM item", "schema": DDL}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the databases shop and mall in dbs."""
    monkeypatch.chdir(tmp_path)
    for name in ("shop", "mall"):
        write_database(tmp_path / "dbs" / name / f"{name}.sqlite")
    return tmp_path


def lines(*rows: object, file: str = "rows.json", **settings: Any) -> list[dict[str, str]]:
    """The questions of a file with these rows; its databases are in dbs."""
    if rows:
        Path(file).write_text(json.dumps(rows), encoding="utf-8")
    source = QuestionFile(**{"file": file, "databases": "dbs"} | settings)
    schemas = OutsideSchemas(OutsideFolder(Path(), {}), source)
    return list(QuestionReader("mine", Path(file), source, schemas).lines())


def error_of(*rows: object, **settings: Any) -> str:
    with pytest.raises(UserError) as caught:
        lines(*rows, **settings)
    return str(caught.value)


# -- the formats --


def test_spiders_rows_get_the_schema_of_their_database() -> None:
    assert lines(SPIDER) == lines(SPIDER, format="spider") == [EXPECTED]


def test_of_spider_syn_the_question_with_synonyms_is_taken() -> None:
    row = {
        "db_id": "shop",
        "SpiderQuestion": "How many?",
        "SpiderSynQuestion": "What number?",
        "query": "SELECT 1",
    }
    both = {**row, "question": "How many?"}
    for (line,) in (lines(row), lines(row, format="spider"), lines(both)):
        assert line["question"] == "What number?"


def test_birds_evidence_goes_into_the_question_and_its_difficulty_is_the_slice() -> None:
    row = {"question_id": 7, "db_id": "shop", "question": "How many?", "evidence": "few = under 3"}
    row |= {"SQL": "SELECT count(*) FROM item", "difficulty": "simple"}
    question = "How many?\nEvidence: few = under 3"
    assert lines(row) == [{**EXPECTED, "question": question, "slice": "simple"}]
    assert lines({**row, "evidence": " "})[0]["question"] == "How many?"


def test_db_gpts_rows_keep_their_prose_and_take_the_database_from_it() -> None:
    row = {"instruction": PROSE, "input": "How many?", "output": "SELECT 1", "table_creating": "<sql>a</sql>"}
    expected = {"db_id": "shop", "question": "How many?", "gold": "SELECT 1", "schema": PROSE}
    assert lines(row) == [{**expected, "recorded": "<sql>a</sql>"}]
    assert lines({**row, "db_id": "mall", "slice": "easy"})[0]["db_id"] == "mall"


def test_columns_name_the_fields_of_any_other_rows() -> None:
    row = {"nl": "How many?", "answer": "SELECT 1", "base": "shop", "hint": "none", "level": 3, "rest": []}
    columns = {"question": "nl", "sql": "answer", "db_id": "base", "evidence": "hint", "slice": "level"}
    assert lines(row, columns=columns) == [
        {**EXPECTED, "question": "How many?\nEvidence: none", "gold": "SELECT 1", "slice": "3"}
    ]
    assert lines({"question": "How many?", "sql": "SELECT 1", "db_id": "shop"})[0]["gold"] == "SELECT 1"


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet", ".json.gz", ".csv.gz"])
def test_rows_are_read_from_files_of_every_kind(suffix: str) -> None:
    rows = [{"nl": f"How many {n}?", "answer": f"SELECT {n}", "base": "shop"} for n in range(3)]
    file = write_table(Path(f"rows{suffix}"), rows)
    found = lines(file=str(file), columns={"question": "nl", "sql": "answer", "db_id": "base"})
    assert found == [{**EXPECTED, "question": row["nl"], "gold": row["answer"]} for row in rows]


def write_table(file: Path, rows: list[dict[str, str]]) -> Path:
    if file.suffix == ".gz":
        plain = write_table(file.with_suffix(""), rows)
        file.write_bytes(gzip.compress(plain.read_bytes()))
    elif file.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    elif file.suffix == ".csv":
        file.write_text("".join(",".join(cells) + "\n" for cells in (rows[0], *(r.values() for r in rows))))
    else:
        text = "".join(json.dumps(row) + "\n" for row in rows)
        file.write_text(json.dumps(rows) if file.suffix == ".json" else text)
    return file


# -- gold, schema and database --


@pytest.mark.parametrize(
    "row",
    [
        {"db_id": "shop", "question": "How many?"},
        {"db_id": "shop", "question": "How many?", "question_id": 1, "evidence": "", "difficulty": None},
        {"db_id": "shop", "question": "How many?", "query": " "},
        {"db_id": "shop", "question": "How many?", "SQL": None},
        {"instruction": DDL, "input": "How many?", "db_id": "shop"},
    ],
)
def test_a_question_without_gold_is_kept_without(row: Mapping[str, object]) -> None:
    assert lines(row) == [{key: EXPECTED[key] for key in ("db_id", "question", "schema")}]


def test_the_schema_is_the_rows_own_else_the_databases_else_that_of_tables_json() -> None:
    entry = {
        "db_id": "gone",
        "table_names_original": ["t"],
        "column_names_original": [[-1, "*"], [0, "a"]],
        "column_types": ["text", "text"],
        "primary_keys": [],
        "foreign_keys": [],
    }
    Path("tables.json").write_text(json.dumps([entry, {**entry, "db_id": "shop"}]))
    own = {**SPIDER, "schema": "CREATE TABLE own (b);"}
    rows = [own, SPIDER, {**SPIDER, "db_id": "gone"}, {**SPIDER, "db_id": "unknown"}]
    found = [line.get("schema") for line in lines(*rows, tables="tables.json")]
    assert found == ["CREATE TABLE own (b);", DDL, "CREATE TABLE t (a TEXT);", None]


def test_a_row_without_db_id_takes_the_only_database() -> None:
    row = {"question": "How many?", "query": "SELECT 1"}
    said = error_of(SPIDER, row)
    assert "rows.json, row 1: has no db_id, and the set has 2 databases; add it" in said
    Path("dbs/mall/mall.sqlite").unlink()
    assert lines(row)[0]["db_id"] == "shop"


def test_a_row_with_a_schema_needs_no_database() -> None:
    row = {"question": "How many?", "sql": "SELECT 1", "schema": DDL}
    assert lines(row) == [{**EXPECTED, "db_id": "", "gold": "SELECT 1"}]


def test_recorded_schemas_go_to_the_questions_with_their_prose() -> None:
    made = [{"schema": PROSE}, {"schema": DDL}, {}]
    answered = add_recorded(made, {PROSE: "<sql>a</sql>"}, Path("rows.json"), "answers.jsonl")
    assert answered == [{"schema": PROSE, "recorded": "<sql>a</sql>"}, {"schema": DDL}, {}]
    with pytest.raises(UserError, match=r"rows\.json, row 0: answers\.jsonl has no schema for its prose"):
        add_recorded(made, {}, Path("rows.json"), "answers.jsonl")


# -- what does not fit --


def test_an_unknown_format_is_an_error_with_the_keys_and_the_line_to_write() -> None:
    said = error_of({"nl": "How many?", "gold_sql": "SELECT 1"}, {"db": "shop"})
    assert "rows.json: its format is not known; its rows have nl, gold_sql, db; " in said
    assert "`mine: {file: rows.json, columns: {question: ..., sql: ..., db_id: ...}}`" in said


@pytest.mark.parametrize("key", ["gold_sql", "answer", "sqlite"])
def test_gold_queries_under_an_unknown_key_are_not_dropped(key: str) -> None:
    assert f"not known; its rows have db_id, question, {key};" in error_of(
        {"db_id": "shop", "question": "How many?", key: "SELECT 1"}
    )


def test_rows_of_another_format_than_the_named_one_are_an_error() -> None:
    for asked in ("dbgpt", "bird", "rows"):
        row = {key: SPIDER[key] for key in ("db_id", "question", "query")}
        assert f"not of format {asked}; its rows have db_id, question" in error_of(row, format=asked)
    assert lines({"db_id": "shop", "question": "How many?", "topic": "tea"}, format="bird")


def test_cells_beyond_the_header_of_a_csv_file_do_not_hide_the_names() -> None:
    Path("rows.csv").write_text("nl,gold\nHow many?,SELECT 1,more\n")
    assert "its rows have nl, gold, None;" in error_of(file="rows.csv")


def test_a_column_that_no_row_has_is_an_error() -> None:
    said = error_of({"nl": "How many?"}, columns={"question": "nl", "sql": "query", "slice": "level"})
    assert "rows.json: no row has level, query; its rows have nl;" in said


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (7, "row 1: expected an object, found int"),
        ({**SPIDER, "question": " "}, "row 1: has no question"),
        ({**SPIDER, "question": None}, "row 1: has no question"),
        ({**SPIDER, "question": ["How?"]}, "row 1: 'question' is not valid text"),
        ({**SPIDER, "query": "SELECT \0"}, "row 1: 'query' is not valid text"),
        ({**SPIDER, "query": "SELECT '\ud800'"}, "row 1: 'query' is not valid text"),
        ({**SPIDER, "schema": {"tables": []}}, "row 1: 'schema' is not valid text"),
        ({**SPIDER, "schema": "a shop"}, "row 1: schema prose does not fit"),
        ({**SPIDER, "db_id": "../shop"}, "row 1: '../shop' cannot be the name of a database"),
        ({**SPIDER, "db_id": ".."}, "row 1: '..' cannot be the name of a database"),
    ],
)
def test_a_broken_row_is_named_with_the_next_command(row: Any, said: str) -> None:
    if isinstance(row, dict) and row.get("schema") == "a shop":
        row = {key: row[key] for key in row if key != "db_id"}
    found = error_of(SPIDER, row)
    assert f"rows.json, {said}" in found and "dvc repro" in found


@pytest.mark.parametrize("text", ["", "[]", "{}", "[{", "\ufeff"])
def test_a_file_without_rows_is_named(text: str) -> None:
    Path("rows.json").write_text(text, encoding="utf-8")
    assert "rows.json: " in error_of()


def test_a_line_that_is_not_json_and_text_in_another_encoding_are_named() -> None:
    Path("rows.jsonl").write_text(json.dumps(SPIDER) + "\n{\n")
    assert "rows.jsonl, line 2: not JSON" in error_of(file="rows.jsonl")
    Path("rows.csv").write_bytes("question,query\nCafé?,SELECT 1\n".encode("latin-1"))
    assert "rows.csv: not UTF-8" in (said := error_of(file="rows.csv")) and "iconv" in said


def test_a_damaged_or_unknown_kind_of_file_is_named() -> None:
    Path("rows.parquet").write_bytes(b"PAR1 no more")
    Path("rows.xlsx").write_bytes(b"PK")
    assert "rows.parquet: not a readable Parquet file" in error_of(file="rows.parquet")
    assert "rows.xlsx: unknown kind of file, known: .jsonl" in error_of(file="rows.xlsx")


def test_a_database_that_cannot_be_read_is_named() -> None:
    Path("dbs/shop/shop.sqlite").write_bytes(b"no database " * 99)
    assert "shop.sqlite: SQLite cannot read it" in error_of(SPIDER)


def test_a_row_of_a_table_with_more_cells_than_the_header_is_named() -> None:
    Path("rows.csv").write_text("db_id,question,sql\nshop,How many?,SELECT 1,2\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"rows.csv, row 0: has more cells than the header"):
        lines(file="rows.csv")
