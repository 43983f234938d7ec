"""Equal queries are found by the names in them."""

from __future__ import annotations

import dataclasses

import pytest

from text2sql.contamination.databases import contained
from text2sql.contamination.evidence import Evidence
from text2sql.contamination.folding import schema_signature
from text2sql.contamination.queries import SameQueries
from text2sql.records import TestQuestion, TrainingRow

DDL = "CREATE TABLE t (id, name, age); CREATE TABLE u (id, t_id)"
TEST = [
    TestQuestion(3, "d", "?", "SELECT name FROM t WHERE age > 30 AND name != 'Ann' LIMIT 1", DDL, "all"),
    TestQuestion(5, "d", "?", "SELECT count(*) FROM t JOIN u ON t.id = u.t_id", DDL, "all"),
    TestQuestion(8, "d", "?", "SELECT name FROM t WHERE age > 31 AND name != 'Ann' LIMIT 1", DDL, "all"),
]
OTHER_VALUES = "select NAME from T where AGE > -4.5 and name <> 'Bo' limit 3"


def find(sql: str, ddl: str = DDL, masked: bool = True, test: list[TestQuestion] = TEST) -> Evidence | None:
    index = SameQueries(test, [schema_signature(question.schema) for question in test], masked)
    row = TrainingRow("a:0", "a", "?", ddl, sql)
    return index.find(row, lambda row: schema_signature(row.ddl))


def test_equal_queries_are_distinguished_from_queries_with_other_values() -> None:
    assert find(TEST[2].gold) == Evidence("same_sql", 8, 1.0)
    assert find(OTHER_VALUES) == Evidence("masked_sql", 3, 1.0)


def test_without_masking_other_values_make_another_query() -> None:
    assert find(OTHER_VALUES, masked=False) is None
    assert find(TEST[2].gold, masked=False) == Evidence("same_sql", 8, 1.0)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT name FROM t WHERE age < 30 AND name != 'Ann' LIMIT 1",
        "SELECT name FROM t WHERE age > 30 AND name != 'Ann'",
        "SELECT name FROM t WHERE age > id AND name != 'Ann' LIMIT 1",
        "SELECT DISTINCT name FROM t WHERE age > 30 AND name != 'Ann' LIMIT 1",
        "SELECT age FROM t WHERE age > 30 AND name != 'Ann' LIMIT 1",
    ],
)
def test_values_are_all_that_may_differ(sql: str) -> None:
    assert find(sql) is None


def test_a_string_in_double_quotes_is_a_value_and_a_column_in_them_is_not() -> None:
    assert find('SELECT name FROM t WHERE age > 9 AND name != "Cy" LIMIT 1') is not None
    assert find('SELECT name FROM t WHERE age > 9 AND name != "id" LIMIT 1') is None


@pytest.mark.parametrize(
    "ddl",
    [
        "CREATE TABLE t (name, age)",
        "CREATE TABLE T (Age, Name, id, shoe_size)",
        "CREATE TABLE t (id, name, age); CREATE TABLE v (other)",
    ],
)
def test_a_schema_fits_that_shows_less_or_more_of_the_tables_used(ddl: str) -> None:
    assert find(TEST[0].gold, ddl) == Evidence("masked_sql", 3, 1.0)
    assert find(TEST[0].gold, ddl, masked=False) is None


@pytest.mark.parametrize("ddl", ["CREATE TABLE t (name, age, shoe_size)", "CREATE TABLE v (name, age)"])
def test_a_namesake_of_the_table_with_other_columns_does_not_fit(ddl: str) -> None:
    assert find(TEST[0].gold, ddl) is None


def test_the_schema_is_read_only_if_all_names_of_a_test_query_occur() -> None:
    index = SameQueries(TEST, [schema_signature(DDL)] * 3, masked=True)
    row = TrainingRow("a:0", "a", "?", "not a schema", "SELECT name FROM t WHERE id = 1")
    assert index.find(row, lambda row: schema_signature(row.ddl)) is None


def test_a_row_without_a_known_schema_is_passed_over() -> None:
    index = SameQueries(TEST, [schema_signature(DDL)] * 3, masked=True)
    assert index.find(TrainingRow("a:0", "a", "?", "", TEST[0].gold), lambda row: None) is None


def test_a_test_query_that_does_not_parse_is_found_word_for_word() -> None:
    test = [dataclasses.replace(TEST[0], gold="SELECT name name name FROM")]
    assert find("select  NAME name name from;", test=test) == Evidence("same_sql", 3, 1.0)
    assert find("select name name from", test=test) is None


def test_a_test_query_without_names_is_found() -> None:
    test = [dataclasses.replace(TEST[0], gold="SELECT 1")]
    assert find("select 1", test=test) == Evidence("same_sql", 3, 1.0)
    assert find("select 2", test=test) is None


def test_an_empty_signature_is_contained_in_none() -> None:
    full = schema_signature(DDL)
    assert contained(full, full)
    assert not contained(frozenset(), full) and not contained(full, frozenset())
