"""text2sql.context.values: what is read of a database, within bounds, and what is left out by name."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.context.databases import make_database, singers
from text2sql.context import values
from text2sql.context.values import DatabaseValues, database_values, read_values
from text2sql.errors import UserError
from text2sql.schema.sqlite import read_sqlite
from text2sql.workstore import WorkStore


def texts(found: DatabaseValues, column: str) -> list[str]:
    return next(list(one.texts) for one in found.columns if f"{one.table}.{one.column}" == column)


def test_texts_and_numbers_of_each_column_are_read_once_each(tmp_path: Path) -> None:
    found = read_values(singers(tmp_path))
    assert texts(found, "singer.Country") == ["Netherlands", "France"]
    assert next(one for one in found.columns if one.column == "Age").examples(2) == ["52", "32"]
    assert not found.limits
    assert not found.unreadable


def test_a_text_that_looks_like_a_number_is_in_quotes_as_an_example(tmp_path: Path) -> None:
    year = next(one for one in read_values(singers(tmp_path)).columns if one.column == "Year")
    assert year.examples(1) == ["'2014'"]


def test_an_infinite_number_is_no_example(tmp_path: Path) -> None:
    rows = {"t": [(float("inf"),), (-float("inf"),), (-(2**63),), (1e300,)]}
    (found,) = read_values(make_database(tmp_path / "d.sqlite", "CREATE TABLE t (a)", rows)).columns
    assert found.examples(4) == ["-9223372036854775808", "1e+300"]


def test_a_quote_in_an_example_is_doubled(tmp_path: Path) -> None:
    name = next(one for one in read_values(singers(tmp_path)).columns if one.column == "Name")
    assert name.examples(3)[2] == "'O''Brien'"


def test_a_locked_database_is_read(tmp_path: Path) -> None:
    file = singers(tmp_path)
    with closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        writer.execute("DELETE FROM singer")
        assert texts(read_values(file), "singer.Country") == ["Netherlands", "France"]


def test_reading_changes_no_byte_of_the_database(tmp_path: Path) -> None:
    file = singers(tmp_path)
    before = file.read_bytes()
    read_values(file)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_blobs_and_texts_that_are_blank_unprintable_or_not_utf8_are_left_out(tmp_path: Path) -> None:
    file = make_database(tmp_path / "d.sqlite", "CREATE TABLE t (a TEXT)")
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(
            "INSERT INTO t VALUES (x'00ff'), (CAST(x'ff41' AS TEXT)), (' '), ('a' || char(10)), ('b')"
        )
    assert texts(read_values(file), "t.a") == ["b"]


def test_a_text_of_10_000_characters_is_left_out(tmp_path: Path) -> None:
    file = make_database(tmp_path / "d.sqlite", "CREATE TABLE t (a TEXT)", {"t": [("x" * 10_000,), ("y",)]})
    assert texts(read_values(file), "t.a") == ["y"]


def test_views_are_left_out(tmp_path: Path) -> None:
    file = make_database(
        tmp_path / "d.sqlite",
        "CREATE TABLE t (a TEXT); CREATE VIEW v AS SELECT a AS b FROM t",
        {"t": [("x",)]},
    )
    assert [(one.table, one.column) for one in read_values(file).columns] == [("t", "a")]


def test_a_table_without_rowid_is_read(tmp_path: Path) -> None:
    ddl = "CREATE TABLE t (a TEXT PRIMARY KEY) WITHOUT ROWID"
    assert texts(read_values(make_database(tmp_path / "d.sqlite", ddl, {"t": [("x",)]})), "t.a") == ["x"]


def test_a_virtual_table_that_cannot_be_read_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    file = make_database(tmp_path / "d.sqlite", "CREATE TABLE t (a TEXT)", {"t": [("x",)]})
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "INSERT INTO sqlite_master"
            " VALUES ('table', 'v', 'v', 0, 'CREATE VIRTUAL TABLE v USING no_module(a)')"
        )
    found = read_values(file)
    assert "no_module" in found.unreadable["v"]
    assert texts(found, "t.a") == ["x"]


def test_names_that_need_quotes_are_read(tmp_path: Path) -> None:
    ddl = 'CREATE TABLE "order by" ("a ""b""" TEXT, "select" TEXT)'
    found = read_values(make_database(tmp_path / "d.sqlite", ddl, {"order by": [("x", "y")]}))
    assert texts(found, 'order by.a "b"') == ["x"]
    assert texts(found, "order by.select") == ["y"]


