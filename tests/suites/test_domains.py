"""Made values stay in the domain that a column's values show, so rewritings that rely on it stay equal."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.suites.databases import database
from text2sql.suites.domains import Loose, Moments, domain_of
from text2sql.suites.facts import ColumnFacts, read_facts
from text2sql.suites.source_rows import Value
from text2sql.suites.trial import Pairs, try_pairs
from text2sql.suites.values import ColumnValues
from text2sql.suites.variants import KINDS, constants, write_variant

SEEDS = 4  # variants of each kind


def events() -> str:
    """Dates and times in several notations, whole numbers, and flags."""
    chance = random.Random("events")
    script = """CREATE TABLE event (id INTEGER PRIMARY KEY, name TEXT NOT NULL, day DATE NOT NULL,
        at DATETIME, opens TIME NOT NULL, month TEXT NOT NULL, us TEXT NOT NULL, year TEXT NOT NULL,
        code TEXT NOT NULL, age INTEGER NOT NULL, ok BOOLEAN NOT NULL, won INT NOT NULL, paid BOOL);"""
    rows = []
    for number in range(40):
        year, month, day = chance.randint(2012, 2018), chance.randint(1, 12), chance.randint(1, 28)
        date, time = f"{year}-{month:02}-{day:02}", f"{chance.randint(8, 20):02}:{number:02}"
        paid = ("NULL", "'T'", "'F'")[number % 3]
        rows.append(
            f"({number}, 'n{number % 9}', '{date}', '{date} {time}:00', '{time}',"
            f" '{date[:7]}', '{month:02}/{day:02}/{year}', '{year}', '{number:04}', {number % 9},"
            f" {number % 2}, {number % 3 // 2}, {paid})"
        )
    return f"{script} INSERT INTO event VALUES {', '.join(rows)};"


def sales() -> str:
    """REAL and DECIMAL values with digits that sums round, and small ones."""
    chance = random.Random("sales")
    script = """CREATE TABLE client (id INTEGER PRIMARY KEY, city TEXT NOT NULL);
        CREATE TABLE sale (id INTEGER PRIMARY KEY, client INTEGER NOT NULL REFERENCES client (id),
            amount REAL NOT NULL, price DECIMAL(10, 2), pieces INTEGER NOT NULL, share REAL NOT NULL,
            total REAL AS (amount * pieces));"""
    clients = ", ".join(f"({n}, '{chance.choice(('Rome', 'Oslo'))}')" for n in range(12))
    sold = ", ".join(
        f"({n}, {n % 12}, {chance.randint(1, 99999) / 100}, {chance.randint(1, 9999) / 100}, {n % 7 + 1},"
        f" {chance.randint(1, 99) / 1000})"
        for n in range(40)
    )
    insert = "INSERT INTO sale (id, client, amount, price, pieces, share) VALUES"
    return f"{script} INSERT INTO client VALUES {clients}; {insert} {sold};"


def codes() -> str:
    """Foreign keys to generated columns, and indexes that do not allow every NULL."""
    script = """CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL,
            code TEXT AS ('K' || id) STORED UNIQUE);
        CREATE TABLE part (id INTEGER PRIMARY KEY, item TEXT NOT NULL REFERENCES item (code),
            next INT REFERENCES item (id), size INT NOT NULL, seen DATE);
        CREATE UNIQUE INDEX u ON part (size) WHERE next IS NULL;"""
    items = ", ".join(f"({n}, 'n{n % 5}')" for n in range(20))
    parts = ", ".join(f"({n}, 'K{n % 20}', {n % 20}, {n % 6}, '2020-02-{n % 28 + 1:02}')" for n in range(40))
    insert = "INSERT INTO item (id, name) VALUES"
    return f"{script} {insert} {items}; INSERT INTO part VALUES {parts};"


EVENTS = [
    (
        "SELECT count(*) FROM event WHERE day LIKE '2015%'",
        "SELECT count(*) FROM event WHERE strftime('%Y', day) = '2015'",
    ),
    (
        "SELECT name FROM event WHERE date(day) > '2015-06-01'",
        "SELECT name FROM event WHERE day > '2015-06-01'",
    ),
    (
        "SELECT name FROM event WHERE strftime('%Y', day) > '2014'",
        "SELECT name FROM event WHERE day >= '2015-01-01'",
    ),
    (
        "SELECT name FROM event WHERE month > '2014'",
        "SELECT name FROM event WHERE substr(month, 1, 4) >= '2014'",
    ),
    (
        "SELECT name FROM event WHERE day LIKE '%-03-%'",
        "SELECT name FROM event WHERE strftime('%m', day) = '03'",
    ),
    (
        "SELECT count(*) FROM event WHERE day BETWEEN '2014-01-01' AND '2014-12-31'",
        "SELECT count(*) FROM event WHERE strftime('%Y', day) = '2014'",
    ),
    (
        "SELECT id FROM event WHERE at LIKE '2015-03-%'",
        "SELECT id FROM event WHERE strftime('%Y-%m', at) = '2015-03'",
    ),
    ("SELECT id FROM event WHERE at >= '2015-03-01'", "SELECT id FROM event WHERE date(at) >= '2015-03-01'"),
    ("SELECT id FROM event WHERE opens > '15:00'", "SELECT id FROM event WHERE time(opens) > '15:00:00'"),
    (
        "SELECT id FROM event WHERE opens LIKE '15%'",
        "SELECT id FROM event WHERE strftime('%H', opens) = '15'",
    ),
    (
        "SELECT id FROM event WHERE month = '2015-03'",
        "SELECT id FROM event WHERE date(month || '-01') = '2015-03-01'",
    ),
    ("SELECT id FROM event WHERE us LIKE '%2015'", "SELECT id FROM event WHERE substr(us, 7) = '2015'"),
    ("SELECT id FROM event WHERE year > '2015'", "SELECT id FROM event WHERE CAST(year AS INT) >= 2016"),
    ("SELECT id FROM event WHERE code = '0010'", "SELECT id FROM event WHERE CAST(code AS INT) = 10"),
    ("SELECT name FROM event WHERE age > 4.5", "SELECT name FROM event WHERE age >= 5"),
    ("SELECT count(*) FROM event WHERE ok", "SELECT sum(ok = 1) FROM event"),
    ("SELECT sum(won) FROM event WHERE age < 9", "SELECT sum(won = 1) FROM event WHERE age < 9"),
    ("SELECT id FROM event WHERE paid = 'T'", "SELECT id FROM event WHERE paid <> 'F'"),
]
SALES = [
    (
        "SELECT sum(amount) FROM sale JOIN client ON client = client.id WHERE city = 'Rome'",
        "SELECT sum(amount) FROM (SELECT * FROM sale ORDER BY amount)"
        " WHERE client IN (SELECT id FROM client WHERE city = 'Rome')",
    ),
    (
        "SELECT avg(amount) FROM sale",
        "SELECT sum(amount) / count(*) FROM (SELECT amount FROM sale ORDER BY 1 DESC)",
    ),
    ("SELECT sum(total) FROM sale", "SELECT sum(pieces * amount) FROM (SELECT * FROM sale ORDER BY share)"),
    (
        "SELECT sum(price) FROM sale WHERE price > 3.7",
        "SELECT sum(price) FROM (SELECT * FROM sale ORDER BY price) WHERE price > 3.7",
    ),
    ("SELECT avg(share) FROM sale", "SELECT avg(share) FROM (SELECT share FROM sale ORDER BY share)"),
    (
        "SELECT total(amount * share) FROM sale",
        "SELECT total(share * amount) FROM (SELECT * FROM sale ORDER BY amount)",
    ),
]
CODES = [
    ("SELECT count(*) FROM part", "SELECT count(*) FROM part JOIN item ON code = item"),
    (
        "SELECT count(*) FROM part WHERE next IS NOT NULL",
        "SELECT count(*) FROM part JOIN item ON item.id = next",
    ),
    (
        "SELECT name FROM item JOIN part ON code = item WHERE part.id = 3",
        "SELECT name FROM item WHERE code = (SELECT item FROM part WHERE id = 3)",
    ),
    (
        "SELECT id FROM part WHERE seen < '2020-02-10'",
        "SELECT id FROM part WHERE julianday(seen) < julianday('2020-02-10')",
    ),
]
DATABASES = [
    pytest.param(events(), EVENTS, id="events"),
    pytest.param(sales(), SALES, id="sales"),
    pytest.param(codes(), CODES, id="codes"),
]
FORBIDDEN = {
    "events": (
        "SELECT * FROM event WHERE date(day) IS NOT day OR datetime(at) IS NOT at"
        " OR strftime('%H:%M', opens) IS NOT opens OR strftime('%Y-%m', month || '-01') IS NOT month"
        " OR year NOT GLOB '[0-9][0-9][0-9][0-9]' OR code NOT GLOB '[0-9][0-9][0-9][0-9]'"
        " OR date(substr(us, 7) || '-' || substr(us, 1, 2) || '-' || substr(us, 4, 2))"
        "    IS NOT substr(us, 7) || '-' || substr(us, 1, 2) || '-' || substr(us, 4, 2)"
        " OR typeof(age) != 'integer' OR ok NOT IN (0, 1) OR won NOT IN (0, 1) OR paid NOT IN ('T', 'F')"
    ),
    "sales": "SELECT * FROM sale WHERE typeof(pieces) != 'integer'",
    "codes": "SELECT * FROM part WHERE date(seen) IS NOT seen OR typeof(size) != 'integer'",
}


def made(folder: Path, script: str, golds: list[str]) -> Iterator[Path]:
    """Variants of every kind of the database that the script makes."""
    source = database(folder / "source.sqlite", script)
    facts = read_facts(source)
    wanted = constants(golds, facts)
    for number in range(SEEDS * len(KINDS)):
        target = folder / f"{number}.sqlite"
        write_variant(source, target, facts, wanted, seed=f"s{number}", kind=number)
        yield target


@pytest.mark.parametrize(("script", "pairs"), DATABASES)
def test_rewritings_give_the_results_of_their_golds_and_rows_stay_in_their_domains(
    tmp_path: Path, script: str, pairs: list[tuple[str, str]], request: pytest.FixtureRequest
) -> None:
    tried = [Pairs(gold, (other,)) for gold, other in pairs]
    decided = 0
    for path in made(tmp_path, script, [gold for gold, _ in pairs]):
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
            assert connection.execute(FORBIDDEN[request.node.callspec.id]).fetchall() == []
        outcome = try_pairs(path, tried)
        assert [pairs[at] for at in range(len(pairs)) if outcome.told >> at & 1] == []
        decided += len(pairs) - len(outcome.undecided)
    assert decided > 0.8 * len(pairs) * SEEDS * len(KINDS)


@pytest.mark.parametrize(
    ("seen", "held", "others"),
    [
        (["2015-03-24"], ["2016-02-29"], ["2015-02-29", "2015a", " 2015-03-24", "2015-3-24", "x2015", 2015]),
        (["2015-03-24 10:00:00"], ["2014-01-01 23:59:59"], ["2015-03-24", "2015-03-24 24:00:00"]),
        (["2015-03-24T10:00"], ["2014-01-01T23:59"], ["2014-01-01 23:59"]),
        (["11:17", "23:59"], ["00:00"], ["24:00", "11:17:00", "1:17", "11:17 "]),
        (["03/24/2015", "01/01/2015"], ["12/31/2015"], ["13/01/2015"]),
        (["24/03/2015", "01/12/2015"], ["31/12/2015"], ["12/31/2015"]),
        (["0431", "1200"], ["0000"], ["431", "-431", "0431a", "04311"]),
        (["7", "12", "0"], ["8", "100"], ["007", "-7", "7.5", "12 "]),
        (["12.50", "9.00"], ["10.99"], ["10.9", "10", "-1.00"]),
        (["555-1234", "555-9999"], ["123-4567"], ["5551234", "555-123", "(555-1234"]),
        (["2015-03-24", "unknown"], ["anything", 2015, 3.5], []),
        (["A1", "B2"], ["a1 "], []),
        ([1, 2, 3], [-7, 10], [4.5, "4", b"4"]),
        ([0, 1, 0, 1], [0, 1], [2, -1, 0.5, "1"]),
        ([0, 1], [2], [0.5]),
        ([10.1, 20.2], [10.125, 3, "x", 9e999, 1e18], [10.1, 0.3]),
        ([0.01, 0.02], [2.0**-12], [0.01, 2.0**-40]),
    ],
)
def test_a_domain_is_inferred_from_all_values(
    seen: list[Value], held: list[Value], others: list[Value]
) -> None:
    domain = domain_of(seen, "", [], is_key=False)
    assert [value for value in held if not domain.holds(value)] == []
    assert [value for value in others if domain.holds(value)] == []


def test_the_numbers_of_a_key_are_no_flags_and_keep_their_digits() -> None:
    assert domain_of([0, 1, 0, 1], "BOOLEAN", [], is_key=True).holds(2)
    assert domain_of([10.1], "REAL", [], is_key=True).holds(0.3)


def test_a_declared_boolean_has_its_own_two_texts_or_0_and_1() -> None:
    assert not domain_of([1], "BOOLEAN", [], is_key=False).holds(2)
    assert domain_of([1], "BOOLEAN", [], is_key=False).holds(0)
    assert not domain_of(["Y", "N", "Y"], "bool", [], is_key=False).holds("y")


def test_constants_of_queries_may_have_any_digits() -> None:
    domain = domain_of([10.1, 20.2], "REAL", [3.7], is_key=False)
    assert domain.holds(3.7)
    assert list(domain.standing_for(3.8)) == [3.75, 3.875]


@pytest.mark.parametrize(
    ("notation", "value", "first", "last"),
    [
        ("%Y-%m-%d", "2015a", "2015-01-01", "2015-12-31"),
        ("%Y-%m-%d", "2015-02", "2015-02-01", "2015-02-28"),
        ("%Y-%m-%d", "2016-02-29 10:00:00", "2016-02-29", "2016-02-29"),
        ("%Y-%m-%d %H:%M:%S", "2015-06-01", "2015-06-01 00:00:00", "2015-06-01 23:59:59"),
        ("%H:%M", "15", "15:00", "15:59"),
    ],
)
def test_the_begin_of_a_moment_stands_for_its_first_and_last(
    notation: str, value: str, first: str, last: str
) -> None:
    found = Moments(notation).standing_for(value)
    assert (found[0], found[-1]) == (first, last)


@pytest.mark.parametrize("value", ["x2015", "", "next year", b"2015", "2015-13"])
def test_other_texts_stand_for_no_moment(value: Value) -> None:
    assert list(Moments("%Y-%m-%d").standing_for(value)) == []


def test_values_beyond_the_calendar_stay_as_they_are() -> None:
    chance = random.Random(1)
    found = {Moments("%Y-%m-%d").moved("9999-12-31", 1, chance) for _ in range(20)}
    assert found == {"9999-12-31"}


def test_a_column_of_dates_without_rows_has_the_notation_of_the_constants() -> None:
    column = ColumnFacts("born", "DATE", "numeric", not_null=True, key=0)
    chance = random.Random(1)
    for constant, notation in (("01/31/2015", "%m/%d/%Y"), ("someday", "%Y-%m-%d")):
        values = ColumnValues(column, [], [constant], is_key=False)
        drawn = [values.draw(chance) for _ in range(30)]
        assert all(Moments(notation).holds(value) for value in drawn), drawn


def test_numbers_move_to_the_next_multiple() -> None:
    domain, chance = Loose(0.125), random.Random(1)
    for value in (3.7, 3.75, -3.7, 0.0):
        above, below = domain.moved(value, 1, chance), domain.moved(value, -1, chance)
        assert domain.holds(above) and domain.holds(below)
        assert isinstance(above, float) and isinstance(below, float) and below < value < above


@pytest.mark.parametrize(
    ("gold", "rounded"),
    [
        ("SELECT avg(amount) FROM sale", True),
        ("SELECT total(pieces * T1.Amount) FROM sale AS T1", True),
        ("SELECT sum(total) FROM sale", True),
        ("SELECT max(amount) FROM sale", False),
        ("SELECT sum(pieces) FROM sale", False),
    ],
)
def test_real_values_of_summed_columns_add_up_exactly(tmp_path: Path, gold: str, rounded: bool) -> None:
    found = set()
    for path in made(tmp_path, sales(), [gold]):
        with closing(sqlite3.connect(path)) as connection:
            sql = "SELECT count(*) FROM sale WHERE amount * 8 != CAST(amount * 8 AS INTEGER)"
            found.add(connection.execute(sql).fetchone() == (0,))
    assert found == {True} if rounded else False in found
