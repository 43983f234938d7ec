"""The fast check accepts only rows that the full check accepts, with the same schema."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from text2sql.preparation.plain import PlainCheck
from text2sql.preparation.schemas import Schemas
from text2sql.preparation.sources import read_chunks
from text2sql.schema.ddl import read_ddl, write_ddl

ITEM = "CREATE TABLE item (id INTEGER PRIMARY KEY, name VARCHAR(20))"
SALE = "CREATE TABLE sale (id INT REFERENCES item (id), day DATE)"


def quick(schema: str, sql: str = "SELECT 1") -> str | None:
    with closing(PlainCheck()) as check:
        return check.ddl(schema, sql)


@pytest.mark.parametrize(
    "schema", [ITEM, f"{ITEM};", f"{ITEM};{SALE};", f"{ITEM}; {SALE}", f"{ITEM};\r\n{SALE}"]
)
def test_a_plain_schema_is_written_as_sqlite_reads_it(schema: str) -> None:
    assert quick(schema) == write_ddl(read_ddl(schema))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT NAME FROM Item",
        'SELECT count(*) FROM item WHERE name = "tea" GROUP BY id HAVING count(*) > 1 ORDER BY 1 LIMIT 2',
        "select i.id from item i natural join sale UNION SELECT id FROM (SELECT * FROM sale) AS s",
        "SELECT 1 FROM item AS a JOIN sale AS b ON a.id = b.id WHERE EXISTS (SELECT id FROM item)",
        "SELECT rank() OVER (PARTITION BY day ORDER BY id) FROM sale",
    ],
)
def test_a_plain_query_compiles(sql: str) -> None:
    assert quick(f"{ITEM};{SALE}", sql) is not None


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT naem FROM item",
        "SELECT id FROM item, sale",
        "SELECT name FROM items",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE item",
        "SELECT rowid FROM item",
        "WITH x AS (SELECT 1) SELECT * FROM x",
        "DELETE FROM item",
        "VALUES (1)",
        "SELECT (",
    ],
)
def test_rows_that_are_not_plain_or_do_not_compile_are_left_to_the_full_check(sql: str) -> None:
    assert quick(f"{ITEM};{SALE}", sql) is None


@pytest.mark.parametrize(
    "schema",
    [
        "",
        "CREATE TABLE t (a INT, A INT)",
        "CREATE TABLE t (a INT); CREATE TABLE T (b INT)",
        "CREATE TABLE t (group INT)",
        "CREATE TABLE order (a INT)",
        "CREATE TABLE SQLITE_t (a INT)",
        "CREATE TABLE t (a INT PRIMARY KEY, b INT PRIMARY KEY)",
        "CREATE TABLE t (a INT, CONSTRAINT INT)",
        "CREATE TABLE t (left INT)",
        "CREATE TABLE t (a INT REFERENCES u (full))",
        "CREATE TABLE t (a INT UNIQUE)",
        "CREATE TABLE t (a)",
        "create table t (a INT)",
        "CREATE TABLE t (a  INT)",
        "CREATE TABLE t (ma\u00f1ana INT)",
        "CREATE TABLE t (a INT); INSERT INTO t VALUES (1)",
        "CREATE TABLE t (a INT) -- x",
        "CREATE TABLE t (a INT);; ",
    ],
)
def test_schemas_that_sqlite_refuses_or_changes_are_left_to_the_full_check(schema: str) -> None:
    assert quick(schema) is None


@pytest.mark.slow
def test_the_full_check_accepts_every_row_of_sql_create_context_that_the_fast_check_accepts(
    real_data: Path,
) -> None:
    schemas, taken = Schemas(), 0
    with closing(PlainCheck()) as check:
        for chunk in read_chunks(real_data / "sql_create_context" / "train.jsonl"):
            for _, row in chunk.rows:
                ddl = check.ddl(row["context"], row["answer"])
                if ddl is None:
                    continue
                taken += 1
                database = schemas.load(row["context"])
                assert database.ddl == ddl
                try:
                    database.connection.compile(row["answer"])
                except sqlite3.Error as error:
                    pytest.fail(f"{row}: {error}")
    assert taken > 7500
