"""Which of several queries is taken, by what they return."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from text2sql.evaluation.settings import EvaluationSettings
from text2sql.inference.voting import Ballot, Vote, vote

LIMITS = EvaluationSettings(timeout_s=1.0, max_rows=1000)
NAMES = "SELECT name FROM singer"
SAME_NAMES = "SELECT singer.name FROM singer WHERE 1"
AGES = "SELECT age FROM singer"
FAILING = "SELECT nme FROM singer"
ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
# one opcode that no interrupt reaches: its process is killed
STUBBORN = "SELECT instr(printf('%.*c', 6000000, 'a'), printf('%.*c', 3000000, 'a') || 'b')"


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("databases")
    (folder / "concert").mkdir()
    with closing(sqlite3.connect(folder / "concert" / "concert.sqlite")) as connection:
        connection.executescript(
            "CREATE TABLE singer (name, age);INSERT INTO singer VALUES ('Ann', 30), ('Bo', 30), ('Cy', 50);"
        )
    return folder


def ballot(*queries: str, logprobs: tuple[float, ...] = ()) -> Ballot:
    return Ballot("concert", queries, logprobs or (None,) * len(queries))


def one_vote(databases: Path, *queries: str, logprobs: tuple[float, ...] = ()) -> Vote:
    (found,) = vote([ballot(*queries, logprobs=logprobs)], databases, LIMITS)
    return found


def test_the_result_of_most_queries_wins_whatever_their_words(databases: Path) -> None:
    assert one_vote(databases, AGES, NAMES, SAME_NAMES) == Vote(1, 2 / 3, None)


def test_a_tie_goes_to_the_likeliest_query_and_without_likelihoods_to_the_first(databases: Path) -> None:
    assert one_vote(databases, AGES, NAMES, logprobs=(-0.5, -0.1)) == Vote(1, 0.5, None)
    assert one_vote(databases, AGES, NAMES) == Vote(0, 0.5, None)


def test_of_equal_results_the_likeliest_query_is_taken(databases: Path) -> None:
    assert one_vote(databases, NAMES, SAME_NAMES, AGES, logprobs=(-0.5, -0.1, -0.01)).chosen == 1


def test_a_query_that_fails_has_no_vote_however_often_it_comes(databases: Path) -> None:
    found = one_vote(databases, FAILING, FAILING, FAILING, NAMES, logprobs=(-0.1, -0.1, -0.1, -9.0))
    assert found == Vote(3, 0.25, None)


def test_if_all_fail_the_likeliest_is_taken_with_what_sqlite_says(databases: Path) -> None:
    found = one_vote(databases, "SELECT", FAILING, logprobs=(-2.0, -1.0))
    assert found == Vote(1, 0.0, "no such column: nme")


@pytest.mark.parametrize(
    ("sql", "failure"),
    [
        ("", "empty: no statement"),
        ("SELECT FROM", 'syntax: near "FROM": syntax error'),
        ("DELETE FROM singer", "denied: not authorized"),
        ("SELECT 1; SELECT 2", "denied: You can only execute one statement at a time."),
        ("SELECT s.name FROM singer s, singer t, singer u WHERE name", "ambiguous column name: name"),
        (ENDLESS, "timeout: interrupted"),
        (STUBBORN, "timeout: its process was killed"),
    ],
)
def test_a_query_without_a_result_says_why_and_costs_no_other_its_vote(
    databases: Path, sql: str, failure: str
) -> None:
    alone, beside = vote([ballot(sql), ballot(sql, NAMES)], databases, LIMITS)
    assert alone == Vote(0, 0.0, failure)
    assert beside == Vote(1, 0.5, None)


def test_order_counts_for_a_query_that_asks_for_it(databases: Path) -> None:
    up, down = f"{NAMES} ORDER BY name", f"{NAMES} ORDER BY name DESC"
    assert one_vote(databases, down, up, NAMES, up).agreement == 0.75


def test_distinct_counts(databases: Path) -> None:
    assert one_vote(databases, AGES, "SELECT DISTINCT age FROM singer").agreement == 0.5


def test_each_ballot_is_a_vote_of_its_own(databases: Path) -> None:
    found = vote([ballot(AGES, NAMES, SAME_NAMES), ballot(AGES), ballot(FAILING)], databases, LIMITS)
    assert found == [Vote(1, 2 / 3, None), Vote(0, 1.0, None), Vote(0, 0.0, "no such column: nme")]


def test_no_ballots_are_no_votes(databases: Path) -> None:
    assert vote([], databases, LIMITS) == []