def test_a_column_with_very_many_values_is_cut_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(values, "VALUES", 100)
    rows = [(f"x{number}", "same") for number in range(150)]
    found = read_values(make_database(tmp_path / "d.sqlite", "CREATE TABLE t (a TEXT, b TEXT)", {"t": rows}))
    assert texts(found, "t.a") == [f"x{number}" for number in range(100)]
    assert found.limits == ["t.a: 100 distinct texts"]


def test_short_columns_stay_whole_where_long_ones_are_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(values, "TEXTS", 100)
    long = [(f"x{number}", f"y{number}") for number in range(80)]
    ddl = "CREATE TABLE t (a TEXT, b TEXT); CREATE TABLE u (c TEXT)"
    found = read_values(make_database(tmp_path / "d.sqlite", ddl, {"t": long, "u": [("x",), ("y",)]}))
    assert len(texts(found, "u.c")) == 2
    assert sum(len(one.texts) for one in found.columns) <= 100
    assert [limit.partition(":")[0] for limit in found.limits] == ["t.a", "t.b"]


@pytest.mark.parametrize(
    ("end", "first", "limit"),
    [
        ("", 0, "t: every row whose number is a multiple of 4"),
        ("", 1, "t: the first 50 rows"),
        (" WITHOUT ROWID", 0, "t: the first 50 rows"),
    ],
)
def test_a_table_with_very_many_rows_is_sampled_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, first: int, limit: str
) -> None:
    monkeypatch.setattr(values, "CELLS", 100)
    ddl = f"CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT){end}"
    rows = [(first + 4 * number if first else number, f"x{number}") for number in range(200)]
    found = read_values(make_database(tmp_path / "d.sqlite", ddl, {"t": rows}))
    assert 40 <= len(texts(found, "t.a")) <= 50
    assert found.limits == [limit]


def test_a_table_called_sample_has_its_own_values_behind_one_that_is_sampled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(values, "CELLS", 20)
    ddl = "CREATE TABLE big (a TEXT); CREATE TABLE sample (a TEXT)"
    rows = {"big": [(f"x{number}",) for number in range(50)], "sample": [("own",)]}
    assert texts(read_values(make_database(tmp_path / "d.sqlite", ddl, rows)), "sample.a") == ["own"]


def test_a_damaged_database_is_an_error_that_names_it(tmp_path: Path) -> None:
    file = tmp_path / "d.sqlite"
    file.write_bytes(b"no database" * 100)
    with pytest.raises(UserError, match=r"d\.sqlite: SQLite cannot read it"):
        read_values(file)


def test_a_schema_that_is_damaged_and_not_utf8_is_an_error_that_names_it(tmp_path: Path) -> None:
    file = make_database(tmp_path / "d.sqlite", "CREATE TABLE t_long_name (a)")
    file.write_bytes(file.read_bytes().replace(b"CREATE TABLE t_long_name", b"CREATE TABL? t_long_name"))
    file.write_bytes(file.read_bytes().replace(b"t_long_name", b"\xff_long_name"))
    for read in (read_values, read_sqlite):
        with pytest.raises(UserError, match=r"d\.sqlite: SQLite cannot read it"):
            read(file)


def test_a_database_of_no_bytes_is_an_error_that_names_it(tmp_path: Path) -> None:
    file = tmp_path / "d.sqlite"
    file.touch()
    with pytest.raises(UserError, match=r"d\.sqlite: has no table"):
        read_values(file)


def test_a_missing_database_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"d\.sqlite: no such database file"):
        database_values(tmp_path / "d.sqlite", WorkStore(tmp_path / "work"))


def test_a_database_is_read_once_and_again_when_it_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, store, calls = singers(tmp_path), WorkStore(tmp_path / "work"), []

    def counted(path: Path) -> DatabaseValues:
        calls.append(path)
        return read_values(path)

    monkeypatch.setattr(values, "read_values", counted)
    first = database_values(file, store)
    assert database_values(file, store) == first
    assert len(calls) == 1
    make_database(file, "INSERT INTO singer VALUES (9, 'New', 'Peru', 1)")
    assert "Peru" in texts(database_values(file, store), "singer.Country")
    assert len(calls) == 2


@pytest.mark.parametrize("text", ["", '{"columns": [{"ta', "{}", "null"])
def test_a_database_is_read_again_where_what_was_kept_is_torn(tmp_path: Path, text: str) -> None:
    file, store = singers(tmp_path), WorkStore(tmp_path / "work")
    first = database_values(file, store)
    (kept,) = (tmp_path / "work").rglob("values.json")
    kept.write_text(text)
    assert database_values(file, store) == first
    assert database_values(file, store) == first
