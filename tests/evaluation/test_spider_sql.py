"""SQL is read as the official script reads it, schemas as Spider writes them."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from text2sql.errors import UserError
from text2sql.evaluation.spider_sql import (
    MAX_CHARACTERS,
    Column,
    Query,
    SpiderSchema,
    UnreadableSQL,
    read_sql,
    read_tables,
    schema_of,
)

SCHEMA = SpiderSchema(
    {"singer": ("id", "name", "age"), "song": ("id", "singer_id", "title"), "sung": ("song_id",)}, {}
)
NAME = Column("none", "singer.name", False)


def read(sql: str) -> Query:
    return read_sql(sql, SCHEMA)


def columns(query: Query) -> list[str]:
    return [expression.left.name for _, expression in query.selected]


def is_readable(sql: str, schema: SpiderSchema | None = SCHEMA) -> bool:
    try:
        read_sql(sql, schema)
    except UnreadableSQL:
        return False
    return True


# --- queries ---


def test_every_clause_is_read() -> None:
    query = read(
        "SELECT DISTINCT T1.name, count(*) FROM singer AS T1 JOIN song AS T2 ON T1.id = T2.singer_id "
        "WHERE T1.age > 20 AND title LIKE 'x%' GROUP BY T1.name HAVING count(*) > 1 "
        "ORDER BY T1.name DESC LIMIT 3 EXCEPT SELECT name, age FROM singer"
    )
    assert (query.distinct, columns(query)) == (True, ["singer.name", "*"])
    assert [aggregate for aggregate, _ in query.selected] == ["none", "count"]
    assert query.tables == ("singer", "song")
    assert len(query.joined_on) == 1
    assert [part if isinstance(part, str) else part.operator for part in query.where] == [">", "and", "like"]
    assert query.grouped == (NAME,)
    assert len(query.having) == 1
    assert (query.direction, [it.left for it in query.ordered], query.limited) == ("desc", [NAME], True)
    assert query.set_operator == "except"
    assert query.other is not None
    assert columns(query.other) == ["singer.name", "singer.age"]


def test_letter_case_spacing_and_the_kind_of_quotes_do_not_matter() -> None:
    query = read("SELECT name FROM singer WHERE name = 'X'")
    assert read('select NAME\nfrom  Singer where name  =  "X"') == query


def test_quoted_text_keeps_its_case() -> None:
    assert read("SELECT name FROM singer WHERE name = 'X'") != read(
        "SELECT name FROM singer WHERE name = 'x'"
    )


def test_an_unqualified_column_belongs_to_the_first_table_that_has_it() -> None:
    assert columns(read("SELECT id, title FROM song JOIN singer")) == ["song.id", "song.title"]


def test_an_alias_holds_in_the_whole_text() -> None:
    sql = "SELECT name FROM singer WHERE id IN (SELECT T9.singer_id FROM song) UNION SELECT title FROM song"
    assert is_readable(f"{sql} AS T9")
    assert not is_readable(sql)


def test_the_direction_of_the_last_column_is_that_of_order_by() -> None:
    assert read("SELECT name FROM singer ORDER BY age DESC, name ASC").direction == "asc"


def test_what_follows_the_grammar_is_ignored() -> None:
    query = read("SELECT name FROM singer ORDER BY age")
    assert read("SELECT name FROM singer ORDER BY age NULLS LAST LIMIT 1 -- whatever") == query


def test_all_up_to_the_next_and_is_lost_after_a_compared_column() -> None:
    lost = "SELECT name FROM singer JOIN song ON singer.id = song.singer_id OR singer.id = song.id"
    assert read(lost) == read("SELECT name FROM singer JOIN song ON singer.id = song.singer_id")
    assert len(read(lost.replace("OR", "AND")).joined_on) == 3


def test_the_first_from_of_the_text_is_taken_for_that_of_the_query() -> None:
    assert not is_readable("SELECT (SELECT title FROM song), name FROM singer")


@pytest.mark.parametrize(
    "condition", ["age>20", "age>= 20", "age ! = 20", "age = 20;", "age IN(20)", "age = -20", "age = 2.5e1"]
)
def test_brackets_semicolons_and_inequality_signs_part_words(condition: str) -> None:
    assert is_readable(f"SELECT name FROM singer WHERE {condition}")


@pytest.mark.parametrize("condition", ["age=20", "age= 20", "age>=20", "age = - 20", "age = 20.", "age='x'"])
def test_equality_and_minus_signs_and_quotes_part_no_words(condition: str) -> None:
    assert not is_readable(f"SELECT name FROM singer WHERE {condition}")


def test_a_period_before_white_space_is_a_word_of_its_own() -> None:
    query = read("SELECT name FROM singer GROUP BY name")
    assert read("SELECT name FROM singer GROUP BY name. This counts them.") == query


@pytest.mark.parametrize(
    "condition",
    [
        "name IS NULL",
        "age IN (20, 30)",
        "(age = 20)",
        "NOT age = 20",
        "EXISTS (SELECT title FROM song)",
        "length(name) > 3",
        "age <> 20",
        "name = 'it's'",
        "name = 'it''s'",
        "age = 20 AND = 30",
        "age",
        "age =",
        "age BETWEEN 20",
        "age = (age)",
        "age = max(age)",
        "`name` = 'x'",
        "a.b.c = 1",
        "unknown = 1",
        "age = 20 name = 'x' AND age = 30",
    ],
)
def test_a_condition_outside_the_grammar_is_refused(condition: str) -> None:
    with pytest.raises(UnreadableSQL):
        read(f"SELECT name FROM singer WHERE {condition}")


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "hello",
        "SELECT name",
        "SELECT name FROM",
        "SELECT name FROM nowhere",
        "SELECT name FROM singer, song",
        "SELECT name AS n FROM singer",
        "SELECT name FROM singer AS",
        "SELECT name FROM singer AS song",
        "SELECT s.name FROM singer s",
        "SELECT name FROM (SELECT name FROM singer) AS s",
        "SELECT name FROM singer LEFT JOIN song",
        "SELECT max(age) - min(age) FROM singer",
        "SELECT name FROM singer ORDER age",
        "SELECT name FROM singer LIMIT",
        "SELECT name FROM singer UNION ALL SELECT title FROM song",
        "(SELECT name FROM singer",
        "WITH s AS (SELECT name FROM singer) SELECT name FROM s",
        "DELETE FROM singer",
    ],
)
def test_a_query_outside_the_grammar_is_refused(sql: str) -> None:
    with pytest.raises(UnreadableSQL):
        read(sql)


def test_a_second_condition_without_and_is_kept_in_the_place_of_the_and() -> None:
    first, second = read("SELECT name FROM singer WHERE age = 20 name = 'x'").where
    assert (first.tested.left.name, second.tested.left.name) == ("singer.age", "singer.name")  # type: ignore[union-attr]


def test_two_subqueries_can_stand_side_by_side_in_from() -> None:
    query = read("SELECT count(*) FROM (SELECT name FROM singer) (SELECT title FROM song)")
    assert [columns(part) for part in query.tables if isinstance(part, Query)] == [
        ["singer.name"],
        ["song.title"],
    ]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT name FROM singer WHERE id IN (" * 1000,
        "SELECT name FROM (" * 1000,
        "SELECT name FROM singer UNION " * 1000,
    ],
)
def test_deep_nesting_is_refused(sql: str) -> None:
    with pytest.raises(UnreadableSQL, match="deeply"):
        read(sql)


def test_a_text_that_is_too_long_is_refused() -> None:
    with pytest.raises(UnreadableSQL, match=str(MAX_CHARACTERS)):
        read("SELECT name FROM singer".ljust(MAX_CHARACTERS + 1))


def test_without_a_schema_any_name_is_taken() -> None:
    assert columns(read_sql("SELECT T1.a FROM b AS T1 WHERE 18_49_share = 'x'", None)) == ["t1.a"]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a b FROM t",
        "SELECT a FROM t u",
        "SELECT lower(a) FROM t",
        "SELECT a FROM t ORDER BY lower(a)",
        "SELECT a FROM t WHERE b IS NULL OR c = 1",
        "SELECT a FROM t GROUP BY 1",
    ],
)
def test_without_a_schema_what_may_be_no_column_is_refused(sql: str) -> None:
    with pytest.raises(UnreadableSQL):
        read_sql(sql, None)


KEYWORDS = "select from where group by order having limit union join on as and or not in between like count"
SIGNS = "( ) , ; = * - . > ! ' \" ` -- é ’ 1 2.5 'x' name age title singer song T1 T1.name"
WORDS = st.sampled_from([*KEYWORDS.split(), *SIGNS.split()])


@given(st.lists(WORDS, max_size=30).map(" ".join) | st.text(), st.sampled_from([SCHEMA, None]))
def test_any_text_is_read_or_refused_whatever_space_is_around_it(
    text: str, schema: SpiderSchema | None
) -> None:
    def outcome(sql: str) -> Query | None:
        try:
            return read_sql(sql, schema)
        except UnreadableSQL:
            return None

    assert outcome(text) == outcome(f"\n {text}\t ")


# --- schemas ---


def make(path: Path, script: str) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    return path


def entry(**changes: Any) -> dict[str, Any]:
    return {
        "db_id": "music",
        "table_names_original": ["Singer", "Song"],
        "column_names_original": [[-1, "*"], [0, "ID"], [0, "Name"], [1, "Title"], [1, "Singer_ID"]],
        "foreign_keys": [[4, 1]],
        **changes,
    }


def write(path: Path, *entries: object) -> Path:
    path.write_text(json.dumps(entries))
    return path


def test_a_schema_holds_the_tables_of_the_file_in_lower_case(tmp_path: Path) -> None:
    database = make(
        tmp_path / "music.sqlite",
        """
        CREATE TABLE Singer (ID INTEGER, "First Name" TEXT);
        CREATE TABLE "order" (a);
        CREATE VIEW v AS SELECT 1;
        """,
    )
    assert schema_of(database).tables == {"singer": ("id", "first name"), "order": ("a",)}


def test_foreign_keys_of_the_file_tie_columns(tmp_path: Path) -> None:
    database = make(
        tmp_path / "music.sqlite",
        """
        CREATE TABLE Singer (ID INTEGER PRIMARY KEY);
        CREATE TABLE Song (Singer_ID REFERENCES Singer (ID), Writer_ID REFERENCES Singer);
        CREATE TABLE Lost (a REFERENCES Nowhere (b), c REFERENCES Song (d));
        """,
    )
    assert schema_of(database).foreign_keys == {
        "singer.id": "singer.id",
        "song.singer_id": "singer.id",
        "song.writer_id": "singer.id",
    }


def test_foreign_keys_of_the_tables_file_go_before_those_of_the_database(tmp_path: Path) -> None:
    database = make(tmp_path / "music.sqlite", "CREATE TABLE Singer (ID INTEGER)")
    tables = read_tables(write(tmp_path / "tables.json", entry()))
    assert schema_of(database, tables).foreign_keys == {
        "singer.id": "singer.id",
        "song.singer_id": "singer.id",
    }


def test_a_tie_between_two_groups_joins_the_first_only(tmp_path: Path) -> None:
    columns = [[-1, "*"], *([0, name] for name in "abcde")]
    ties = [[2, 1], [4, 3], [4, 2], [5, 4]]
    found = read_tables(
        write(tmp_path / "tables.json", entry(column_names_original=columns, foreign_keys=ties))
    )
    assert found["music"] == {
        "singer.a": "singer.a",
        "singer.b": "singer.a",
        "singer.d": "singer.c",
        "singer.e": "singer.a",
        "singer.c": "singer.c",
    }


def test_the_database_is_left_as_it_was(tmp_path: Path) -> None:
    database = make(tmp_path / "music.sqlite", "CREATE TABLE Singer (ID INTEGER)")
    before = hashlib.sha256(database.read_bytes()).digest()
    schema_of(database)
    assert hashlib.sha256(database.read_bytes()).digest() == before
    assert [path.name for path in tmp_path.iterdir()] == ["music.sqlite"]


def test_a_missing_or_broken_database_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.sqlite"
    broken.write_text("no database, but text that is long enough" * 100)
    for path in (broken, tmp_path / "missing.sqlite"):
        with pytest.raises(UserError, match=path.name):
            schema_of(path)


def test_a_database_that_the_tables_file_lacks_is_named(tmp_path: Path) -> None:
    database = make(tmp_path / "other.sqlite", "CREATE TABLE t (a)")
    with pytest.raises(UserError, match=r"other\.sqlite: no entry 'other'"):
        schema_of(database, read_tables(write(tmp_path / "tables.json", entry())))


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        "music",
        {"db_id": "music"},
        entry(foreign_keys=[[4]]),
        entry(foreign_keys=[[4, 9]]),
        entry(foreign_keys=[[4, "1"]]),
        entry(column_names_original=["*"]),
        entry(column_names_original=[[5, "a"]]),
        entry(table_names_original=None),
        entry(db_id=["music"]),
    ],
)
def test_a_wrong_entry_of_the_tables_file_is_named(tmp_path: Path, wrong: object) -> None:
    path = write(tmp_path / "tables.json", entry(), wrong)
    with pytest.raises(UserError, match=r"tables\.json, schema 1: "):
        read_tables(path)


@pytest.mark.parametrize("text", ["{}", "no JSON"])
def test_a_tables_file_that_is_no_list_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tables.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"tables\.json"):
        read_tables(path)
    with pytest.raises(UserError, match=r"missing\.json"):
        read_tables(tmp_path / "missing.json")
