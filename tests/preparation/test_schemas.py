"""Schemas that are loaded into SQLite, some of them hostile."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path

import pytest

from text2sql.preparation import schemas
from text2sql.preparation.schemas import SchemaError, Schemas
from text2sql.schema.ddl import read_ddl, write_ddl

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
TEA = "CREATE TABLE tea (name TEXT);"


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TABLE t (a INTEGER PRIMARY KEY, b VARCHAR(20), c INT REFERENCES u (d)); CREATE TABLE u (d)",
        "CREATE TABLE t (a INTEGER PRIMARY KEY REFERENCES t (a), b REAL);\n\nCREATE TABLE key (abort TEXT);",
        "CREATE TABLE t (a DECIMAL(10, 2) NOT NULL, b)",
        "CREATE TABLE t (a INT, CONSTRAINT TEXT)",
        "CREATE TABLE t (a INT, PRIMARY KEY (a))",
        'create table "t" (a int)',
        "CREATE TABLE t (ma\u00f1ana INT)",
        "CREATE TABLE t (a INT); INSERT INTO t VALUES (1);",
    ],
)
def test_a_schema_takes_the_form_in_which_sqlite_reads_it(text: str) -> None:
    assert Schemas().load(text).ddl == write_ddl(read_ddl(text))


@pytest.mark.parametrize("text", ["BEGIN; {} COMMIT;", "BEGIN TRANSACTION; {} END;"])
def test_a_dump_may_begin_and_end_its_transaction(text: str) -> None:
    assert Schemas().load(text.format(TEA)).ddl == TEA


@pytest.mark.parametrize(
    "text",
    [
        TEA,
        "CREATE TABLE t (",
        f"BEGIN; {TEA} COMMIT;",
        f"{TEA} COMMIT; BEGIN; CREATE TABLE u (a)",
        f"ROLLBACK; {TEA}",
        f"{TEA} SAVEPOINT a; CREATE TEMP TABLE u (a); RELEASE a",
    ],
)
def test_nothing_of_one_schema_is_seen_by_the_next(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(schemas, "_OPEN", 1)
    loader = Schemas()
    for schema in (text, "CREATE TABLE other (x)"):
        try:
            connection = loader.load(schema).connection
        except SchemaError:
            continue
    names = connection.execute("SELECT name FROM sqlite_master").fetchall()
    assert names == [("other",)]
    assert connection.execute("SELECT name FROM sqlite_temp_master").fetchall() == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SELECT 1",
        "CREATE TABLE t (a INT, A INT)",
        "CREATE TABLE t (a INT); CREATE TABLE T (b INT)",
        "CREATE TABLE sqlite_x (a INT)",
        "CREATE TABLE t (a INT); INSERT INTO t VALUES ('unbalanced)",
        "CREATE VIEW v AS SELECT 1",
    ],
)
def test_text_that_sqlite_refuses_is_no_schema(text: str) -> None:
    with pytest.raises(SchemaError, match="DDL does not execute"):
        Schemas().load(text)


def test_the_refusal_of_a_schema_is_remembered() -> None:
    loader = Schemas()
    for _ in range(2):
        with pytest.raises(SchemaError, match="duplicate column name: A"):
            loader.load("CREATE TABLE t (a INT, A INT)")


@pytest.mark.parametrize(
    "attack", ["ATTACH 'new.db' AS x", "VACUUM INTO 'new.db'", "PRAGMA journal_mode = WAL"]
)
def test_a_schema_reaches_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attack: str) -> None:
    monkeypatch.chdir(tmp_path)
    for text in (f"{TEA} {attack};", f"{TEA} COMMIT; {attack};", f"BEGIN; {TEA} COMMIT; {attack};"):
        with suppress(SchemaError):
            assert Schemas().load(text).ddl == TEA
    assert list(tmp_path.iterdir()) == []


def test_a_schema_whose_rows_do_not_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemas, "SECONDS", 0.05)
    with pytest.raises(SchemaError, match="interrupted"):
        Schemas().load(f"{TEA} INSERT INTO tea {ENDLESS} SELECT count(*) FROM n")


def test_a_schema_with_more_rows_than_an_example_has_is_stopped() -> None:
    with pytest.raises(SchemaError, match="full"):
        Schemas().load(f"{TEA} INSERT INTO tea {ENDLESS} SELECT zeroblob(1000000) FROM n")


def test_a_view_is_not_there_for_a_query_because_it_is_not_in_the_prompt() -> None:
    database = Schemas().load(f"{TEA} CREATE VIEW v AS SELECT * FROM tea; INSERT INTO tea VALUES (1)")
    assert database.ddl == TEA
    with pytest.raises(sqlite3.Error, match="no such table: v"):
        database.connection.compile("SELECT * FROM v")


@pytest.mark.parametrize(
    "sql",
    ["DROP TABLE tea", "WITH x AS (SELECT 1) DELETE FROM tea", "PRAGMA user_version", "ATTACH 'x' AS y"],
)
def test_only_queries_compile(sql: str) -> None:
    connection = Schemas().load(TEA).connection
    with pytest.raises(sqlite3.Error):
        connection.compile(sql)
    connection.compile("SELECT name FROM tea")


def test_a_database_becomes_a_file_with_its_rows(tmp_path: Path) -> None:
    database = Schemas().load(f"{TEA} INSERT INTO tea VALUES ('oolong')")
    database.connection.compile("SELECT 1")
    (tmp_path / "x.sqlite").write_bytes(database.connection.image())
    copy = sqlite3.connect(tmp_path / "x.sqlite")
    assert copy.execute("SELECT * FROM tea").fetchall() == [("oolong",)]
    copy.close()
