"""Schemas are read as Spider writes them."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from text2sql.errors import UserError
from text2sql.evaluation.spider.schema import read_schemas, read_tables, schema_of


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


def test_without_the_file_the_tables_and_columns_are_those_of_tables_json(tmp_path: Path) -> None:
    schema = read_schemas(write(tmp_path / "tables.json", entry()))["music"]
    assert schema.tables == {"singer": ("id", "name"), "song": ("title", "singer_id")}
    assert schema.foreign_keys == {"song.singer_id": "singer.id", "singer.id": "singer.id"}


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


def test_foreign_keys_of_the_tables_file_take_precedence_over_those_of_the_database(tmp_path: Path) -> None:
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
