"""CREATE TABLE text: SQLite accepts what is written, and reading it gives the same schema."""

import sqlite3

import pytest

from text2sql.errors import UserError
from text2sql.prompts import schema_text
from text2sql.schema.ddl import (
    Values,
    executed,
    quote_name,
    quote_value,
    read_ddl,
    without_types,
    write_ddl,
)
from text2sql.schema.model import Column, ForeignKey, Schema, Table

OWNER = Table("owner", (Column("id", "INTEGER"), Column("name", "TEXT")), ("id",))
PET = Table(
    "pet",
    (Column("id", "INTEGER"), Column("owner_id", "INTEGER"), Column("kind", "TEXT")),
    ("id",),
    (ForeignKey(("owner_id",), "owner", ("id",)),),
)

# https://www.sqlite.org/lang_keywords.html, and names that SQLite gives to every table
KEYWORDS = """abort action add after all alter always analyze and as asc attach autoincrement before begin
between by cascade case cast check collate column commit conflict constraint create cross current
current_date current_time current_timestamp database default deferrable deferred delete desc detach
distinct do drop each else end escape except exclude exclusive exists explain fail filter first following
for foreign from full generated glob group groups having if ignore immediate in index indexed initially
inner insert instead intersect into is isnull join key last left like limit match materialized natural no
not nothing notnull null nulls of offset on or order others outer over partition plan pragma preceding
primary query raise range recursive references regexp reindex release rename replace restrict returning
right rollback row rows savepoint select set table temp temporary then ties to transaction trigger
unbounded union unique update using vacuum values view virtual when where window with without true false
rowid oid"""


def test_a_schema_is_one_statement_a_line_with_keys_beside_their_columns() -> None:
    assert write_ddl(Schema((OWNER, PET))) == (
        "CREATE TABLE owner (id INTEGER PRIMARY KEY, name TEXT);\n"
        "CREATE TABLE pet (id INTEGER PRIMARY KEY, owner_id INTEGER REFERENCES owner (id), kind TEXT);"
    )


def test_types_can_be_left_out() -> None:
    assert write_ddl(Schema((OWNER,)), types=False) == "CREATE TABLE owner (id PRIMARY KEY, name);"


def test_keys_of_several_columns_are_at_the_end() -> None:
    columns = (Column("a"), Column("b"), Column("c"))
    table = Table("t", columns, ("a", "b"), (ForeignKey(("b", "c"), "u", ("x", "y")),))
    assert write_ddl(Schema((table,))) == (
        "CREATE TABLE t (a, b, c, PRIMARY KEY (a, b), FOREIGN KEY (b, c) REFERENCES u (x, y));"
    )


@pytest.mark.parametrize(
    "name", ["order", "18_49_Rating_Share", "Official_(millions)", 'say "hi"', "a b", "é"]
)
def test_a_name_that_sqlite_would_not_read_is_quoted_and_survives(name: str) -> None:
    assert quote_name(name) != name
    schema = Schema((Table(name, (Column(name, "TEXT"),), (name,)),))
    assert read_ddl(write_ddl(schema)) == schema


def test_what_is_written_reads_back_equal() -> None:
    assert read_ddl(write_ddl(Schema((OWNER, PET)))) == Schema((OWNER, PET))


def test_the_order_of_foreign_keys_means_nothing() -> None:
    keys = (ForeignKey(("a",), "x", ("id",)), ForeignKey(("b",), "y", ("id",)))
    columns = (Column("a"), Column("b"))
    assert Table("t", columns, (), keys) == Table("t", columns, (), keys[::-1])


def test_sqlites_own_tables_are_left_out() -> None:
    schema = Schema((OWNER, Table("sqlite_sequence", (Column("name"),))))
    assert "sqlite_" not in write_ddl(schema)


@pytest.mark.parametrize(
    "text", ["", "CREATE TABLE (", "SELECT 1", "ATTACH 'x.db' AS x", "CREATE TABLE t (a)\0"]
)
def test_text_that_makes_no_table_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="CREATE TABLE text"):
        read_ddl(text)


TEA = Table(
    "tea", (Column("id", "INTEGER"), Column("kind", "TEXT", ("Assam", "7")), Column("sold", "", ("3",)))
)


def test_values_are_left_out_unless_asked_for() -> None:
    assert write_ddl(Schema((TEA,))) == "CREATE TABLE tea (id INTEGER, kind TEXT, sold);"


def test_values_are_in_comments_behind_their_columns() -> None:
    assert write_ddl(Schema((TEA,)), values="comment") == (
        "CREATE TABLE tea (\n  id INTEGER,\n  kind TEXT, -- e.g. 'Assam', '7'\n  sold -- e.g. 3\n);"
    )


def test_keys_at_the_end_follow_the_comments() -> None:
    table = Table("t", (Column("a", "", ("1",)), Column("b", "", ("2",))), ("a", "b"))
    assert write_ddl(Schema((table,)), values="comment") == (
        "CREATE TABLE t (\n  a, -- e.g. 1\n  b, -- e.g. 2\n  PRIMARY KEY (a, b)\n);"
    )


def test_values_become_rows_that_execute() -> None:
    text = write_ddl(Schema((TEA,)), values="insert")
    with executed(text) as connection:
        rows = connection.execute("SELECT * FROM tea").fetchall()
    assert rows == [(None, "Assam", 3), (None, "7", None)]


