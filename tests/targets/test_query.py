"""What counts as one query that only reads, and how SQLite's SQL is written for other databases."""

from __future__ import annotations

import pytest
from sqlglot import exp

from text2sql.schema.ddl import read_ddl
from text2sql.targets.model import Dialect, QueryRefused
from text2sql.targets.query import called_names, dotted_names, parse_query, translate, used_tables

SCHEMA = read_ddl(
    "CREATE TABLE Singer (Singer_ID INTEGER PRIMARY KEY, Name TEXT, Age INT);"
    "CREATE TABLE concert (id INT, singer_id INT, name TEXT);"
)
ALL: tuple[Dialect, ...] = ("sqlite", "duckdb", "postgres", "mysql")


@pytest.mark.parametrize("dialect", ALL)
@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("", "there is no query"),
        ("-- nothing", "there is no query"),
        ("SELECT 1; SELECT 2", "more than one statement"),
        ("DROP TABLE t", "not a SELECT but DROP"),
        ("DELETE FROM t", "not a SELECT but DELETE"),
        ("WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone", "more than read: DELETE"),
        ("SELECT 1 INTO t", "more than read: INTO"),
        ("SELECT * FROM t FOR UPDATE", "more than read: LOCK"),
        ("PRAGMA user_version", "not a SELECT"),
        ("EXPLAIN SELECT 1", "not a SELECT"),
        ("I do not know", "it is not"),
        ("SELECT (" * 3000, "it is not"),
        ("SELECT '\ud800'", "half a surrogate pair"),
        ("SELECT '\0'", "or NUL"),
        ("SELECT 1 --" + "x" * 100_000, "more than 100000 characters"),
    ],
)
def test_other_texts_than_one_query_are_refused(sql: str, why: str, dialect: Dialect) -> None:
    with pytest.raises(QueryRefused, match=why):
        parse_query(sql, dialect)


@pytest.mark.parametrize("dialect", ALL)
@pytest.mark.parametrize(
    "sql", ["SELECT 1", "SELECT 1 UNION SELECT 2;", "WITH a AS (SELECT 1) SELECT * FROM a", "(SELECT 1)"]
)
def test_queries_of_all_forms_are_read(sql: str, dialect: Dialect) -> None:
    assert isinstance(parse_query(sql, dialect), exp.Query)


@pytest.mark.parametrize(
    ("sql", "dialect", "expected"),
    [
        ("select name from SINGER", "postgres", 'SELECT "Name" FROM "Singer"'),
        ("select name from SINGER", "mysql", "SELECT `Name` FROM `Singer`"),
        ("select name from SINGER", "sqlite", "select name from SINGER"),
        (
            "SELECT T1.NAME, T2.NAME FROM singer AS T1 JOIN concert AS T2 ON T1.singer_id = T2.singer_id",
            "postgres",
            'SELECT T1."Name", T2."name" FROM "Singer" AS T1 JOIN "concert" AS T2'
            ' ON T1."Singer_ID" = T2."singer_id"',
        ),
        (
            'SELECT id FROM concert WHERE name = "Bo"',
            "duckdb",
            'SELECT "id" FROM "concert" WHERE "name" = \'Bo\'',
        ),
        ('SELECT "age" FROM singer', "mysql", "SELECT `Age` FROM `Singer`"),
        (
            'SELECT age AS "a b" FROM singer ORDER BY "a b"',
            "mysql",
            "SELECT `Age` AS `a b` FROM `Singer` ORDER BY `a b`",
        ),
        (
            "SELECT id FROM concert WHERE name LIKE 'b%'",
            "postgres",
            'SELECT "id" FROM "concert" WHERE "name" ILIKE \'b%\'',
        ),
        ("SELECT name || '!' FROM concert", "mysql", "SELECT CONCAT(`name`, '!') FROM `concert`"),
        (
            "WITH old AS (SELECT name FROM singer) SELECT name FROM old",
            "postgres",
            'WITH old AS (SELECT "Name" FROM "Singer") SELECT "Name" FROM old',
        ),
        (
            "SELECT T1.name FROM singer AS t1 WHERE T1.age > 1",
            "mysql",
            "SELECT t1.`Name` FROM `Singer` AS t1 WHERE t1.`Age` > 1",
        ),
        (
            'SELECT count(*) AS "Total" FROM singer ORDER BY total',
            "postgres",
            'SELECT COUNT(*) AS "Total" FROM "Singer" ORDER BY "Total" NULLS FIRST',
        ),
        (
            'SELECT id FROM concert WHERE name = "Age" OR name = "singer"',
            "postgres",
            'SELECT "id" FROM "concert" WHERE "name" = \'Age\' OR "name" = \'singer\'',
        ),
        (
            'SELECT "AGE" FROM (SELECT * FROM singer) AS s WHERE EXISTS (SELECT 1 FROM concert)',
            "postgres",
            'SELECT "Age" FROM (SELECT * FROM "Singer") AS s WHERE EXISTS(SELECT 1 FROM "concert")',
        ),
        (
            'WITH old ("a b") AS (SELECT 1) SELECT "a b" FROM old',
            "postgres",
            'WITH old("a b") AS (SELECT 1) SELECT "a b" FROM old',
        ),
        ("SELECT date('now')", "mysql", "SELECT DATE(CURRENT_TIMESTAMP())"),
        ("SELECT date('now')", "duckdb", "SELECT CAST(CURRENT_TIMESTAMP AS DATE)"),
        ("SELECT 'now'", "mysql", "SELECT 'now'"),
        ("SELECT 1 /* ; DROP TABLE singer */ -- x", "postgres", "SELECT 1"),
    ],
)
def test_translation(sql: str, dialect: Dialect, expected: str) -> None:
    assert translate(sql, SCHEMA, dialect) == expected


@pytest.mark.parametrize("call", ["date('now', '-1 year')", "strftime('%Y', name, '+1 day')"])
def test_modifiers_of_dates_are_refused_where_sqlite_is_not_asked(call: str) -> None:
    with pytest.raises(QueryRefused, match="with a modifier"):
        translate(f"SELECT {call} FROM concert", SCHEMA, "mysql")
    assert call in translate(f"SELECT {call} FROM concert", SCHEMA, "sqlite")


def test_the_tables_of_a_query_are_those_of_the_schema_and_not_its_own() -> None:
    sql = "WITH old AS (SELECT * FROM singer) SELECT * FROM old JOIN concert USING (id), (SELECT 1) AS x"
    assert used_tables(sql, "sqlite") == ("concert", "singer")


def test_an_unexpected_token_is_not_shown_as_sqlglot_names_it() -> None:
    with pytest.raises(QueryRefused, match=r"Expected table name$"):
        parse_query("SELECT * FROM", "sqlite")


def test_dotted_names_are_those_of_columns_and_functions_of_a_row() -> None:
    assert dotted_names('SELECT T.Age, (t)."Run" FROM public.t', "postgres") == {"age", "Run", "t"}


def test_called_names_have_quoted_functions_and_words_before_brackets() -> None:
    names = called_names('SELECT Remove(1), public."Other"(2), (3), a IN (4)', "postgres")
    assert names >= {"remove", "Other"} and "public" not in names
