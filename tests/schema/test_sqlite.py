"""Schemas read from SQLite files."""

import csv
import sqlite3
from contextlib import closing
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


def test_generated_columns_are_columns_with_examples(tmp_path: Path) -> None:
    script = (
        "CREATE TABLE line (qty INT, price REAL, total REAL GENERATED ALWAYS AS (qty * price) STORED,"
        " vat REAL AS (qty * price * 0.5)); INSERT INTO line VALUES (2, 3.0)"
    )
    (table,) = read_sqlite(database(tmp_path / "x.sqlite", script), 1).tables
    assert table.columns == (
        Column("qty", "INT", ("2",)),
        Column("price", "REAL", ("3.0",)),
        Column("total", "REAL", ("6.0",)),
        Column("vat", "REAL", ("3.0",)),
    )


@pytest.mark.parametrize("module", ["fts3(a, b)", "fts4(a, b)", "fts5(a, b)"])
def test_a_virtual_table_is_shown_without_hidden_columns_and_shadow_tables(
    tmp_path: Path, module: str
) -> None:
    script = f"CREATE TABLE t (x); CREATE VIRTUAL TABLE d USING {module}; INSERT INTO d VALUES ('q', 'r')"
    tables = read_sqlite(database(tmp_path / "x.sqlite", script), 1).tables
    assert [(table.name, [column.name for column in table.columns]) for table in tables] == [
        ("t", ["x"]),
        ("d", ["a", "b"]),
    ]
    assert [column.examples for column in tables[1].columns] == [("q",), ("r",)]


def test_a_virtual_table_without_its_module_is_left_out_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = database(tmp_path / "x.sqlite", "CREATE TABLE t (a);")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "INSERT INTO sqlite_master VALUES ('table', 'd', 'd', 0, 'CREATE VIRTUAL TABLE d USING geo(a)')"
        )
        connection.commit()
    assert [table.name for table in read_sqlite(path, 1).tables] == ["t"]
    assert capsys.readouterr().err == f"{path}: table d is left out: no such module: geo\n"


def test_a_virtual_table_whose_rows_are_elsewhere_has_no_examples(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = (
        "CREATE VIRTUAL TABLE d USING fts5(a, content='gone'); CREATE TABLE t (b); INSERT INTO t VALUES (1)"
    )
    path = database(tmp_path / "x.sqlite", script)
    assert examples(path) == [(), ("1",)]
    assert capsys.readouterr().err == f"{path}: table d has no example values: no such table: main.gone\n"


def comments(path: Path) -> list[str]:
    return [column.comment for table in read_sqlite(path, comments=True).tables for column in table.columns]


def test_comments_of_the_databases_own_text_are_read_on_request(tmp_path: Path) -> None:
    path = database(tmp_path / "x.sqlite", "CREATE TABLE t (a INT, -- first\n b TEXT /* second */, c INT)")
    assert comments(path) == ["first", "second", ""]
    assert [column.comment for column in read_sqlite(path).tables[0].columns] == ["", "", ""]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "latin-1"])
def test_birds_descriptions_are_comments_where_there_are_none(tmp_path: Path, encoding: str) -> None:
    path = database(
        tmp_path / "x.sqlite", 'CREATE TABLE Frpm ("CDS Code" TEXT, b INT, -- own\n c INT, d INT)'
    )
    folder = tmp_path / "database_description"
    folder.mkdir()
    content = (
        "original_column_name,column_name,column_description,data_format,value_description\n"
        'CDS Code ,CDS,"caf\u00e9\ncode",text,\n'
        "b,b,of the file,integer,\nc,written out,,integer,\n"
        f"D,d,,integer,{'long ' * 100}\nother,o,not there,text,\n"
    )
    (folder / "frpm.csv").write_bytes(content.encode(encoding))
    found = comments(path)
    assert found[:3] == ["caf\u00e9 code", "own", "written out"]
    assert len(found[3]) <= 200
    assert found[3].endswith("...")


def test_a_description_has_only_printable_characters(tmp_path: Path) -> None:
    file = tmp_path / "d.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE t (a)")
    (tmp_path / "database_description").mkdir()
    (tmp_path / "database_description" / "t.csv").write_text(
        "original_column_name,column_description\na,nul\0 byte\u202e\n", encoding="utf-8"
    )
    assert read_sqlite(file, comments=True).tables[0].columns[0].comment == "nul byte"


def test_a_description_that_is_not_csv_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = database(tmp_path / "x.sqlite", "CREATE TABLE t (a INT)")
    (tmp_path / "database_description").mkdir()
    limit = csv.field_size_limit()  # of the process; other code raises it
    (tmp_path / "database_description" / "t.csv").write_text("original_column_name\n" + "x" * (limit + 1))
    assert comments(path) == [""]
    assert "t.csv: not CSV" in capsys.readouterr().err
