"""text2sql.context.write: CREATE TABLE text that SQLite accepts whatever the values are, and M-Schema."""

from __future__ import annotations

import pytest

from tests.context.databases import SINGERS
from text2sql.context.write import Shown, as_ddl, as_m_schema
from text2sql.schema.ddl import read_ddl, write_ddl

SCHEMA = read_ddl(SINGERS)
COUNTRY = ("singer", "country")


def test_hints_come_before_examples_and_are_not_repeated() -> None:
    text = as_ddl(SCHEMA, {COUNTRY: Shown(["'France'"], ["'France'", "'Peru'"])}, types=False)
    assert "Country /* 'France'; e.g. 'Peru' */, Age" in text


def test_without_values_the_text_is_the_plain_one() -> None:
    assert as_ddl(SCHEMA, {}, types=True) == write_ddl(SCHEMA)
    assert as_ddl(SCHEMA, {}, types=False) == write_ddl(SCHEMA, types=False)


@pytest.mark.parametrize("value", ["'*/ DROP'", "'a''b'", "'--'", "'a\nb'", "'/*'", "'**//'", "'\x85'"])
@pytest.mark.parametrize("types", [True, False])
def test_no_value_ends_its_comment(value: str, types: bool) -> None:
    values = {COUNTRY: Shown([value]), ("concert", "theme"): Shown([], [value])}
    assert write_ddl(read_ddl(as_ddl(SCHEMA, values, types))) == write_ddl(SCHEMA, types)


def test_descriptions_come_before_values() -> None:
    schema = read_ddl("CREATE TABLE t (a TEXT, -- where */ she lives\n b TEXT)", comments=True)
    assert "a TEXT /* where * / she lives; 'x' */" in as_ddl(schema, {("t", "a"): Shown(["'x'"])}, types=True)


def test_names_that_need_quotes_keep_their_values() -> None:
    schema = read_ddl('CREATE TABLE "order by" ("a b" TEXT)')
    text = as_ddl(schema, {("order by", "a b"): Shown(["'x'"])}, types=True)
    assert text == """CREATE TABLE "order by" ("a b" TEXT /* 'x' */);"""


def test_m_schema_has_the_published_form() -> None:
    values = {COUNTRY: Shown(["'France'"], ["'Peru'", "'France'"])}
    text = as_m_schema(SCHEMA, values, types=True, db_id="concert_singer")
    assert text.splitlines() == [
        "【DB_ID】 concert_singer",
        "【Schema】",
        "# Table: singer",
        "[",
        "(Singer_ID:INTEGER, Primary Key),",
        "(Name:TEXT),",
        "(Country:TEXT, Examples: ['France', 'Peru']),",
        "(Age:INTEGER)",
        "]",
        "# Table: concert",
        "[",
        "(concert_ID:INTEGER, Primary Key),",
        "(Theme:TEXT),",
        "(Year:TEXT)",
        "]",
        "# Table: singer_in_concert",
        "[",
        "(concert_ID:INTEGER, Primary Key),",
        "(Singer_ID:INTEGER, Primary Key)",
        "]",
        "【Foreign keys】",
        "singer_in_concert.concert_ID=concert.concert_ID",
        "singer_in_concert.Singer_ID=singer.Singer_ID",
    ]


def test_m_schema_without_types_or_keys_has_neither() -> None:
    schema = read_ddl("CREATE TABLE t (a TEXT, b INTEGER)")
    assert as_m_schema(schema, {}, types=False, db_id="d").splitlines()[-4:] == ["[", "(a),", "(b)", "]"]