def test_a_repeated_value_is_written_once_because_keys_may_not_repeat() -> None:
    table = Table("t", (Column("a", "", ("x", "x")), Column("b", "", ("1", "2", "3"))), ("a",))
    assert write_ddl(Schema((table,)), values="insert").endswith("VALUES ('x', 1), (NULL, 2), (NULL, 3);")
    assert "  a PRIMARY KEY, -- e.g. 'x'\n" in write_ddl(Schema((table,)), values="comment")


@pytest.mark.parametrize("values", ["comment", "insert"])
def test_a_table_without_values_is_written_as_ever(values: Values) -> None:
    assert write_ddl(Schema((OWNER, PET)), values=values) == write_ddl(Schema((OWNER, PET)))


@pytest.mark.parametrize("value", ["two\nlines", "it's", "*/ x", "-- x", "a\r\nb", "); DROP TABLE t;", "🫖"])
@pytest.mark.parametrize("values", ["comment", "insert"])
def test_no_value_breaks_out_of_its_place(value: str, values: Values) -> None:
    plain = Table("t", (Column("a", "TEXT"), Column("b")))
    table = Table("t", (Column("a", "TEXT", (value,)), Column("b")))
    assert read_ddl(write_ddl(Schema((table,)), values=values)) == Schema((plain,))


@pytest.mark.parametrize("number", ["0", "7", "-12", "3.5", "0.25", "-0.5", "2.0", "123456789012345678"])
def test_a_number_is_written_bare_where_the_column_keeps_numbers(number: str) -> None:
    assert quote_value(number, "CHARINT") == quote_value(number) == number
    assert quote_value(number, "varchar(20)") == f"'{number}'"


@pytest.mark.parametrize(
    "text", ["007", "-0", "1e5", "7.", ".5", "1.50", "+1", "٣", "12345678901234567890", ""]
)
def test_what_a_number_would_not_give_back_is_text(text: str) -> None:
    assert quote_value(text) == f"'{text}'"


def test_text_that_would_never_end_is_refused() -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT count(*) FROM n"
    with pytest.raises(UserError, match="does not execute in SQLite: interrupted"):
        read_ddl(f"CREATE TABLE t AS {endless}")


def rows_of_table_called(word: str) -> object:
    """What a query finds in a table with one row "x" whose every name is `word`; or the error."""
    name = quote_name(word)
    text = f"CREATE TABLE {name} ({name} TEXT PRIMARY KEY REFERENCES {name} ({name}));"
    try:
        with executed(f"{text} INSERT INTO {name} ({name}) VALUES ('x')") as connection:
            query = f"SELECT {name} FROM {name} WHERE upper({name}) = 'X' GROUP BY {name} ORDER BY {name}"
            return connection.execute(query).fetchall()
    except (UserError, sqlite3.Error) as error:
        return error


def test_every_keyword_can_be_a_name_in_tables_and_in_queries() -> None:
    found = {word: rows_of_table_called(word) for word in KEYWORDS.split()}
    assert len(found) == 151
    assert {word: rows for word, rows in found.items() if rows != [("x",)]} == {}


NOTED = Table(
    "tea",
    (
        Column("id", "INTEGER"),
        Column("kind", "TEXT", ("Assam",), "as on\nthe box"),
        Column("sold", "", ("3",)),
    ),
)


def test_comments_are_behind_their_columns_before_the_example_values() -> None:
    schema = Schema((NOTED,))
    table = "CREATE TABLE tea (\n  id INTEGER,\n  kind TEXT, -- as on the box{}\n  sold{}\n);"
    assert write_ddl(schema) == "CREATE TABLE tea (id INTEGER, kind TEXT, sold);"
    assert write_ddl(schema, comments=True) == table.format("", "")
    both = write_ddl(schema, values="comment", comments=True)
    assert both == table.format("; e.g. 'Assam'", " -- e.g. 3")
    rows = write_ddl(schema, values="insert", comments=True)
    assert rows == table.format("", "") + "\nINSERT INTO tea (kind, sold) VALUES ('Assam', 3);"


def test_a_comment_does_not_make_a_column_another_one() -> None:
    assert Column("a", "INT", comment="x") == Column("a", "INT")


@pytest.mark.parametrize("comment", ["two\nlines", "a\r\nb", "a\u2028b", "); DROP TABLE t;", "/* x", "-- x"])
def test_no_comment_breaks_out_of_its_place(comment: str) -> None:
    schema = Schema((Table("t", (Column("a", "TEXT", comment=comment), Column("b"))),))
    read = read_ddl(write_ddl(schema, comments=True), comments=True)
    assert read == schema
    assert write_ddl(read, comments=True) == write_ddl(schema, comments=True)


def test_without_types_rows_stay_and_comments_on_request() -> None:
    rows = "INSERT INTO tea (kind) VALUES ('x; y'), ('CREATE TABLE');"
    tea = "CREATE TABLE tea (\n  id{}, -- number\n  kind{} -- e.g. 'Assam'\n);"
    text = f"{tea.format(' INT', ' TEXT')}\n{rows}\nCREATE TABLE u (a INT);"
    assert without_types(text) == f"CREATE TABLE tea (id, kind);\n{rows}\nCREATE TABLE u (a);"
    assert without_types(text, comments=True) == f"{tea.format('', '')}\n{rows}\nCREATE TABLE u (a);"
    assert schema_text(text, types=True) == text
    assert schema_text(text, types=False) == without_types(text)
    assert schema_text(text, types=False, comments=True) == without_types(text, comments=True)


def test_a_key_to_a_table_that_is_not_there_has_no_columns() -> None:
    text = "CREATE TABLE t (a INT REFERENCES u);"
    assert write_ddl(read_ddl(text)) == text
