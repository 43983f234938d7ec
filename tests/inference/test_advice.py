"""What a model is told about a name that SQLite does not know."""

from __future__ import annotations

import sqlite3

import pytest

from text2sql.inference.advice import Unknown, advice, unknown_name
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
    ("SELECT * FROM pet", "no table is called pet; the nearest names are pets"),
    ("SELECT * FROM main.Peoples", "no table is called Peoples; the nearest names are people"),
    ("SELECT * FROM shop.Pets", "the table shop.Pets is called Pets"),
    ("SELECT * FROM car", "no table is called car; the tables are people, poker_player, pets"),
]


def told_of(failure: str, ddl: str = DDL) -> str:
    unknown = unknown_name(failure)
    assert unknown is not None
    return advice(unknown, read_ddl(ddl))


@pytest.mark.parametrize(("sql", "told"), FAILURES)
def test_the_messages_of_sqlite_lead_to_the_names_that_are_there(sql: str, told: str) -> None:
    connection = sqlite3.connect(":memory:")
    connection.executescript(DDL)
    with pytest.raises(sqlite3.OperationalError) as failed:
        connection.execute(sql)
    connection.close()
    assert told_of(str(failed.value)) == told


def test_the_question_of_newer_versions_of_sqlite_is_no_part_of_the_name() -> None:
    failure = 'no such column: "name" - should this be a string literal in single-quotes?'
    assert told_of(failure) == "name is a column of people"


def test_a_note_does_not_list_the_tables_of_a_large_schema() -> None:
    large = "".join(f"CREATE TABLE t{number} (x INTEGER);" for number in range(21))
    assert told_of("no such table: employee", large) == "no table is called employee"


@pytest.mark.parametrize(
    "failure",
    [
        *("", "timeout", "empty: no statement", 'near "FROM": syntax error', "no such function: YEAR"),
        *("no such column: ", "no such column: .", "no such column: '", "no such table: "),
    ],
)
def test_other_messages_tell_nothing(failure: str) -> None:
    assert unknown_name(failure) is None


def test_a_message_tells_whether_a_table_or_a_column_is_meant() -> None:
    assert unknown_name("no such table: a.b") == Unknown("table", "a.b")
    assert unknown_name("ambiguous column name: b") == Unknown("column", "b")
