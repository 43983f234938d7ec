"""Schemas in DB-GPT-Hub's prose, read and written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from text2sql.errors import UserError
from text2sql.schema.model import Column, ForeignKey, Schema, Table
from text2sql.schema.prose import prose_database, read_prose, write_prose

SHOP = (
    "shop contains tables such as item, sale. Table item has columns such as id, name. "
    "id is the primary key. The id contains values such as 7.The name contains values such as "
    " Tea, Mr. T. Table sale has columns such as item_id, date of sale.  is the primary key. "
    "The item_id of sale is the foreign key of id of item."
)


def test_tables_columns_keys_and_values_come_out_as_written() -> None:
    item = Table("item", (Column("id", "", ("7",)), Column("name", "", (" Tea", "Mr. T"))), ("id",))
    key = ForeignKey(("item_id",), "item", ("id",))
    sale = Table("sale", (Column("item_id"), Column("date of sale")), (), (key,))
    assert read_prose(SHOP) == ("shop", Schema((item, sale)))


def test_a_value_may_contain_the_beginning_of_another_sentence() -> None:
    text = SHOP.replace("Mr. T.", "St. The Great.")
    assert read_prose(text)[1].tables[0].columns[1].examples == (" Tea", "St. The Great")


def test_a_comma_inside_parentheses_belongs_to_the_name() -> None:
    text = (
        "d contains tables such as t. Table t has columns such as price (USD, net), 18_49_share. "
        "price (USD, net) is the primary key."
    )
    (table,) = read_prose(text)[1].tables
    assert [column.name for column in table.columns] == ["price (USD, net)", "18_49_share"]
    assert table.primary_key == ("price (USD, net)",)


def test_a_name_may_contain_a_full_stop_or_the_word_of() -> None:
    text = (
        "d contains tables such as a, b. Table a has columns such as no. of x. "
        "no. of x is the primary key. Table b has columns such as no. of x. no. of x is the "
        "primary key. The no. of x of b is the foreign key of no. of x of a."
    )
    (key,) = read_prose(text)[1].tables[1].foreign_keys
    assert key == ForeignKey(("no. of x",), "a", ("no. of x",))


def test_a_repeated_foreign_key_is_kept_once() -> None:
    sentence = " The item_id of sale is the foreign key of id of item."
    assert read_prose(SHOP + sentence) == read_prose(SHOP)


def test_sqlites_own_tables_are_left_out() -> None:
    text = SHOP.replace("item, sale", "item, sqlite_sequence, sale").replace(
        " Table sale",
        " Table sqlite_sequence has columns such as name, seq.  is the primary key. Table sale",
    )
    assert read_prose(text) == read_prose(SHOP)


def test_a_byte_order_mark_and_outer_white_space_do_no_harm() -> None:
    assert read_prose("\ufeff" + SHOP + "\r\n") == read_prose(SHOP)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("shop contains tables such as", "shop has", "shop has item"),
        ("such as item, sale.", "such as item, sale, tax.", "'tax'"),
        ("such as item, sale.", "such as item.", "sale"),
        ("such as item, sale.", "such as item, item, sale.", "listed twice"),
        ("Table sale has", "Table sales has", "'sale'"),
        ("id, name. id is", "id, ID. id is", "listed twice"),
        ("id, name. id is", "id, name. nr is", "nr is the primary key"),
        ("id is the primary key.", "", "no sentence"),
        ("The id contains", "The nr contains", "nr contains"),
        ("The name contains", "The nr contains", "nr contains"),
        ("of sale is the foreign", "of tax is the foreign", "item_id of tax"),
        ("key of id of item", "key of nr of item", "nr of item"),
        (" of item.", " of item", "should read"),
    ],
)
def test_what_does_not_fit_is_named(old: str, new: str, named: str) -> None:
    assert old in SHOP
    with pytest.raises(UserError) as error:
        read_prose(SHOP.replace(old, new, 1))
    assert named in str(error.value)


@pytest.mark.parametrize("text", ["", "\0", "🫖", ".", " contains tables such as .", "CREATE TABLE t (a)"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="does not fit"):
        read_prose(text)


def test_the_prose_begins_with_the_database() -> None:
    assert prose_database("\ufeff" + SHOP) == "shop"


@pytest.mark.parametrize("text", ["", " contains tables such as t.", "CREATE TABLE t (a)"])
def test_text_that_tells_no_database_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="does not fit"):
        prose_database(text)


def test_writing_tells_what_was_read() -> None:
    assert write_prose(*read_prose(SHOP)) == SHOP


def test_composite_keys_survive_the_round_trip() -> None:
    key = ForeignKey(("a", "b"), "t", ("x", "y"))
    schema = Schema(
        (
            Table("t", (Column("x"), Column("y")), ("y", "x")),
            Table("u", (Column("a"), Column("b")), (), (key,)),
        )
    )
    assert read_prose(write_prose("d", schema)) == ("d", schema)


def test_types_are_all_that_the_round_trip_loses() -> None:
    typed = Schema((Table("t", (Column("x", "INTEGER", ("1",)),)),))
    assert read_prose(write_prose("d", typed))[1].tables[0].columns == (Column("x", "", ("1",)),)


@pytest.mark.parametrize(
    "schema",
    [
        Schema((Table("t", (Column("a, b"),)),)),
        Schema((Table("t", (Column("a", "", ("New York, NY",)),)),)),
        Schema((Table("t", (Column(" a"), Column("b"))), Table("t", (Column("c"),)))),
        Schema(()),
    ],
)
def test_what_prose_cannot_say_is_refused(schema: Schema) -> None:
    with pytest.raises(UserError):
        write_prose("d", schema)


NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    tables: list[Table] = []
    for name in draw(st.lists(NAMES, min_size=1, max_size=4, unique=True)):
        names = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
        values = st.lists(st.from_regex(r"[A-Za-z0-9é. ]{1,9}", fullmatch=True), max_size=2)
        columns = tuple(Column(column, "", tuple(draw(values))) for column in names)
        keys: tuple[ForeignKey, ...] = ()
        if bool(tables) and draw(st.booleans()):
            parent = draw(st.sampled_from(tables))
            target = draw(st.sampled_from(parent.columns)).name
            keys = (ForeignKey((draw(st.sampled_from(names)),), parent.name, (target,)),)
        primary = draw(st.lists(st.sampled_from(names), max_size=2, unique=True))
        tables.append(Table(name, columns, tuple(primary), keys))
    return Schema(tuple(tables))


@given(schemas())
def test_plain_names_survive_the_round_trip(schema: Schema) -> None:
    assert read_prose(write_prose("db", schema)) == ("db", schema)
