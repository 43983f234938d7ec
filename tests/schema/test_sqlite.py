"""Schemas read from SQLite files."""

import sqlite3
from pathlib import Path

import pytest

from text2sql.errors import UserError
from text2sql.schema.model import Column, ForeignKey, Table
from text2sql.schema.sqlite import read_sqlite


def database(path: Path, script: str) -> Path:
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()
    return path


def test_tables_come_in_order_of_creation_with_case_and_types_kept(tmp_path: Path) -> None:
    path = database(
        tmp_path / "x.sqlite", 'CREATE TABLE Zoo (Id INT, "Home Town" text); CREATE TABLE Ape (a);'
    )
    zoo = Table("Zoo", (Column("Id", "INT"), Column("Home Town", "TEXT")))
    found = read_sqlite(path).tables
    assert [table.name for table in found] == ["Zoo", "Ape"]
    assert found[0].columns[0] == zoo.columns[0]
    assert found[0].columns[1].type.upper() == "TEXT"


def test_primary_keys_come_in_the_order_of_the_key(tmp_path: Path) -> None:
    path = database(tmp_path / "x.sqlite", "CREATE TABLE t (a, b, c, PRIMARY KEY (c, a));")
    assert read_sqlite(path).tables[0].primary_key == ("c", "a")


def test_a_foreign_key_without_columns_points_at_the_parents_primary_key(tmp_path: Path) -> None:
    script = (
        "CREATE TABLE p (x PRIMARY KEY); "
        "CREATE TABLE c (a REFERENCES p, b, FOREIGN KEY (b) REFERENCES p (x));"
    )
    keys = read_sqlite(database(tmp_path / "x.sqlite", script)).tables[1].foreign_keys
    assert set(keys) == {ForeignKey(("a",), "p", ("x",)), ForeignKey(("b",), "p", ("x",))}


def test_sqlites_own_tables_and_views_are_left_out(tmp_path: Path) -> None:
    script = "CREATE TABLE t (a INTEGER PRIMARY KEY AUTOINCREMENT); CREATE VIEW v AS SELECT a FROM t;"
    tables = read_sqlite(database(tmp_path / "x.sqlite", script)).tables
    assert [table.name for table in tables] == ["t"]


def test_a_name_with_a_question_mark_and_blanks_opens(tmp_path: Path) -> None:
    assert read_sqlite(database(tmp_path / "a b?%20#.sqlite", "CREATE TABLE t (a);")).tables


def test_reading_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = database(tmp_path / "x.sqlite", "CREATE TABLE t (a);")
    before = path.read_bytes()
    path.chmod(0o444)
    read_sqlite(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["x.sqlite"]


def test_a_missing_file_is_named_and_not_created(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"x\.sqlite: no such database"):
        read_sqlite(tmp_path / "x.sqlite")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"not a database, at all" * 40, b"SQLite format 3\0" + b"\1" * 600])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.sqlite").write_bytes(content)
    with pytest.raises(UserError, match=r"x\.sqlite: SQLite cannot read it"):
        read_sqlite(tmp_path / "x.sqlite")


def test_a_file_whose_schema_page_is_torn_is_named(tmp_path: Path) -> None:
    path = database(tmp_path / "x.sqlite", "CREATE TABLE t (a);")
    content = bytearray(path.read_bytes())
    content[100:4000] = b"\xff" * 3900
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"x\.sqlite"):
        read_sqlite(path)


def test_an_empty_file_is_no_schema(tmp_path: Path) -> None:
    (tmp_path / "x.sqlite").write_bytes(b"")
    with pytest.raises(UserError, match=r"x\.sqlite: has no table"):
        read_sqlite(tmp_path / "x.sqlite")


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such database file"):
        read_sqlite(tmp_path)


def examples(path: Path, count: int = 3) -> list[tuple[str, ...]]:
    return [column.examples for table in read_sqlite(path, count).tables for column in table.columns]


def test_no_example_is_read_unless_asked_for(tmp_path: Path) -> None:
    path = database(tmp_path / "x.sqlite", "CREATE TABLE t (a); INSERT INTO t VALUES (1)")
    assert read_sqlite(path).tables[0].columns[0].examples == ()


def test_the_most_frequent_values_are_the_examples_and_then_the_smallest(tmp_path: Path) -> None:
    script = "CREATE TABLE t (a); INSERT INTO t VALUES ('d'), ('c'), ('b'), ('c'), ('a'), (NULL), (NULL)"
    assert examples(database(tmp_path / "x.sqlite", script)) == [("c", "a", "b")]


def test_numbers_are_written_as_sqlite_stores_them(tmp_path: Path) -> None:
    script = "CREATE TABLE t (i INTEGER, r REAL, s TEXT); INSERT INTO t VALUES (7, 7, 7)"
    assert examples(database(tmp_path / "x.sqlite", script)) == [("7",), ("7.0",), ("7",)]


def test_what_makes_a_poor_example_is_passed_over(tmp_path: Path) -> None:
    script = (
        "CREATE TABLE t (a); INSERT INTO t VALUES (''), (' '), (x'00'), ('two' || char(10) || 'lines'),"
        " (printf('%.61c', 'x')), (CAST(x'ff41' AS TEXT)), (printf('%.60c', 'x'))"
    )
    assert examples(database(tmp_path / "x.sqlite", script), 9) == [("x" * 60,)]


def test_any_name_can_have_examples(tmp_path: Path) -> None:
    script = 'CREATE TABLE "a ""b" ("order", "x""y"); INSERT INTO "a ""b" VALUES (1, 2)'
    assert examples(database(tmp_path / "x.sqlite", script)) == [("1",), ("2",)]


def test_rows_that_cannot_be_read_are_reported_with_their_file(tmp_path: Path) -> None:
    script = "CREATE TABLE t (a); INSERT INTO t VALUES (1)"
    path = database(tmp_path / "x.sqlite", script)
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    assert read_sqlite(path).tables
    with pytest.raises(UserError, match=r"x\.sqlite: SQLite cannot read it"):
        read_sqlite(path, 1)
