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
        "CREATE VIEW v AS SELECT 1",
    ],
)
def test_text_that_sqlite_refuses_is_no_schema(text: str) -> None:
    with pytest.raises(SchemaError, match="DDL does not execute"):
        Schemas().load(text)


@pytest.mark.parametrize(
    "rows",
    [
        "INSERT INTO tea VALUES (NOW());",
        "INSERT INTO tea VALUES ('unbalanced)",
        "INSERT INTO tea VALUES (1, 2, 3);",
        "INSERT INTO coffee VALUES (1);",
        "INSERT INTO tea SELECT * FROM coffee;",
    ],
)
def test_an_insert_that_sqlite_refuses_is_left_out_and_counted(rows: str) -> None:
    text = f"{TEA}\nINSERT INTO tea VALUES ('oolong');\n{rows}"
    assert Schemas().load(text).ddl == TEA
    database = Schemas(insert_rows="all").load(text)
    assert database.ddl == f"{TEA}\nINSERT INTO tea (name) VALUES ('oolong');"
    assert database.skipped == {"INSERT that SQLite refuses": 1}


def test_rows_are_cut_to_the_wanted_number_for_each_table() -> None:
    text = (
        "CREATE TABLE t (id INT PRIMARY KEY, x REAL, b BLOB, n TEXT); CREATE TABLE empty (a INT);"
        "INSERT INTO t VALUES (1, 1.5, x'00ff', 'it''s'), (2, NULL, NULL, 'b');"
        "INSERT INTO t VALUES (3, 2, NULL, 'c');"
    )
    tables = "CREATE TABLE t (id INT PRIMARY KEY, x REAL, b BLOB, n TEXT);\n{}CREATE TABLE empty (a INT);"
    insert = "INSERT INTO t (id, x, b, n) VALUES (1, 1.5, X'00FF', 'it''s'), (2, NULL, NULL, 'b'){};\n"
    assert Schemas().load(text).ddl == tables.format("")
    assert Schemas(insert_rows=2).load(text).ddl == tables.format(insert.format(""))
    assert Schemas(insert_rows="all").load(text).ddl == tables.format(insert.format(", (3, 2.0, NULL, 'c')"))


def test_rows_of_another_dialect_are_kept_where_sqlite_takes_them() -> None:
    text = "CREATE TABLE `s`.`t` (`a` ENUM('x')) ENGINE=InnoDB; INSERT INTO `s`.`t` VALUES ('x'), ('y\\'z');"
    rows = Schemas(insert_rows=1).load("CREATE TABLE `s`.`t` (`a` ENUM('x')); INSERT INTO s.t VALUES ('x')")
    assert rows.ddl == "CREATE TABLE t (a TEXT);\nINSERT INTO t (a) VALUES ('x');"
    escaped = Schemas(insert_rows=2).load(text)
    assert escaped.ddl == "CREATE TABLE t (a TEXT);\nINSERT INTO t (a) VALUES ('x'), ('y''z');"


def test_generated_columns_are_columns() -> None:
    text = "CREATE TABLE t (a INT, b INT AS (a*2), c TEXT GENERATED ALWAYS AS (a) STORED)"
    database = Schemas(insert_rows=1).load(f"{text}; INSERT INTO t VALUES (1)")
    assert database.ddl.startswith(
        "CREATE TABLE t (a INT, b INT, c TEXT);\nINSERT INTO t (a, b, c) VALUES (1, 2, '1')"
    )
    database.connection.compile("SELECT b, c FROM t")


def test_a_query_on_a_virtual_table_compiles() -> None:
    for text in ("", "PRAGMA page_size = 512; SET x = 1; "):
        database = Schemas().load(f"{text}CREATE VIRTUAL TABLE d USING fts5(a, b); {TEA}")
        assert database.ddl in (f"CREATE TABLE d (a, b);\n{TEA}", f"{TEA}\nCREATE TABLE d (a, b);")
        database.connection.compile("SELECT a, rank FROM d WHERE d MATCH 'x' ORDER BY rank")


