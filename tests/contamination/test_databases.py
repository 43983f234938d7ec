"""Test databases are found by a schema that equals theirs, is a part of it or contains it."""

from __future__ import annotations

import pytest

from text2sql.contamination.databases import TestDatabases
from text2sql.contamination.folding import Signature, schema_signature

SHOP = schema_signature("CREATE TABLE item (id, name); CREATE TABLE sale (item_id, day)")
ZOO = schema_signature("CREATE TABLE animal (id, name)")
DATABASES = TestDatabases([ZOO, SHOP, ZOO])


def similar(ddl: str) -> list[tuple[Signature, float]]:
    return DATABASES.similar(schema_signature(ddl))


@pytest.mark.parametrize(
    ("ddl", "similarity"),
    [
        ("CREATE TABLE Sale (DAY TEXT, item_id INT); CREATE TABLE ITEM (name, id)", 1.0),
        ("CREATE TABLE item (id)", 0.25),
        ("CREATE TABLE item (id, name); CREATE TABLE sale (item_id, day); CREATE TABLE x (y)", 0.8),
    ],
)
def test_an_equal_a_smaller_and_a_larger_schema_are_similar(ddl: str, similarity: float) -> None:
    assert similar(ddl) == [(SHOP, similarity)]


@pytest.mark.parametrize("ddl", ["CREATE TABLE item (id, price)", "CREATE TABLE items (id, name)"])
def test_a_schema_that_only_overlaps_is_not_similar(ddl: str) -> None:
    assert similar(ddl) == []


def test_several_databases_are_named_the_most_similar_first() -> None:
    both = "CREATE TABLE animal (id, name); CREATE TABLE item (id, name); CREATE TABLE sale (item_id, day)"
    assert [signature for signature, _ in similar(both)] == [SHOP, ZOO]


def test_the_questions_of_a_database_are_known_by_their_places() -> None:
    assert DATABASES.places(ZOO) == [0, 2]
    assert DATABASES.places(SHOP) == [1]


def test_text_that_names_no_table_of_the_test_need_not_be_executed() -> None:
    assert not DATABASES.may_match("CREATE TABLE items (id)")
    assert DATABASES.may_match("create table ITEM (")


def test_a_table_name_without_letters_may_be_held_by_any_text() -> None:
    assert TestDatabases([frozenset({("-", "id")})]).may_match("CREATE TABLE t (id)")
