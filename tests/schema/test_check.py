"""Exactly the faults of CREATE TABLE text are reported."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from text2sql.schema.check import complaints, gold_problem
from text2sql.schema.ddl import Values, write_ddl
from text2sql.schema.model import Column, ForeignKey, Schema, Table

OWNER = Table("owner", (Column("id"), Column("name", "", ("Ann", "O'Hara"))), ("id",))
PET = Table(
    "pet",
    (Column("id"), Column("owner_id"), Column("age", "", ("7",))),
    ("id",),
    (ForeignKey(("owner_id",), "owner", ("id",)),),
)
SOURCE = Schema((OWNER, PET))
RIGHT = """CREATE TABLE owner (
  id INTEGER PRIMARY KEY,
  name TEXT -- e.g. 'Ann', 'O''Hara'
);
CREATE TABLE pet (
  id INTEGER PRIMARY KEY,
  age INTEGER, -- e.g. 7
  owner_id INTEGER,
  FOREIGN KEY (owner_id) REFERENCES owner (id)
);"""


@pytest.mark.parametrize("text", [RIGHT, RIGHT.upper(), RIGHT.replace("\n", "\r\n"), f"\ufeff{RIGHT}"])
def test_text_with_the_schema_of_the_source_has_no_complaints(text: str) -> None:
    assert complaints(text, SOURCE, with_values=text != RIGHT.upper()) == ()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (RIGHT[RIGHT.index("CREATE TABLE pet") :], "", ["table pet is missing: add it"]),
        ("CREATE TABLE pet", "CREATE TABLE toy (a);\nCREATE TABLE pet", ["table toy is not in the source"]),
        ("age INTEGER", "kind TEXT, age INTEGER", ["column kind of table pet is not in the source"]),
        ("  age INTEGER, -- e.g. 7\n", "", ["column age of table pet is missing: add it"]),
        (
            "name TEXT",
            '"name of owner" TEXT',
            ["name of table owner is missing", '"name of owner" of table owner'],
        ),
        ("PRIMARY KEY,\n  name", ",\n  name", ["the primary key (id) of table owner is missing: add it"]),
        (
            "PRIMARY KEY,\n  name TEXT",
            ",\n  name TEXT PRIMARY KEY",
            ["the primary key of table owner is (name): it should be (id)"],
        ),
        (
            ",\n  FOREIGN KEY (owner_id) REFERENCES owner (id)",
            "",
            ["foreign key (owner_id) to owner (id) of table"],
        ),
        ("FOREIGN KEY", "FOREIGN KEY (id) REFERENCES owner (id), FOREIGN KEY", ["key (id) to owner (id) of"]),
        ("-- e.g. 7", "-- e.g. 17", ["column age of table pet has lost its example value 7: add it"]),
        ("'O''Hara'", "'Bo'", ["column name of table owner has lost its example value 'O''Hara'"]),
        ("CREATE TABLE pet", "CREATE VIEW v AS SELECT 1;\nCREATE TABLE pet", ["view v is not in the source"]),
    ],
)
def test_each_fault_is_one_sentence_that_names_it(old: str, new: str, told: list[str]) -> None:
    assert old in RIGHT
    found = complaints(RIGHT.replace(old, new, 1), SOURCE, with_values=True)
    assert len(found) == len(told)
    assert all(part in sentence for part, sentence in zip(told, found, strict=True))


def test_a_key_that_the_source_does_not_have_is_reported() -> None:
    source = Schema((Table("t", (Column("a"),)),))
    told = ("the primary key (a) of table t is not in the source: leave it out",)
    assert complaints("CREATE TABLE t (a PRIMARY KEY)", source, False) == told


def test_a_type_is_compared_where_the_source_names_one() -> None:
    source = Schema((Table("t", (Column("a", "INT"), Column("b"), Column("c", "varchar(9)"))),))
    found = complaints("CREATE TABLE t (a TEXT, b REAL, c VARCHAR(9))", source, False)
    assert found == ("column a of table t has type TEXT: its type is INT",)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("CREATE TABLE t (18_49_share)", 'unrecognized token: "18_49_share"'),
        ("CREATE TABLE t (a, A)", "duplicate column name: A"),
        ("CREATE TABLE t (a); CREATE TABLE T (a)", "table T already exists"),
        ("CREATE TABLE sqlite_sequence (a)", "object name reserved for internal use"),
        ("Here is your schema:", "syntax error"),
        ("CREATE TABLE t (a)\0", "null character"),
        ("CREATE TABLE t (a); INSERT INTO t VALUES (1, 2)", "2 values were supplied"),
        ("CREATE TABLE t (a) /* 🫖 \ud800 */", "surrogates not allowed"),
        (
            "CREATE TABLE t AS WITH RECURSIVE n(a) AS (SELECT 1 UNION ALL SELECT a FROM n) SELECT a FROM n"
            " WHERE a > 1",
            "interrupted",
        ),
    ],
)
def test_of_text_that_does_not_execute_only_sqlites_message_is_reported(text: str, told: str) -> None:
    (found,) = complaints(text, Schema((Table("t", (Column("a"),)),)), False)
    assert told in found


def test_text_without_tables_misses_all_of_them() -> None:
    assert complaints("", SOURCE, True) == ("table owner is missing: add it", "table pet is missing: add it")


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TABLE t (a, -- e.g. Tea\n b)",
        "CREATE TABLE t (a /* such as Tea. */, b)",
        "CREATE TABLE t (\n a CHECK (a <> ','), -- 'Tea'\n b DEFAULT (1 + (2)))",
        "CREATE TABLE T (a DEFAULT (1) NOT NULL, -- Tea\n B)",
        "CREATE TABLE t ([a], -- Tea\n b)",
        'CREATE TABLE t ("a" -- "Tea"\n , b)',
        "CREATE TABLE t (b, `a` -- Tea\n)",
        "CREATE TABLE t ('b' DEFAULT 'x', 'a' -- Tea\n)",
        "CREATE TABLE t (a, b); INSERT INTO t VALUES ('Milk', 1), ('Tea', 2)",
    ],
)
def test_a_value_may_be_in_the_comment_behind_its_column_or_in_a_row(text: str) -> None:
    assert complaints(text, Schema((Table("t", (Column("a", "", ("Tea",)), Column("b"))),)), True) == ()


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TABLE t (a, b -- Tea\n)",
        "CREATE TABLE t (a, -- Teapot\n b)",
        "-- Tea\nCREATE TABLE t (a, b)",
        "CREATE TABLE t (a, b); INSERT INTO t (b) VALUES ('Tea')",
        "CREATE TABLE t (a DEFAULT 'Tea', b)",
    ],
)
def test_a_value_elsewhere_is_lost(text: str) -> None:
    (found,) = complaints(text, Schema((Table("t", (Column("a", "", ("Tea",)), Column("b"))),)), True)
    assert "lost its example value 'Tea'" in found


@pytest.mark.parametrize("row", ["7", "'7'", "7.0"])
@pytest.mark.parametrize("kind", ["INTEGER", "REAL", "TEXT"])
def test_a_number_is_found_in_rows_however_the_column_keeps_it(kind: str, row: str) -> None:
    source = Schema((Table("T", (Column("A", kind, ("7",)),)),))
    lost = complaints(f"CREATE TABLE t (a {kind}); INSERT INTO t VALUES ({row})", source, True)
    assert bool(lost) == ((kind, row) == ("TEXT", "7.0"))


def test_a_number_in_a_column_without_a_type_may_be_kept_as_one() -> None:
    source = Schema((Table("t", (Column("a", "", ("7",)),)),))
    assert complaints("CREATE TABLE t (a); INSERT INTO t VALUES (7)", source, True) == ()


@pytest.mark.parametrize("value", ["", "  "])
def test_a_blank_value_must_be_in_quotes(value: str) -> None:
    source = Schema((Table("t", (Column("a", "", (value,)),)),))
    assert complaints(f"CREATE TABLE t (a --    Tea,    '{value}'\n)", source, True) == ()
    assert len(complaints("CREATE TABLE t (a --    Tea,    (Milk)\n)", source, True)) == 1


def test_a_lost_value_is_reported_once() -> None:
    source = Schema((Table("t", (Column("a", "", ("Tea", "Tea")),)),))
    assert len(complaints("CREATE TABLE t (a)", source, True)) == 1


VALUES = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8), max_size=3
)
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=6)
TYPES = st.sampled_from(["", "INTEGER", "TEXT", "VARCHAR(9)", "REAL", "NUMERIC"])


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    tables = []
    for name in draw(st.lists(NAMES, min_size=1, max_size=3, unique_by=str.lower)):
        names = draw(st.lists(NAMES, min_size=1, max_size=4, unique_by=str.lower))
        columns = tuple(Column(column, draw(TYPES), tuple(draw(VALUES))) for column in names)
        tables.append(Table(f"t{name}", columns))
    return Schema(tuple(tables))


@pytest.mark.parametrize("values", ["comment", "insert"])
@given(schema=schemas())
def test_written_text_has_all_names_and_values_whatever_they_are(values: Values, schema: Schema) -> None:
    assert complaints(write_ddl(schema, values=values), schema, with_values=True) == ()


@given(st.text(max_size=60))
def test_no_text_makes_the_check_fail(text: str) -> None:
    assert complaints(f"CREATE TABLE owner (id, name {text}", SOURCE, with_values=True)


@pytest.mark.parametrize(
    ("gold", "said"),
    [
        ("SELECT 1; SELECT 2", "one statement"),
        ("SELECT \0", "gold does not compile"),
        ("nonsense 🫖", "syntax error"),
        ("SELECT '\ud800'", "surrogates not allowed"),
        ("SELECT name FROM shelf", "no such table: shelf"),
        ("SELECT weight FROM owner", "no such column: weight"),
    ],
)
def test_the_fault_of_a_gold_query_is_reported(gold: str, said: str) -> None:
    assert said in gold_problem(RIGHT, gold)


@pytest.mark.parametrize(
    "gold",
    [
        'SELECT name FROM owner WHERE name = "Ann"',
        "DELETE FROM owner",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT count(*) FROM n",
    ],
)
def test_a_gold_query_is_compiled_and_never_run(gold: str) -> None:
    assert gold_problem(RIGHT, gold) == ""


def test_no_gold_query_compiles_on_text_that_does_not_execute() -> None:
    assert "does not execute" in gold_problem("CREATE TABLE (", "SELECT 1")
