"""text2sql.context.link: which columns a question needs, and the keys that stay."""

from __future__ import annotations

import pytest

from tests.context.databases import SINGERS
from text2sql.context.link import Linker
from text2sql.context.words import question_words
from text2sql.schema.ddl import read_ddl, write_ddl
from text2sql.schema.model import Schema

# a chain of tables, each with a column that only its own questions name
CHAIN = (
    "CREATE TABLE author (aid INTEGER PRIMARY KEY, surname TEXT, birthday TEXT);"
    "CREATE TABLE writes (aid INTEGER REFERENCES author (aid), pid INTEGER REFERENCES paper (pid));"
    "CREATE TABLE paper (pid INTEGER PRIMARY KEY, title TEXT, vid INTEGER REFERENCES venue (vid));"
    "CREATE TABLE venue (vid INTEGER PRIMARY KEY, city TEXT);"
    "CREATE TABLE island (beach TEXT, palm TEXT);"
)


def cut(ddl: str, question: str, budget: int) -> Schema:
    linker = Linker(read_ddl(ddl))
    return linker.cut(linker.scores(question_words(question)), budget)


def columns(schema: Schema) -> set[str]:
    return {f"{table.name}.{column.name}" for table in schema.tables for column in table.columns}


def test_the_columns_that_a_question_names_come_first() -> None:
    assert columns(cut(CHAIN, "Which beach has a palm?", 2)) == {"island.beach", "island.palm"}


def test_a_table_comes_with_its_primary_key() -> None:
    assert "venue.vid" in columns(cut(CHAIN, "In which city is the venue?", 2))


def test_the_tables_between_two_chosen_ones_stay_with_their_keys() -> None:
    found = cut(CHAIN, "Which author surname has which venue city?", 9)
    assert {table.name for table in found.tables} >= {"author", "writes", "paper", "venue"}
    joined = {"author.aid", "writes.aid", "writes.pid", "paper.pid", "paper.vid", "venue.vid"}
    assert columns(found) >= {*joined, "author.surname", "venue.city"}
    assert sum(len(table.foreign_keys) for table in found.tables) == 3


def test_a_cut_schema_has_no_key_to_a_column_that_is_not_shown() -> None:
    for budget in range(1, 12):
        schema = cut(CHAIN, "Which author surname has which venue city?", budget)
        shown = columns(schema)
        for table in schema.tables:
            for key in table.foreign_keys:
                assert {f"{key.table}.{name}" for name in key.references} <= shown
            assert {f"{table.name}.{name}" for name in table.primary_key} <= shown
        assert read_ddl(write_ddl(schema)) == schema


@pytest.mark.parametrize("budget", range(2, 13))
def test_no_more_columns_than_the_budget_are_shown(budget: int) -> None:
    assert 0 < len(columns(cut(CHAIN, "Which author has a paper with a title?", budget))) <= budget


def test_a_budget_of_all_columns_shows_the_whole_schema() -> None:
    assert cut(CHAIN, "What?", 12) == read_ddl(CHAIN)


def test_a_budget_of_one_still_shows_the_primary_key_of_the_first_table() -> None:
    assert columns(cut(SINGERS, "concert themes", 1)) == {"concert.concert_ID", "concert.Theme"}


def test_a_column_in_which_a_value_was_found_comes_first() -> None:
    linker = Linker(read_ddl(CHAIN))
    words = question_words("What about Maui?")
    assert columns(linker.cut(linker.scores(words, {("island", "palm"): 1.0}), 1)) == {"island.palm"}


@pytest.mark.parametrize("question", ["departments", "departmant", "department"])
def test_a_plural_an_abbreviation_or_a_misspelling_of_a_name_counts(question: str) -> None:
    ddl = "CREATE TABLE a (x TEXT, dept TEXT); CREATE TABLE b (department TEXT, y TEXT)"
    linker = Linker(read_ddl(ddl))
    scores = linker.scores(question_words(question))
    assert min(scores["b", "department"], scores["a", "dept"]) > scores["a", "x"]


def test_500_tables_are_cut() -> None:
    ddl = "".join(
        f"CREATE TABLE t{n} (id INTEGER PRIMARY KEY, name{n} TEXT, up INTEGER REFERENCES t{max(n - 1, 0)});"
        for n in range(500)
    )
    found = columns(cut(ddl, "What is name 77 and name 80?", 20))
    assert {"t77.name77", "t80.name80", "t78.up", "t79.up", "t80.up"} <= found
    assert len(found) <= 20
