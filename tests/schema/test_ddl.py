"""CREATE TABLE text: written so that SQLite takes it, read back unchanged."""

import pytest

from text2sql.records import UserError
from text2sql.schema.ddl import quote_name, read_ddl, write_ddl
from text2sql.schema.model import Column, ForeignKey, Schema, Table

OWNER = Table("owner", (Column("id", "INTEGER"), Column("name", "TEXT")), ("id",))
PET = Table(
    "pet",
    (Column("id", "INTEGER"), Column("owner_id", "INTEGER"), Column("kind", "TEXT")),
    ("id",),
    (ForeignKey(("owner_id",), "owner", ("id",)),),
)


def test_a_schema_is_one_statement_a_line_with_keys_beside_their_columns() -> None:
    assert write_ddl(Schema((OWNER, PET))) == (
        "CREATE TABLE owner (id INTEGER PRIMARY KEY, name TEXT);\n"
        "CREATE TABLE pet (id INTEGER PRIMARY KEY, owner_id INTEGER REFERENCES owner (id), kind TEXT);"
    )


def test_types_can_be_left_out() -> None:
    assert write_ddl(Schema((OWNER,)), types=False) == "CREATE TABLE owner (id PRIMARY KEY, name);"


def test_keys_of_several_columns_stand_at_the_end() -> None:
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
