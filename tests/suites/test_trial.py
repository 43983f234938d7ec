"""What one database says about gold queries and their near-misses."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from text2sql.evaluation.execution.sandbox import DatabaseError
from text2sql.suites.trial import Outcome, Pairs, tie_probes, try_pairs


@pytest.fixture
def people(tmp_path: Path) -> Path:
    path = tmp_path / "people.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE people (name TEXT, town TEXT, age INTEGER);"
            "INSERT INTO people VALUES ('Ann', 'Bern', 30), ('Ben', 'Bern', 40), ('Cid', 'Rome', 40);"
        )
    return path


def outcome(database: Path, gold: str, *near_misses: str) -> Outcome:
    return try_pairs(database, [Pairs(gold, near_misses)])


def test_a_near_miss_with_another_result_is_told_apart(people: Path) -> None:
    gold = "SELECT name FROM people WHERE age > 30"
    near = ("SELECT name FROM people WHERE age >= 30", "SELECT name FROM people WHERE age > 35")
    assert outcome(people, gold, *near).told == 0b01


def test_the_bits_of_all_pairs_are_in_one_row(people: Path) -> None:
    one = Pairs("SELECT count(*) FROM people", ("SELECT 3", "SELECT 4"))
    two = Pairs("SELECT max(age) FROM people", ("SELECT min(age) FROM people",))
    assert try_pairs(people, [one, two]).told == 0b110


def test_distinct_does_not_count_as_in_the_official_evaluator(people: Path) -> None:
    assert not outcome(people, "SELECT town FROM people", "SELECT DISTINCT town FROM people").told


def test_a_near_miss_that_fails_is_not_told_apart(people: Path) -> None:
    assert not outcome(people, "SELECT name FROM people", "SELECT nothing FROM people").told


def test_a_near_miss_without_end_is_not_told_apart(people: Path) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    assert not outcome(people, "SELECT name FROM people", endless).told


@pytest.mark.parametrize(
    "gold",
    [
        "SELECT name FROM people ORDER BY age DESC LIMIT 1",
        "SELECT name FROM people LIMIT 1",
        "SELECT name FROM people ORDER BY town",
        "SELECT name, town FROM people GROUP BY town",
        "SELECT name, count(*) FROM people",
        "SELECT town FROM people GROUP BY town HAVING name = 'Ann'",
        "SELECT age FROM people WHERE name = (SELECT name FROM people ORDER BY town LIMIT 1)",
    ],
)
def test_a_gold_whose_result_depends_on_the_order_of_ties_is_undecided(people: Path, gold: str) -> None:
    found = outcome(people, gold, "SELECT 1")
    assert found.undecided == (0,)
    assert not found.told


@pytest.mark.parametrize(
    "gold",
    [
        "SELECT name FROM people ORDER BY age LIMIT 1",
        "SELECT age FROM people ORDER BY age DESC LIMIT 1",
        "SELECT town FROM people GROUP BY town ORDER BY count(*) DESC LIMIT 1",
        "SELECT name FROM people",
        "SELECT age FROM people ORDER BY town, age",
        "SELECT town, count(*) FROM people GROUP BY town",
        "SELECT town, count(*) AS n FROM people GROUP BY town ORDER BY n",
        "SELECT name, max(age) FROM people WHERE town = 'Bern'",
        "SELECT age, count(*) FROM people WHERE age = 40 GROUP BY town HAVING age > 1 ORDER BY age",
        "SELECT name FROM people WHERE age = (SELECT max(age) FROM people) AND town = 'Rome'",
    ],
)
def test_a_gold_whose_ties_do_not_show_is_decided(people: Path, gold: str) -> None:
    assert outcome(people, gold, "SELECT 1").undecided == ()


@pytest.mark.parametrize(
    ("function", "values", "undecided"),
    [
        ("sum(x)", "(0.5), (1.25), (1000000)", ()),
        ("sum(x)", "(0.1), (0.2), (0.7)", (0,)),
        ("avg(x)", "(0.1), (0.2), (0.7)", (0,)),
        ("total(x)", "(0.1), (0.2), (0.7)", (0,)),
        ("sum(x * x)", "(0.125), (0.625), (3.375)", ()),
        ("sum(x * 1.1)", "(0.5), (1.25), (1000000)", (0,)),
        ("sum(x)", "('0.1'), ('0.2'), ('0.7 kg')", (0,)),
        ("sum(x)", "('0.5'), ('20'), (NULL), ('kg'), ('1.5 kg')", ()),
        ("sum(x)", "(9007199254740993), (1)", ()),
        ("avg(x)", "(9007199254740993), (1)", (0,)),
        ("sum(x)", "(9223372036854775807), (1), (-1)", (0,)),
        ("sum(x)", "(9e999), (1)", (0,)),
        ("sum(x) OVER (ORDER BY x)", "(0.1), (0.2), (0.7)", (0,)),
        ("sum(x) OVER (ORDER BY x ROWS 1 PRECEDING)", "(0.5), (0.25), (NULL), (3)", ()),
        ("sum(DISTINCT x)", "(0.7), (0.7)", ()),
        ("max(x)", "(0.1), (0.2), (0.7)", ()),
        ("sum(x)", "(NULL)", ()),
    ],
)
def test_a_gold_whose_sum_may_be_rounded_is_undecided(
    tmp_path: Path, function: str, values: str, undecided: tuple[int, ...]
) -> None:
    path = tmp_path / "t.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"CREATE TABLE t (x); INSERT INTO t VALUES {values}")
    assert outcome(path, f"SELECT {function} FROM t").undecided == undecided


def test_a_rounded_sum_that_a_view_makes_is_found(tmp_path: Path) -> None:
    path = tmp_path / "t.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE t (x); INSERT INTO t VALUES (0.1), (0.2), (0.7);"
            "CREATE VIEW v AS SELECT sum(x) AS s FROM t"
        )
    assert outcome(path, "SELECT s > 0 FROM v").undecided == (0,)
    assert try_pairs(path, [Pairs("SELECT max(x) FROM t", ())]).undecided == ()


def test_a_gold_that_fails_is_undecided(people: Path) -> None:
    assert outcome(people, "SELECT nothing FROM people", "SELECT 1").undecided == (0,)


def test_ties_are_broken_in_opposite_ways_where_one_value_is_null() -> None:
    probes = tie_probes("SELECT v FROM t ORDER BY g LIMIT 1")
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript("CREATE TABLE t (v, g); INSERT INTO t VALUES (NULL, 1), ('a', 1)")
        assert {connection.execute(sql).fetchone()[0] for sql in probes} == {None, "a"}


def test_a_query_that_cannot_be_parsed_has_no_probes() -> None:
    assert tie_probes("SELECT FROM WHERE ORDER BY (") == ()


def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    path.write_bytes(b"no database")
    with pytest.raises(DatabaseError, match=r"x\.sqlite"):
        outcome(path, "SELECT 1", "SELECT 2")
