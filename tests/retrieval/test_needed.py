"""The part of a schema that a query needs."""

from __future__ import annotations

import pytest

from text2sql.inference.questions import prompt_of
from text2sql.prompts import prompt_form
from text2sql.retrieval.needed import needed_ddl

DDL = (
    "CREATE TABLE singer (id INTEGER PRIMARY KEY, name TEXT, age INTEGER); "
    "CREATE TABLE song (song_id INTEGER PRIMARY KEY, singer_id INTEGER REFERENCES singer (id), title TEXT); "
    "CREATE TABLE stadium (place TEXT); INSERT INTO singer VALUES (1, 'Ann', 20);"
)
CASES = [
    ("SELECT name FROM singer", "CREATE TABLE singer (name TEXT);"),
    ("SELECT count(*) FROM singer", "CREATE TABLE singer (id INTEGER PRIMARY KEY);"),
    (
        "SELECT * FROM singer",
        "CREATE TABLE singer (id INTEGER PRIMARY KEY, name TEXT, age INTEGER);",
    ),
    (
        "SELECT T1.name FROM singer AS T1 JOIN song AS T2 ON T1.id = T2.singer_id",
        "CREATE TABLE singer (id INTEGER PRIMARY KEY, name TEXT);\n"
        "CREATE TABLE song (singer_id INTEGER REFERENCES singer (id));",
    ),
    ("SELECT title FROM song", "CREATE TABLE song (title TEXT);"),
]


@pytest.mark.parametrize(("sql", "part"), CASES)
def test_tables_and_columns_that_the_query_names_stay_with_the_keys_between_them(sql: str, part: str) -> None:
    assert needed_ddl(DDL, sql) == part


@pytest.mark.parametrize("sql", ["SELECT (", "SELECT a FROM elsewhere"])
def test_the_schema_stays_whole_where_it_is_not_known_what_is_needed(sql: str) -> None:
    assert needed_ddl(DDL, sql) == DDL


def test_a_schema_that_sqlite_rejects_stays_as_it_is() -> None:
    assert needed_ddl("CREATE TABLE (", "SELECT a FROM t") == "CREATE TABLE ("


@pytest.mark.parametrize(("types", "column"), [(True, "name TEXT"), (False, "name")])
def test_the_part_has_types_in_a_prompt_where_the_schema_of_the_question_has_them(
    types: bool, column: str
) -> None:
    sql = "SELECT name FROM singer"
    example = {"question": "Who sings?", "ddl": needed_ddl(DDL, sql), "sql": sql}
    row = {"question": "Who?", "ddl": "CREATE TABLE singer (name TEXT);", "examples": [example]}
    _, user = prompt_of("row", row, types, False, prompt_form("compact"))
    assert user["content"].count(f"CREATE TABLE singer ({column});") == 2
