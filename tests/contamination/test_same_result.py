"""Queries with the result of a test query are found, whatever they look like."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from text2sql.contamination.databases import NO_SCHEMA, OTHER_SCHEMA, Place
from text2sql.contamination.folding import Signature, schema_signature
from text2sql.contamination.same_result import SameResults
from text2sql.errors import UserError
from text2sql.records import TestQuestion, TrainingRow

DDL = """
CREATE TABLE singer (id INTEGER PRIMARY KEY, name TEXT, age INTEGER, country TEXT);
CREATE TABLE concert (id INTEGER PRIMARY KEY, singer_id INTEGER REFERENCES singer (id), seats INTEGER);
"""
GOLDS = [
    "SELECT name FROM singer ORDER BY age DESC LIMIT 1",
    "SELECT name FROM singer WHERE id NOT IN (SELECT singer_id FROM concert)",
    "SELECT count(*) FROM singer WHERE country = 'Peru'",
    "SELECT name, age FROM singer ORDER BY age",
    "SELECT 1",
    "SELECT name FROM singer WHERE age > 900",
    "",
]
TEST = [TestQuestion(10 + at, "d", "?", gold, "", "all") for at, gold in enumerate(GOLDS)]
UNKNOWN = Place(NO_SCHEMA, "")


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("databases")
    for name in ("d", "other"):
        (folder / name).mkdir()
        with closing(sqlite3.connect(folder / name / f"{name}.sqlite")) as connection:
            connection.executescript(DDL)
            singers = [(n, f"s{n}", 20 + 3 * n % 31, ("Peru", "Chile")[n % 2]) for n in range(14)]
            connection.executemany("INSERT INTO singer VALUES (?, ?, ?, ?)", singers)
            concerts = [(n, n * n % 11, 100 + 7 * n) for n in range(20)]
            connection.executemany("INSERT INTO concert VALUES (?, ?, ?)", concerts)
            connection.commit()
    return folder


@pytest.fixture(scope="module")
def results(databases: Path) -> Iterator[SameResults]:
    with closing(SameResults(TEST, databases)) as made:
        yield made


def find(results: SameResults, sql: str, signature: Signature = NO_SCHEMA, db_id: str = "") -> int | None:
    row = TrainingRow("a:0", "a", "?", "", sql, db_id)
    return results.find([row], lambda row: Place(signature, db_id))[0]


@pytest.mark.parametrize(
    ("sql", "place"),
    [
        ("SELECT s.name FROM singer AS s WHERE s.age = (SELECT max(age) FROM singer)", 0),
        ("SELECT name FROM singer AS s WHERE NOT EXISTS (SELECT 1 FROM concert WHERE singer_id = s.id)", 1),
        ("SELECT name FROM singer LEFT JOIN concert ON singer.id = singer_id WHERE singer_id IS NULL", 1),
        ("SELECT sum(country = 'Peru') FROM singer", 2),
        ("SELECT age, name FROM singer ORDER BY age ASC", 3),
    ],
)
def test_another_query_with_the_same_result_is_found(results: SameResults, sql: str, place: int) -> None:
    assert find(results, sql) == place


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT name FROM singer ORDER BY age LIMIT 1",
        "SELECT name FROM singer WHERE id IN (SELECT singer_id FROM concert)",
        "SELECT count(*) FROM singer WHERE country = 'Chile'",  # as many here, not on the copies
        "SELECT 7",
        "SELECT 7 FROM singer LIMIT 1",
        "SELECT name, age FROM singer ORDER BY age DESC",
        "SELECT name, age FROM singer",
        "SELECT 1",
        "SELECT 1 FROM singer LIMIT 1",
        "SELECT name FROM singer WHERE age > 800",
        "SELECT name FROM dancer",
    ],
)
def test_another_result_and_one_that_says_nothing_are_not_found(results: SameResults, sql: str) -> None:
    assert find(results, sql) is None


def test_a_row_is_tried_on_the_database_of_its_name_or_where_its_schema_fits(results: SameResults) -> None:
    sql = "SELECT sum(country = 'Peru') FROM singer"
    own = schema_signature(DDL)
    namesake = schema_signature("CREATE TABLE singer (id, voice, fee, agent)")
    assert find(results, sql, own) == 2
    assert find(results, sql, schema_signature("CREATE TABLE singer (country, invented)")) == 2
    assert find(results, sql, namesake) is None
    assert find(results, sql, namesake, "D") == 2
    assert find(results, sql, OTHER_SCHEMA) is None


def test_every_query_of_a_block_has_its_answer_and_equal_ones_run_once(results: SameResults) -> None:
    sqls = ["SELECT sum(country = 'Peru') FROM singer", "DROP TABLE singer", "SELECT 3 FROM singer"] * 5
    rows = [TrainingRow(f"a:{at}", "a", "?", "", sql) for at, sql in enumerate(sqls)]
    assert results.find(rows, lambda row: UNKNOWN) == [2, None, None] * 5
    assert results.find([], lambda row: UNKNOWN) == []


def test_a_row_whose_schema_cannot_be_read_is_left_out(results: SameResults) -> None:
    row = TrainingRow("a:0", "a", "?", "CREATE", "SELECT sum(country = 'Peru') FROM singer")
    assert results.find([row], lambda row: None) == [None]


def test_the_copies_are_removed_at_the_end(databases: Path) -> None:
    made = SameResults(TEST, databases)
    folder = Path(made._folder.name)
    assert folder.is_dir()
    made.close()
    assert not folder.exists()


def test_questions_without_a_database_or_a_query_need_no_database(tmp_path: Path) -> None:
    test = [TestQuestion(0, "", "?", GOLDS[0], DDL, "all"), TestQuestion(1, "e", "?", "", DDL, "all")]
    with closing(SameResults(test, tmp_path / "none")) as made:
        assert find(made, GOLDS[0]) is None


@pytest.mark.parametrize("content", [None, b"no database"])
def test_a_missing_or_damaged_database_is_named_with_the_next_command(
    tmp_path: Path, content: bytes | None
) -> None:
    if content:
        (tmp_path / "d").mkdir()
        (tmp_path / "d/d.sqlite").write_bytes(content)
    with pytest.raises(UserError, match=r"d/d\.sqlite: .*dvc repro fetch_data; or leave out .* same_result"):
        SameResults(TEST, tmp_path)


def test_a_test_query_that_hangs_or_fails_is_passed_over(databases: Path) -> None:
    endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    test = [TestQuestion(0, "d", "?", sql, "", "all") for sql in (endless, "SELECT nothing", GOLDS[0])]
    with closing(SameResults(test, databases)) as made:
        assert find(made, endless) is None and find(made, GOLDS[0]) == 2
