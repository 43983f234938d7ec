"""Which rows are usable, and the reason for each that is not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from text2sql.errors import UserError
from text2sql.preparation import checks
from text2sql.preparation.checks import Checker
from text2sql.preparation.rejects import Unusable
from text2sql.preparation.settings import Prepare, SqlCheck
from text2sql.preparation.sources import Chunk, read_chunks
from text2sql.prompts import schema_text
from text2sql.records import TrainingRow

DDL = "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT);"
ROWS = f"{DDL} INSERT INTO item VALUES (1, '5');"
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


def checked(sql: str, sql_check: SqlCheck, schema: str = DDL) -> tuple[str, str]:
    """Reason and detail of what is wrong with a row of this SQL; ("", "") where nothing is."""
    with Checker(Prepare(sql_check=sql_check)) as checker:
        try:
            checker.training_row("made", 0, {"question": "q", "context": schema, "answer": sql})
        except Unusable as fault:
            return fault.reason, fault.detail
    return "", ""


@pytest.mark.parametrize(
    ("sql", "reason", "detail"),
    [
        ("SELECT name FROM items", "SQL names an unknown table", "no such table: items"),
        ("SELECT naem FROM item", "SQL names an unknown column", "no such column: naem"),
        ("SELECT i.x FROM item AS i", "SQL names an unknown column", "no such column: i.x"),
        ("SELECT yeer(name) FROM item", "SQL calls an unknown function", "no such function: yeer"),
        (
            "SELECT id FROM item AS a JOIN item AS b",
            "SQL names an ambiguous column",
            "ambiguous column name: id",
        ),
        ("SELECT name FROM item OFFSET 2", "SQL does not compile", 'near "2": syntax error'),
    ],
)
def test_a_name_that_is_not_in_the_schema_is_reported_by_sqlite(sql: str, reason: str, detail: str) -> None:
    assert checked(sql, "compile") == (reason, detail)
    assert checked(sql, "parse") == ("", "")


NOT_ONE_QUERY = [
    "SELECT FROM WHERE (",
    "SELECT 'unbalanced FROM item",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE item",
    "SELECT 1 FROM item; SELECT (",
    "DROP TABLE item",
    "INSERT INTO item VALUES (2, 'x')",
    "WITH x AS (SELECT 1) DELETE FROM item",
    "PRAGMA user_version",
    "VACUUM",
    "QUERY PLAN SELECT 1",
    "name",
]


def test_what_is_not_one_query_is_rejected_at_every_level() -> None:
    found = [(sql, level, checked(sql, level)[0]) for sql in NOT_ONE_QUERY for level in get_args(SqlCheck)]
    assert len(found) == 36
    assert [case for case in found if case[2] != "SQL does not parse as one query"] == []


@pytest.mark.parametrize("sql", ["SELECT naem FROM item; DROP TABLE item", "SELECT naem FROM item; SELECT ("])
def test_after_an_unknown_name_too_only_one_query_is_taken(sql: str) -> None:
    assert checked(sql, "parse")[0] == "SQL does not parse as one query"


@pytest.mark.parametrize(
    "sql",
    [
        "select NAME from ITEM;",
        "SELECT `name` FROM [item] WHERE \"name\" = '5' ;;",
        "WITH x AS (SELECT 1 AS a) SELECT a FROM x",
        "/* all */ SELECT * FROM item -- of them",
        'SELECT name FROM item WHERE name = "5"',
        "SELECT '🫖'",
    ],
)
def test_a_query_passes_every_level(sql: str) -> None:
    assert checked(sql, "execute") == ("", "")


def test_an_answer_runs_on_the_rows_of_its_source() -> None:
    failing = "SELECT abs(-9223372036854775807 - name) FROM item WHERE name = '5'"
    assert checked(failing, "execute", DDL) == ("", "")
    assert checked(failing.replace("name)", "1)"), "execute", ROWS)[0] == "SQL fails when run"


def test_answers_on_different_schemas_run_each_on_their_own() -> None:
    with Checker(Prepare(sql_check="execute")) as checker:
        for name in ("a", "b", "a"):
            value = {
                "question": "q",
                "context": f"CREATE TABLE {name} (x)",
                "answer": f"SELECT x FROM {name}",
            }
            assert checker.training_row("made", 0, value).sql == f"SELECT x FROM {name}"


def test_an_answer_that_does_not_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "RUN_SECONDS", 0.05)
    assert checked(ENDLESS, "execute") == ("SQL fails when run", "timeout: interrupted")


def test_an_answer_is_not_run_where_that_is_not_asked_for() -> None:
    assert checked(ENDLESS, "compile") == ("", "")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"question": {"text": "q"}, "context": DDL, "answer": "SELECT 1"}, "question is not text"),
        ({"question": "q", "context": [DDL], "answer": "SELECT 1"}, "schema is not text"),
        ({"question": "q", "context": DDL, "answer": ["SELECT 1", "SELECT 2"]}, "SQL is not text"),
        ({"question": "q", "context": DDL, "answer": " ; "}, "missing SQL"),
        ({"question": "x" * 1_000_000, "context": DDL, "answer": "SELECT 1"}, "question is too long"),
        ({"question": "q", "context": DDL, "answer": f"SELECT '{'x' * 100_000}'"}, "SQL is too long"),
        ({"question": "q", "context": DDL, "answer": "SELECT 1", None: ["x"]}, "more cells than columns"),
        ({"question": "q", "context": f"{DDL}\0", "answer": "SELECT 1"}, "NUL or broken Unicode"),
        ({"question": "\ud83e", "context": DDL, "answer": "SELECT 1"}, "NUL or broken Unicode"),
    ],
)
def test_a_row_that_has_no_three_texts_is_rejected_by_name(row: dict[Any, Any], reason: str) -> None:
    with Checker(Prepare()) as checker, pytest.raises(Unusable) as caught:
        checker.training_row("made", 0, row)
    assert caught.value.reason == reason


@pytest.mark.parametrize("answer", [f"SELECT {'(' * 5000}1{')' * 5000}", "SELECT " + "-" * 50_000 + "1"])
def test_sql_nested_beyond_any_parser_is_rejected(answer: str) -> None:
    assert checked(answer, "compile")[0].startswith("SQL does not")


def test_mysql_tables_are_taken_and_a_query_on_them_checked() -> None:
    mysql = (
        "CREATE TABLE `item` (`id` int(11) unsigned NOT NULL AUTO_INCREMENT, KEY `k` (`id`)) ENGINE=InnoDB"
    )
    assert checked("SELECT id FROM item", "execute", mysql) == ("", "")
    assert checked("SELECT name FROM item", "compile", mysql)[0] == "SQL names an unknown column"


T = "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)"


@pytest.mark.parametrize(
    ("schema", "sql", "ddl"),
    [
        ("CREATE TABLE t (a INT, b INT AS (a*2))", "SELECT b FROM t", "CREATE TABLE t (a INT, b INT);"),
        (f"{T}; INSERT INTO t VALUES (1, NOW());", "SELECT name FROM t", f"{T};"),
        (f"{T}; INSERT INTO t VALUES (1,'a'),(1,'b');", "SELECT name FROM t", f"{T};"),
        (T, "SELECT value FROM json_each('[1]')", f"{T};"),
        (f"{T}\n\nCREATE TABLE u (id INTEGER)", "SELECT name FROM t", f"{T};\nCREATE TABLE u (id INTEGER);"),
        (f"PRAGMA foreign_keys = ON;\n{T};", "SELECT name FROM t", f"{T};"),
        (f"{T};\nCREATE TABLE sqlite_sequence(name,seq);", "SELECT name FROM t", f"{T};"),
        ("CREATE TABLE t (s STRUCT(a INT, b VARCHAR))", "SELECT s FROM t", "CREATE TABLE t (s TEXT);"),
    ],
)
@pytest.mark.parametrize("level", get_args(SqlCheck))
def test_schemas_as_people_write_them_are_taken(schema: str, sql: str, ddl: str, level: SqlCheck) -> None:
    with Checker(Prepare(sql_check=level)) as checker:
        row = checker.training_row("made", 0, {"question": "q", "context": schema, "answer": sql})
    assert (row.ddl, row.sql) == (ddl, sql)


def test_a_query_on_a_table_of_a_schema_becomes_one_that_sqlite_compiles() -> None:
    value = {
        "question": "q",
        "context": "CREATE SCHEMA s; CREATE TABLE s.t (id int, name text);",
        "answer": "SELECT name FROM s.t;",
    }
    with Checker(Prepare()) as checker:
        row = checker.training_row("made", 0, value)
    assert (row.ddl, row.sql) == ("CREATE TABLE t (id INTEGER, name TEXT);", "SELECT name FROM t")


def test_a_field_of_a_struct_is_no_column() -> None:
    schema = "CREATE TABLE t (id INTEGER[], s STRUCT(a INT, b VARCHAR))"
    assert checked("SELECT a FROM t", "compile", schema)[0] == "SQL names an unknown column"


def test_a_query_on_a_table_that_cannot_be_read_is_rejected_with_the_tables_fault() -> None:
    schema = "CREATE TABLE t (a INT, A INT); CREATE TABLE u (b INT)"
    assert checked("SELECT b FROM u", "compile", schema) == ("", "")
    assert checked("SELECT a FROM t", "compile", schema) == (
        "DDL does not execute",
        "t: duplicate column name: A",
    )


def test_rows_and_comments_of_a_schema_are_kept_by_choice() -> None:
    schema = f"{T[:-1]} -- as spoken\n); INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c');"
    value = {"question": "q", "context": schema, "answer": "SELECT name FROM t"}
    with Checker(Prepare(insert_rows=2), comments=True) as checker:
        ddl = checker.training_row("made", 0, value).ddl
    assert ddl == (
        "CREATE TABLE t (\n  id INTEGER PRIMARY KEY,\n  name TEXT -- as spoken\n);\n"
        "INSERT INTO t (id, name) VALUES (1, 'a'), (2, 'b');"
    )
    assert schema_text(ddl, types=False) == (
        "CREATE TABLE t (id PRIMARY KEY, name);\nINSERT INTO t (id, name) VALUES (1, 'a'), (2, 'b');"
    )
    with Checker(Prepare()) as checker:
        assert checker.training_row("made", 0, value).ddl == f"{T};"


def test_the_columns_setting_names_the_columns() -> None:
    value = {"nl": " q ", "tables": DDL, "query": "SELECT 1;", "question": "other"}
    columns = {"question": "nl", "schema": "tables", "sql": "query"}
    settings = Prepare.model_validate({"sources": {"made": {"columns": columns}}})
    with Checker(settings) as checker:
        assert checker.training_row("made", 7, value) == TrainingRow("made:7", "made", "q", DDL, "SELECT 1")


SMALL = [
    ("CREATE TABLE a (tournament VARCHAR)", "SELECT 2004 FROM a WHERE 1998 = \"2r\" AND tournament = 'o'"),
    (DDL, 'SELECT "nmae" FROM item ORDER BY "nmae"'),
    (DDL, 'SELECT count("nmae") FROM item'),
    (DDL, "SELECT value FROM json_each('[1]')"),
    ("CREATE TABLE t (a INT, b INT AS (a*2))", "SELECT b FROM t"),
    ("CREATE TABLE t (id INT PRIMARY KEY, n TEXT); INSERT INTO t VALUES (1, NOW());", "SELECT n FROM t"),
    ("CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1),(1);", "SELECT id FROM t"),
    ("CREATE TABLE t (id INT)\n\nCREATE TABLE u (id INTEGER)", "SELECT u.id FROM t JOIN u"),
    ("PRAGMA foreign_keys = ON;\nCREATE TABLE t (id INT);", "SELECT id FROM t"),
    ("CREATE SCHEMA s; CREATE TABLE s.t (id int, name text);", "SELECT name FROM s.t"),
    ("CREATE TABLE t (id INT);\nCREATE TABLE sqlite_sequence(name,seq);", "SELECT id FROM t"),
    ("CREATE TABLE t (id INTEGER[], s STRUCT(a INT, b VARCHAR))", "SELECT a FROM t"),
    ("CREATE TABLE t (id INTEGER[], s STRUCT(a INT, b VARCHAR))", "SELECT s FROM t"),
]
OF_SMALL = [
    *("SQL compares a constant with a constant", "SQL selects a name in double quotes that is no column"),
    *("SQL selects a name in double quotes that is no column", "", "", "", "", "", "", "", ""),
    *("SQL names an unknown column", ""),
]


def test_schemas_and_queries_as_people_write_them_are_kept_or_rejected_as_common_sense_asks() -> None:
    found = [checked(sql, "compile", schema)[0] for schema, sql in SMALL]
    assert found == OF_SMALL


DIALECTS = [
    ("SELECT TOP 3 name FROM item", "SELECT name FROM item LIMIT 3", "tsql"),
    ("SELECT name FROM item WHERE name ILIKE 'a%'", None, "postgres"),
    ("SELECT id::text FROM item", "SELECT CAST(id AS TEXT) FROM item", "postgres"),
    ("SELECT GROUP_CONCAT(name SEPARATOR '|') FROM item", None, "mysql"),
    ("SELECT year(name) FROM item", "SELECT CAST(STRFTIME('%Y', name) AS INTEGER) FROM item", "postgres"),
    ("SELECT name FROM item FETCH FIRST 3 ROWS ONLY", "SELECT name FROM item LIMIT 3", "postgres"),
]


def of_dialect(sql: str, **settings: Any) -> tuple[str, str, list[str]]:
    """The SQL kept, the reason of the reject, and what was noted."""
    with Checker(Prepare.model_validate(settings)) as checker:
        row = {"question": "q", "context": DDL, "answer": sql}
        result = checker.check_chunk(Chunk("made", 0, [("", row)], 1))
    kept = json.loads(result.kept[0])["sql"] if result.kept else ""
    return kept, next(iter(result.reasons), ""), sorted(result.notes)


@pytest.mark.parametrize(("sql", "expected", "dialect"), DIALECTS)
def test_sql_of_another_dialect_is_translated_kept_or_rejected_by_choice(
    sql: str, expected: str | None, dialect: str
) -> None:
    kept, reason, notes = of_dialect(sql)
    assert kept == expected if expected else kept not in ("", sql)
    assert (reason, notes) == ("", [f"SQL translated from {dialect}"])
    assert of_dialect(sql, on_dialect="keep") == (sql, "", [f"SQL kept in {dialect}"])
    assert of_dialect(sql, on_dialect="reject") == ("", "SQL is of another dialect", [])


def test_a_source_decides_itself_what_is_done_with_another_dialect() -> None:
    settings = {"on_dialect": "reject", "sources": {"made": {"on_dialect": "keep"}}}
    assert of_dialect("SELECT TOP 3 name FROM item", **settings)[0] == "SELECT TOP 3 name FROM item"
    settings = {"sources": {"made": {"on_dialect": "reject"}}}
    assert of_dialect("SELECT TOP 3 name FROM item", **settings)[1] == "SQL is of another dialect"


def test_a_source_in_a_dialect_is_read_in_it_and_not_guessed() -> None:
    mysql = {"sources": {"made": {"dialect": "mysql"}}}
    assert (
        of_dialect('SELECT id FROM item WHERE name = "x"', **mysql)[0]
        == "SELECT id FROM item WHERE name = 'x'"
    )
    assert of_dialect("SELECT TOP 3 name FROM item", **mysql)[1].startswith("SQL is not mysql")
    assert of_dialect("SELECT naem FROM item", **mysql)[1] == "SQL names an unknown column"
    sqlite = {"sources": {"made": {"dialect": "sqlite"}}}
    assert of_dialect("SELECT TOP 3 name FROM item", **sqlite)[1] == "SQL does not parse as one query"


@pytest.mark.parametrize(
    "sql", ["SELECT name FROM item WHERE id > 43 OFFSET 211", "SELECT naem::text FROM item"]
)
def test_what_no_dialect_explains_is_not_translated(sql: str) -> None:
    assert of_dialect(sql)[0] == ""


@pytest.mark.parametrize(
    "settings", [{}, {"sources": {"made": {"dialect": "sqlite"}}}, {"on_dialect": "reject"}]
)
def test_schemas_before_the_names_of_tables_are_left_out(settings: dict[str, Any]) -> None:
    kept, _, notes = of_dialect("SELECT i.name FROM shop.item AS i", **settings)
    assert (kept, notes) == ("SELECT i.name FROM item AS i", ["SQL without the names of schemas"])
    assert of_dialect("SELECT name FROM shop.items", **settings)[1] == "SQL names an unknown table"


def test_sql_on_which_sqlglot_itself_fails_is_rejected() -> None:
    tsql = {"sources": {"made": {"dialect": "tsql"}}}
    assert of_dialect("SELECT DATEDIFF(CURRENT_DATE, name) FROM item", **tsql)[1].startswith(
        "SQL is not tsql"
    )


def test_a_row_that_names_a_database_gets_its_schema_and_keeps_the_name(tmp_path: Path) -> None:
    (tmp_path / "made.json").write_text(json.dumps({"shop": DDL}))
    row = {"question": "q", "query": "SELECT id FROM item", "db_id": "shop"}
    with Checker(Prepare(), tmp_path) as checker:
        found = checker.training_row("made", 0, row)
        assert (found.ddl, found.db_id) == (DDL, "shop")
        for source, db_id, known in (
            ("made", "shep", "1 databases are known"),
            ("other", "shop", "no database"),
        ):
            with pytest.raises(Unusable) as caught:
                checker.training_row(source, 0, {**row, "db_id": db_id})
            assert caught.value.reason == "schema of its database is not known"
            assert db_id in caught.value.detail and known in caught.value.detail


def test_a_damaged_file_of_schemas_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "made.json").write_text("[]")
    with Checker(Prepare(), tmp_path) as checker, pytest.raises(UserError, match=r"made\.json: expected"):
        checker.training_row("made", 0, {"question": "q", "query": "SELECT 1", "db_id": "shop"})


def test_evidence_is_part_of_the_question() -> None:
    row = {
        "question": "Dear ones?",
        "SQL": "SELECT id FROM item",
        "schema": DDL,
        "evidence": "dear: price > 9",
    }
    with Checker(Prepare()) as checker:
        assert checker.training_row("made", 0, row).question == "Dear ones?\nEvidence: dear: price > 9"


def test_a_checked_chunk_has_json_lines_and_counts_by_reason() -> None:
    good = {"id": 1, "question": "q", "context": DDL, "answer": "SELECT 1"}
    chunk = Chunk("made", 10, [("kept", good), ("left out", [1]), ("kept too", good)], 99)
    with Checker(Prepare()) as checker:
        result = checker.check_chunk(chunk)
    assert [json.loads(line)["id"] for line in result.kept] == ["made:10", "made:12"]
    assert [json.loads(line) for line in result.rejected] == [
        {"source": "made", "row": 11, "reason": "not an object", "detail": "", "text": "left out"}
    ]
    assert (result.source, result.position, result.reasons) == ("made", 99, {"not an object": 1})


@pytest.fixture(scope="module")
def outside(real_data: Path) -> Iterator[dict[str, int]]:
    """What is rejected of sql-create-context, in rows by reason."""
    with Checker(Prepare()) as checker:
        path = real_data / "sql_create_context" / "train.jsonl"
        results = [checker.check_chunk(chunk) for chunk in read_chunks(path)]
    reasons = sum((result.reasons for result in results), results[0].reasons.__class__())
    yield {**reasons, "kept": sum(len(result.kept) for result in results)}


def test_of_sql_create_context_three_rows_in_a_hundred_are_unusable(outside: dict[str, int]) -> None:
    assert outside == {
        "kept": 7720,
        "DDL does not execute": 17,
        "SQL calls an unknown function": 9,
        "SQL compares a constant with a constant": 99,
        "SQL does not compile": 112,
        "SQL does not parse as one query": 30,
        "SQL names an unknown column": 13,
    }


AS_WRITTEN = [  # question, schema, SQL
    (" How many?\n", "create table T (x) ;\nINSERT INTO T VALUES (1);\n", "SELECT count(*) FROM t;\n"),
    ("Add one.", "no schema at all", "INSERT INTO t VALUES (1);"),
]


@pytest.mark.parametrize(("question", "schema", "sql"), AS_WRITTEN)
def test_rows_can_be_kept_as_they_are_written(question: str, schema: str, sql: str) -> None:
    with Checker(Prepare(as_written=True)) as checker:
        row = checker.training_row("made", 3, {"prompt": question, "context": schema, "answer": sql})
    assert row == TrainingRow("made:3", "made", question, schema, sql)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"answer": " \n"}, "missing SQL"),
        ({"prompt": None}, "missing question"),
        ({"context": ""}, "missing schema"),
        ({"context": "x\0"}, "NUL or broken Unicode"),
        ({"answer": "\ud800"}, "NUL or broken Unicode"),
    ],
)
def test_rows_as_they_are_written_need_their_texts(change: dict[str, Any], reason: str) -> None:
    row = {"prompt": "q", "context": DDL, "answer": "x"} | change
    with Checker(Prepare(as_written=True)) as checker, pytest.raises(Unusable, match=reason):
        checker.training_row("made", 0, row)
