"""Shuffled copies keep keys and values and change what is in which row."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from text2sql.contamination.copies import COPIES, make_copies
from text2sql.errors import UserError

DDL = """
CREATE TABLE singer (id INTEGER PRIMARY KEY, name VARCHAR(20) UNIQUE NOT NULL, age INTEGER CHECK (age > 0));
CREATE TABLE concert (id INTEGER PRIMARY KEY, title TEXT, "venue name" TEXT);
CREATE TABLE sings (singer_id INTEGER REFERENCES singer, concert_id INTEGER REFERENCES concert (id),
    PRIMARY KEY (singer_id, concert_id));
CREATE TABLE fan (fan_id INTEGER PRIMARY KEY, idol INTEGER REFERENCES singer (id), note BLOB);
CREATE TABLE ticket (number INTEGER, fan_id INTEGER);
CREATE TABLE empty (a, b)
"""


def make(folder: Path, script: str = DDL) -> Path:
    path = folder / "databases/d/d.sqlite"
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
        if script == DDL:
            fill(connection)
        connection.commit()
    return folder / "databases"


def fill(connection: sqlite3.Connection) -> None:
    connection.executemany(
        "INSERT INTO singer VALUES (?, ?, ?)", [(n, f"s{n}", 20 + n) for n in range(1, 13)]
    )
    connection.executemany(
        "INSERT INTO concert VALUES (?, ?, ?)", [(n, f"c{n}", f"v{n % 3}") for n in range(8)]
    )
    connection.executemany("INSERT INTO sings VALUES (?, ?)", [(n, n % 8) for n in range(1, 13)])
    connection.executemany("INSERT INTO fan VALUES (?, ?, ?)", [(n, n % 4 + 1, b"\xff") for n in range(9)])
    connection.execute("INSERT INTO fan VALUES (90, NULL, NULL)")
    connection.execute("INSERT INTO fan VALUES (91, 777, CAST(x'ff41' AS TEXT))")
    connection.executemany("INSERT INTO ticket VALUES (?, ?)", [(n, n % 9) for n in range(20)])


def rows(path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


@pytest.fixture
def copies(tmp_path: Path) -> list[Path]:
    databases = make(tmp_path)
    (tmp_path / "copies").mkdir()
    return make_copies(databases, "d", tmp_path / "copies")


def test_half_of_the_copies_have_all_rows_and_the_others_fewer(copies: list[Path]) -> None:
    counts = [rows(path, "SELECT count(*) FROM singer")[0][0] for path in copies]
    assert len(copies) == COPIES and counts[::2] == [12] * (COPIES // 2)
    assert all(0 < count < 12 for count in counts[1::2])


def test_values_change_their_rows_and_primary_keys_stay(copies: list[Path]) -> None:
    before = [(n, f"s{n}", 20 + n) for n in range(1, 13)]
    for path in copies:
        after = rows(path, "SELECT * FROM singer ORDER BY id")
        assert not set(after) <= set(before)
        assert len({name for _, name, _ in after}) == len(after)
        assert {name for _, name, _ in after} <= {name for _, name, _ in before}


@pytest.mark.parametrize(
    "dangling",
    [
        "SELECT 1 FROM sings WHERE singer_id NOT IN (SELECT id FROM singer)",
        "SELECT 1 FROM sings WHERE concert_id NOT IN (SELECT id FROM concert)",
        "SELECT 1 FROM fan WHERE idol != 777 AND idol NOT IN (SELECT id FROM singer)",
        "SELECT 1 FROM ticket WHERE fan_id NOT IN (SELECT fan_id FROM fan)",  # not declared, by its name
        "SELECT 1 FROM sings GROUP BY singer_id, concert_id HAVING count(*) > 1",
    ],
)
def test_keys_are_consistent(copies: list[Path], dangling: str) -> None:
    assert [rows(path, dangling) for path in copies] == [[]] * COPIES


def test_a_link_that_leads_nowhere_and_a_null_stay_as_they_are(copies: list[Path]) -> None:
    assert {777, None} <= {value for (value,) in rows(copies[0], "SELECT idol FROM fan")}


def test_the_copies_are_the_same_every_time_and_differ_from_one_another(tmp_path: Path) -> None:
    databases = make(tmp_path)
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        found.append([rows(p, "SELECT * FROM singer") for p in make_copies(databases, "d", tmp_path / name)])
    assert found[0] == found[1]
    assert len({str(some) for some in found[0]}) == COPIES


def test_types_decide_on_a_copy_how_values_compare_as_in_the_original(tmp_path: Path) -> None:
    types = 'CREATE TABLE t (a VARCHAR(9), b DECIMAL(4, 1), c "odd; DROP", d);'
    databases = make(tmp_path, f"{types} INSERT INTO t VALUES (1, '2', 3, 4)")
    (tmp_path / "copies").mkdir()
    path = make_copies(databases, "d", tmp_path / "copies")[0]
    assert rows(path, "SELECT a = '1', b = 2, typeof(d) FROM t") == [(1, 1, "integer")]


@pytest.mark.parametrize("content", [None, b"", b"text", b"SQLite format 3\0" + b"\1" * 8_000])
def test_a_missing_and_a_damaged_database_are_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "d/d.sqlite"
    path.parent.mkdir()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"d/d\.sqlite"):
        make_copies(tmp_path, "d", tmp_path)


def test_a_database_whose_pages_are_damaged_is_named_with_a_way_out(tmp_path: Path) -> None:
    path = make(tmp_path) / "d/d.sqlite"
    whole = bytearray(path.read_bytes())
    whole[4096:] = b"\7" * (len(whole) - 4096)
    path.write_bytes(whole)
    with pytest.raises(UserError, match=r"d\.sqlite: SQLite cannot read it .*same_result"):
        make_copies(tmp_path / "databases", "d", tmp_path)


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"0\.sqlite: cannot be written .*TMPDIR"):
        make_copies(make(tmp_path), "d", tmp_path / "none")