def test_a_virtual_table_without_its_module_does_not_lose_the_others() -> None:
    database = Schemas().load(f"CREATE VIRTUAL TABLE d USING geo(a); {TEA}")
    assert database.ddl == TEA
    assert database.unreadable == {"d": "no such module: geo"}


@pytest.mark.parametrize("start", ["", "SET x = 1; "])
def test_a_virtual_table_whose_rows_are_elsewhere_has_none(start: str) -> None:
    text = f"{start}CREATE VIRTUAL TABLE d USING fts5(a, content='gone'); {TEA} INSERT INTO tea VALUES ('x');"
    database = Schemas(insert_rows=1).load(text)
    assert "INSERT INTO tea (name) VALUES ('x');" in database.ddl
    assert database.skipped["rows that SQLite cannot read"] == 1


@pytest.mark.parametrize("function", ["json_each('[1]')", "json_tree('{}')", "tea, json_each(tea.name) AS j"])
def test_an_answer_may_use_table_valued_functions(function: str) -> None:
    loader = Schemas()
    for text in (TEA, "CREATE TABLE other (a INT)", TEA.replace("tea", "tea2"), TEA):
        connection = loader.load(text).connection
    connection.compile(f"SELECT * FROM {function}")


def test_an_answer_names_no_schema() -> None:
    database = Schemas().load("CREATE SCHEMA s; CREATE TABLE s.t (id int, name text);")
    assert database.ddl == "CREATE TABLE t (id INTEGER, name TEXT);"
    assert database.answer("SELECT s.t.name FROM s.t") == "SELECT t.name FROM t"
    assert Schemas().load(TEA).answer("SELECT s.t.name FROM s.t") == "SELECT s.t.name FROM s.t"


def test_what_is_skipped_is_counted() -> None:
    text = f"CREATE DATABASE shop; USE shop; {TEA} CREATE INDEX i ON tea (name); GRANT ALL ON tea TO x;"
    counts = {"CREATE DATABASE": 1, "USE": 1, "CREATE INDEX": 1, "GRANT": 1}
    assert Schemas().load(text).skipped == counts
    sqlite = f"{TEA} CREATE INDEX i ON tea (name); CREATE VIEW v AS SELECT 1; CREATE VIEW w AS SELECT 1"
    assert Schemas().load(sqlite).skipped == {"CREATE INDEX": 1, "CREATE VIEW": 2}


def test_the_dialect_may_be_named() -> None:
    loader = Schemas()
    text = "CREATE TABLE t (a BIT(3), b INTERVAL DAY(3) TO SECOND) TABLESPACE x"
    assert loader.load(text, "oracle").ddl != ""
    assert (
        loader.load("CREATE TABLE t (a STRING(5) OPTIONS(x = 1))", "bigquery").ddl
        == "CREATE TABLE t (a TEXT(5));"
    )


COMMENTED = """CREATE TABLE t (
  id INT, -- the number
  -- not of a column
  name TEXT /* as
     spoken */, plain TEXT
);"""


def test_comments_behind_columns_are_kept_on_request() -> None:
    plain = "CREATE TABLE t (id INT, name TEXT, plain TEXT);"
    assert Schemas().load(COMMENTED).ddl == plain
    kept = "CREATE TABLE t (\n  id INT, -- the number\n  name TEXT, -- as spoken\n  plain TEXT\n);"
    assert Schemas(comments=True).load(COMMENTED).ddl == kept
    assert Schemas(comments=True).load(f"SET x = 1; {COMMENTED}").ddl == kept
    assert Schemas(comments=True).load(kept).ddl == kept
    mysql = "CREATE TABLE `t` (`id` int unsigned COMMENT 'the number') ENGINE=InnoDB"
    assert Schemas(comments=True).load(mysql).ddl == "CREATE TABLE t (\n  id UINT -- the number\n);"


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


def test_a_temporary_table_is_not_there_for_a_query_either() -> None:
    database = Schemas().load(f"{TEA} CREATE TEMP TABLE scratch (temperature INT)")
    assert (database.ddl, database.skipped) == (TEA, {"CREATE TEMPORARY TABLE": 1})
    with pytest.raises(sqlite3.Error, match="no such table: scratch"):
        database.connection.compile("SELECT * FROM scratch")


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
