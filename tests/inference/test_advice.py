"""What a model is told about a name that SQLite does not know."""

from __future__ import annotations

import sqlite3

import pytest

from text2sql.inference.advice import advice, unknown_column
from text2sql.schema.ddl import read_ddl

DDL = (
    "CREATE TABLE people (People_ID INTEGER, Name TEXT); "
    "CREATE TABLE poker_player (Player_ID INTEGER, People_ID INTEGER, Final_Table_Made REAL); "
    'CREATE TABLE pets (PetID INTEGER, PetType TEXT, "pet age" INTEGER, "pet.no" TEXT);'
)
FAILURES = [
    ("SELECT T1.Name FROM poker_player AS T1", "Name is a column of people"),
    ("SELECT name FROM poker_player", "name is a column of people"),
    ("SELECT PEOPLE_ID FROM people JOIN poker_player", "PEOPLE_ID is a column of people, poker_player"),
    ("SELECT pet_type FROM pets", "no table has a column pet_type; the nearest names are pets.PetType"),
    (
        "SELECT pets.petage FROM pets",
        "no table has a column petage; the nearest names are pets.pet age, pets.PetType",
    ),
    ("SELECT zzzz FROM pets", "no table has a column zzzz"),
    ('SELECT T1."pet.no" FROM people AS T1', "pet.no is a column of pets"),
    ("SELECT * FROM cats", ""),
    ("SELECT FROM pets", ""),
]


@pytest.mark.parametrize(("sql", "told"), FAILURES)
def test_the_messages_of_sqlite_lead_to_the_columns_that_are_there(sql: str, told: str) -> None:
    connection = sqlite3.connect(":memory:")
    connection.executescript(DDL)
    with pytest.raises(sqlite3.OperationalError) as failed:
        connection.execute(sql)
    connection.close()
    assert advice(unknown_column(str(failed.value)), read_ddl(DDL)) == told


def test_the_question_of_newer_versions_of_sqlite_is_no_part_of_the_name() -> None:
    failure = 'no such column: "name" - should this be a string literal in single-quotes?'
    assert advice(unknown_column(failure), read_ddl(DDL)) == "name is a column of people"


@pytest.mark.parametrize(
    "failure",
    ["", "timeout", "empty: no statement", "no such column: ", "no such column: .", "no such column: '"],
)
def test_other_messages_tell_nothing(failure: str) -> None:
    assert advice(unknown_column(failure), read_ddl(DDL)) == ""
