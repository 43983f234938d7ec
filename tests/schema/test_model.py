"""A part of a schema."""

from __future__ import annotations

import pytest

from text2sql.schema.ddl import read_ddl, write_ddl
from text2sql.schema.model import Column, ForeignKey, Place, Schema, Table

SCHEMA = read_ddl(
    "CREATE TABLE Singer (Id INTEGER PRIMARY KEY, Name TEXT);"
    "CREATE TABLE song (singer_id INTEGER REFERENCES Singer (Id), no INTEGER, PRIMARY KEY (singer_id, no));"
)
SINGER, NAME = ("singer", "id"), ("singer", "name")
SONG, NUMBER = ("song", "singer_id"), ("song", "no")


@pytest.mark.parametrize(
    ("chosen", "part"),
    [
        ({NAME}, "CREATE TABLE Singer (Name TEXT);"),
        ({NUMBER, SONG}, "CREATE TABLE song (singer_id INTEGER, no INTEGER, PRIMARY KEY (singer_id, no));"),
        ({NAME, SONG}, "CREATE TABLE Singer (Name TEXT);\nCREATE TABLE song (singer_id INTEGER);"),
        (
            {SINGER, SONG},
            "CREATE TABLE Singer (Id INTEGER PRIMARY KEY);\n"
            "CREATE TABLE song (singer_id INTEGER REFERENCES Singer (Id));",
        ),
    ],
)
def test_a_part_has_the_keys_between_its_columns(chosen: set[Place], part: str) -> None:
    assert write_ddl(SCHEMA.only(chosen)) == part


def test_all_columns_are_the_whole_schema() -> None:
    assert SCHEMA.only({SINGER, NAME, SONG, NUMBER}) == SCHEMA


def test_no_column_is_no_table() -> None:
    assert SCHEMA.only(set()) == Schema(())


def test_a_key_that_names_no_columns_stays_only_with_the_table_that_it_refers_to() -> None:
    key = ForeignKey(("b_id",), "b", ())
    schema = Schema((Table("a", (Column("b_id"),), foreign_keys=(key,)), Table("b", (Column("x"),))))
    assert schema.only({("a", "b_id")}).tables[0].foreign_keys == ()
    assert schema.only({("a", "b_id"), ("b", "x")}) == schema


def test_columns_keep_their_comments() -> None:
    schema = Schema((Table("a", (Column("x", comment="what it means"), Column("y"))),))
    assert schema.only({("a", "x")}).tables[0].columns[0].comment == "what it means"
