"""What a gold query says about the order of its rows, judged on a real database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from text2sql.evaluation.gold_order import gold_order

TABLE = """
CREATE TABLE team (name TEXT, city TEXT COLLATE NOCASE, points INT);
INSERT INTO team VALUES ('A', 'Rom', 3), ('B', 'rom', 5), ('C', 'Bern', 5), ('D', NULL, NULL),
    ('E', 'Oslo', 3);
"""


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(TABLE)
        yield connection


def blocks(database: sqlite3.Connection, gold: str) -> list[set[str]]:
    """The first columns of the rows that may change places, in the gold's order."""
    ties = gold_order(gold).ties
    assert ties is not None
    found: dict[int, set[str]] = {}
    for row in database.execute(ties):
        found.setdefault(row[-1], set()).add(row[0])
    return list(found.values())


@pytest.mark.parametrize(
    ("gold", "expected"),
    [
        ("SELECT name FROM team ORDER BY points", [{"D"}, {"A", "E"}, {"B", "C"}]),
        ("SELECT name FROM team ORDER BY points DESC", [{"B", "C"}, {"A", "E"}, {"D"}]),
        ("SELECT name FROM team ORDER BY points DESC, name", [{"B"}, {"C"}, {"A"}, {"E"}, {"D"}]),
        ("SELECT name, points FROM team ORDER BY 2", [{"D"}, {"A", "E"}, {"B", "C"}]),
        ("SELECT name, points AS p FROM team ORDER BY p", [{"D"}, {"A", "E"}, {"B", "C"}]),
        ("SELECT name, -points AS points FROM team ORDER BY points", [{"D"}, {"B", "C"}, {"A", "E"}]),
        ("SELECT name FROM team ORDER BY city", [{"D"}, {"C"}, {"E"}, {"A", "B"}]),  # NOCASE of the column
        ("SELECT name FROM team ORDER BY city COLLATE BINARY", [{"D"}, {"C"}, {"E"}, {"A"}, {"B"}]),
        ("SELECT * FROM team ORDER BY points;", [{"D"}, {"A", "E"}, {"B", "C"}]),
        ("SELECT max(name) FROM team GROUP BY points ORDER BY count(*) DESC", [{"E", "C"}, {"D"}]),
        ("SELECT name FROM team ORDER BY points LIMIT 2", [{"D"}, {"A", "E"}, {"B", "C"}]),
        ("SELECT name FROM team LIMIT 2", [{"A", "B", "C", "D", "E"}]),
        (
            "WITH best AS (SELECT * FROM team WHERE points = 5) SELECT name FROM best ORDER BY points",
            [{"B", "C"}],
        ),
    ],
)
def test_rows_with_equal_sort_keys_may_change_places(
    database: sqlite3.Connection, gold: str, expected: list[set[str]]
) -> None:
    assert blocks(database, gold) == expected


@pytest.mark.parametrize(
    "gold",
    [
        "SELECT name FROM team",
        "SELECT name FROM (SELECT * FROM team ORDER BY points LIMIT 3)",
        "SELECT name FROM team WHERE city = (SELECT city FROM team ORDER BY points LIMIT 1)",
        "SELECT name FROM team WHERE name = 'order by'",
        "SELECT row_number() OVER (ORDER BY points) FROM team",
    ],
)
def test_without_an_outermost_order_or_limit_any_order_is_right(gold: str) -> None:
    assert gold_order(gold).any_order


@pytest.mark.parametrize(
    "gold",
    [
        "SELECT name FROM team UNION SELECT city FROM team ORDER BY 1",
        "SELECT * FROM team ORDER BY 1",
        "SELECT name FROM team ORDER BY 7",
        "SELECT name FROM team LIMIT 2 OFFSET (SELECT 1)",
        "SELECT name FROM team; SELECT city FROM team ORDER BY city",
        "SELECT FROM WHERE ORDER BY (((",
        "(SELECT name FROM team ORDER BY points)",
    ],
)
def test_where_the_ties_cannot_be_found_only_the_golds_own_order_is_right(gold: str) -> None:
    found = gold_order(gold)
    assert (found.any_order, found.ties) == (False, None)


@pytest.mark.parametrize(
    ("end", "skipped", "complete"),
    [("", 0, True), ("LIMIT 3", 0, False), ("LIMIT 3 OFFSET 2", 2, False), ("LIMIT 2, 3", 2, False)],
)
def test_the_rows_that_are_cut_off_are_known(end: str, skipped: int, complete: bool) -> None:
    found = gold_order(f"SELECT name FROM team ORDER BY points {end}")
    assert (found.skipped, found.complete) == (skipped, complete)
