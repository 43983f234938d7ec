"""Near-misses: what each kind makes of a query, and what holds for all of them."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from text2sql.schema.ddl import executed, read_ddl
from text2sql.schema.sqlite import read_sqlite
from text2sql.suites.near_misses import HELD_OUT, KINDS, is_readable, near_misses
from text2sql.suites.trees import Values

DDL = """
CREATE TABLE singer (id INTEGER PRIMARY KEY, name TEXT, country TEXT, age INT, fee INT);
CREATE TABLE concert (id INTEGER PRIMARY KEY, name TEXT, singer_id INT REFERENCES singer (id), year INT);
CREATE TABLE dancer (id INTEGER PRIMARY KEY, name TEXT, country TEXT, age INT);
CREATE TABLE "order" (id INTEGER PRIMARY KEY, "group" TEXT, "first name" TEXT);
"""
SCHEMA = read_ddl(DDL)
VALUES: Values = {
    ("singer", "country"): ["France", "Spain", None, b"x"],
    ("singer", "age"): [20, 30.5, -1],
    ("concert", "year"): [2014, 2015],
}
JOINED = "SELECT T1.name FROM singer AS T1 JOIN concert AS T2 ON T1.id = T2.singer_id"

# For each kind a gold query and one of the near-misses that it must have.
EXAMPLES = {
    "comparison": (
        "SELECT name FROM singer WHERE age BETWEEN 20 AND 30",
        "SELECT name FROM singer WHERE (age > 20 AND age <= 30)",
    ),
    "negation": (
        "SELECT name FROM singer WHERE id NOT IN (SELECT singer_id FROM concert)",
        "SELECT name FROM singer WHERE id IN (SELECT singer_id FROM concert)",
    ),
    "aggregate": ("SELECT max(age) FROM singer", "SELECT MIN(age) FROM singer"),
    "count_argument": ("SELECT count(country) FROM singer", "SELECT COUNT(DISTINCT country) FROM singer"),
    "distinct": ("SELECT country FROM singer", "SELECT DISTINCT country FROM singer"),
    "selected_column": ("SELECT name FROM singer", "SELECT singer.country FROM singer"),
    "condition_column": (
        "SELECT name FROM singer WHERE age > 20",
        "SELECT name FROM singer WHERE singer.fee > 20",
    ),
    "condition_dropped": (
        "SELECT name FROM singer WHERE age > 20 AND fee > 1",
        "SELECT name FROM singer WHERE fee > 1",
    ),
    "condition_added": ("SELECT count(*) FROM dancer", ""),
    "condition_moved": (
        "SELECT country FROM singer WHERE age > 20 GROUP BY country",
        "SELECT country FROM singer GROUP BY country HAVING age > 20",
    ),
    "connective": (
        "SELECT name FROM singer WHERE age > 20 AND fee > 1",
        "SELECT name FROM singer WHERE age > 20 OR fee > 1",
    ),
    "number": ("SELECT name FROM singer WHERE age > 20", "SELECT name FROM singer WHERE age > 21"),
    "other_value": (
        'SELECT name FROM singer WHERE country = "France"',
        "SELECT name FROM singer WHERE country = 'Spain'",
    ),
    "text_pattern": (
        'SELECT name FROM singer WHERE country = "France"',
        "SELECT name FROM singer WHERE country LIKE '%France%'",
    ),
    "null_handling": (
        "SELECT name FROM singer WHERE country != 'Spain'",
        "SELECT name FROM singer WHERE (country <> 'Spain' OR country IS NULL)",
    ),
    "arithmetic": ("SELECT age - fee FROM singer", "SELECT fee - age FROM singer"),
    "table": ("SELECT name, age FROM singer", "SELECT name, age FROM dancer AS singer"),
    "join_type": (
        JOINED,
        "SELECT t1.name FROM singer AS t1 LEFT JOIN concert AS t2 ON t1.id = t2.singer_id",
    ),
    "join_dropped": (JOINED, "SELECT t1.name FROM singer AS t1"),
    "join_key": (JOINED, "SELECT t1.name FROM singer AS t1 JOIN concert AS t2 ON t1.id = t2.id"),
    "group_key": (
        "SELECT country, count(*) FROM singer GROUP BY country",
        "SELECT country, COUNT(*) FROM singer GROUP BY singer.name",
    ),
    "having": (
        "SELECT country FROM singer GROUP BY country HAVING count(*) > 2",
        "SELECT country FROM singer GROUP BY country HAVING COUNT(*) > 3",
    ),
    "order_key": ("SELECT name FROM singer ORDER BY age", "SELECT name FROM singer ORDER BY singer.fee"),
    "order_direction": ("SELECT name FROM singer ORDER BY age", "SELECT name FROM singer ORDER BY age DESC"),
    "order_dropped": (
        "SELECT name FROM singer ORDER BY age LIMIT 2",
        "SELECT name FROM singer LIMIT 2",
    ),
    "limit": (
        "SELECT name FROM singer ORDER BY age LIMIT 2",
        "SELECT name FROM singer ORDER BY age LIMIT 3",
    ),
    "extreme": (
        "SELECT name FROM singer ORDER BY age DESC LIMIT 1",
        "SELECT name FROM singer WHERE age = (SELECT MAX(age) FROM singer)",
    ),
    "set_operator": (
        "SELECT name FROM singer UNION SELECT name FROM dancer",
        "SELECT name FROM singer INTERSECT SELECT name FROM dancer",
    ),
    "set_side": (
        "SELECT name FROM singer EXCEPT SELECT name FROM dancer",
        "SELECT name FROM dancer EXCEPT SELECT name FROM singer",
    ),
    "set_as_condition": (
        "SELECT name FROM singer WHERE age > 1 INTERSECT SELECT name FROM singer WHERE fee > 1",
        "SELECT name FROM singer WHERE age > 1 AND fee > 1",
    ),
    "membership": (
        "SELECT name FROM singer WHERE id NOT IN (SELECT singer_id FROM concert)",
        "SELECT name FROM singer LEFT JOIN (SELECT singer_id AS near_key FROM concert) AS near"
        " ON id = near.near_key",
    ),
}


def sqls(gold: str, kind: str) -> list[str]:
    """All near-misses of one kind."""
    return [near.sql for near in near_misses(gold, SCHEMA, VALUES, 0, 1000, [kind])]


def test_every_kind_has_an_example() -> None:
    assert tuple(EXAMPLES) == KINDS


@pytest.mark.parametrize("kind", [kind for kind in KINDS if EXAMPLES[kind][1]])
def test_a_kind_makes_of_its_gold_query_this_near_miss(kind: str) -> None:
    gold, expected = EXAMPLES[kind]
    assert expected in sqls(gold, kind)


def test_added_conditions_take_the_values_of_the_column() -> None:
    found = sqls("SELECT name FROM singer", "condition_added")
    assert found
    assert all(
        any(f" {value}" in sql for value in ("'France'", "'Spain'", "20", "30.5", "-1")) for sql in found
    )
    assert sqls("SELECT name FROM dancer", "condition_added") == []


def test_a_changed_select_list_keeps_its_number_of_columns() -> None:
    found = sqls("SELECT name, country FROM singer", "selected_column")
    assert found and all(sql.split(" FROM ")[0].count(",") == 1 for sql in found)


def test_names_that_need_quotes_keep_them() -> None:
    found = sqls('SELECT "group" FROM "order" WHERE "first name" = \'x\'', "selected_column")
    assert 'SELECT "order"."first name" FROM "order" WHERE "first name" = \'x\'' in found


def test_held_out_kinds_are_kinds() -> None:
    assert set(HELD_OUT) < set(KINDS) and len(HELD_OUT) == 5


def test_near_misses_compile_and_differ_from_each_other_and_from_the_gold_query() -> None:
    golds = [gold for gold, _ in EXAMPLES.values()]
    with executed(DDL) as connection:
        for gold in golds:
            found = [near.sql for near in near_misses(gold, SCHEMA, VALUES, 3)]
            assert len(set(found)) == len(found) > 0
            assert gold.casefold() not in {sql.casefold() for sql in found}
            for sql in found:
                connection.execute(sql)


def test_most_is_kept_to_and_kinds_take_turns() -> None:
    gold = EXAMPLES["condition_dropped"][0]
    everything = near_misses(gold, SCHEMA, VALUES, 0, 1000)
    applying = {near.kind for near in everything}
    few = near_misses(gold, SCHEMA, VALUES, 0, len(applying))
    assert len(few) == len(applying) == len({near.kind for near in few})
    assert near_misses(gold, SCHEMA, VALUES, 0, 0) == []
    assert everything[: len(few)] == few


def test_a_kind_gives_the_same_whatever_others_are_asked_for() -> None:
    gold = EXAMPLES["number"][0]
    everything = near_misses(gold, SCHEMA, VALUES, 5, 1000)
    alone = near_misses(gold, SCHEMA, VALUES, 5, 1000, ["comparison"])
    assert set(alone) >= {near for near in everything if near.kind == "comparison"}


def test_another_seed_gives_other_near_misses() -> None:
    gold = EXAMPLES["count_argument"][0]
    assert near_misses(gold, SCHEMA, VALUES, 0, 10) != near_misses(gold, SCHEMA, VALUES, 1, 10)


@pytest.mark.slow
def test_near_misses_do_not_depend_on_the_hash_seed() -> None:
    script = (
        "from tests.suites.test_near_misses import *\n"
        "print([near_misses(gold, SCHEMA, VALUES, 7) for gold, _ in EXAMPLES.values()])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1 and "NearMiss" in outputs.pop()


@pytest.mark.parametrize(
    "gold", ["", "  \n", "SELECT FROM WHERE", "SELECT 1; SELECT 2", "DROP TABLE singer", "--"]
)
def test_a_text_that_is_not_one_query_has_no_near_misses_and_is_not_readable(gold: str) -> None:
    assert near_misses(gold, SCHEMA, VALUES, 0) == []
    assert not is_readable(gold)


def test_a_query_that_does_not_compile_has_no_near_misses_but_is_readable() -> None:
    assert near_misses("SELECT nonsense FROM singer", SCHEMA, VALUES, 0) == []
    assert is_readable("SELECT nonsense FROM singer")


@pytest.mark.parametrize("depth", [50, 200, 5000])
def test_deep_nesting_does_not_end_in_an_error(depth: int) -> None:
    gold = f"SELECT name FROM singer WHERE {'(' * depth}age > 20{')' * depth}"
    assert isinstance(near_misses(gold, SCHEMA, VALUES, 0, 5), list)


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown kinds of near-misses: nonsense; known are comparison"):
        near_misses("SELECT 1", SCHEMA, VALUES, 0, 5, ["nonsense"])


@pytest.mark.slow
def test_gold_queries_of_spider_have_near_misses_of_nearly_all_kinds(real_data: Path) -> None:
    rows = json.loads((real_data / "spider/dev_sql.json").read_text(encoding="utf-8"))[::10][:100]
    kinds = set()
    for row in rows:
        db_id = row["instruction"].split()[0]
        file = real_data / f"spider/database/{db_id}/{db_id}.sqlite"
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
            found = near_misses(row["output"], read_sqlite(file), {}, 0, 30)
            for near in found:
                connection.execute(f"EXPLAIN {near.sql}")
        assert found, row["output"]
        kinds |= {near.kind for near in found}
    assert set(KINDS) - kinds <= {"arithmetic", "condition_added", "other_value"}  # the last two need values
