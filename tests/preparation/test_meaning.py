"""SQL that compiles although it cannot mean what was asked."""

from __future__ import annotations

import pytest

from text2sql.preparation.meaning import CONSTANTS, INVENTED, fault

DDL = 'CREATE TABLE t (id INTEGER, name TEXT, "first name" TEXT);'

FINE = [
    'SELECT name FROM t WHERE name = "x"',
    'SELECT name FROM t WHERE "x" = name',
    'SELECT "first name" FROM t WHERE "first name" <> "x"',
    'SELECT "NAME" FROM t',
    'SELECT name FROM t WHERE name IN ("x", "y") AND name NOT LIKE "%z%"',
    'SELECT name FROM t WHERE name BETWEEN "a" AND "b"',
    'SELECT name AS "the name" FROM t ORDER BY "the name"',
    'SELECT "a" FROM (SELECT name AS "a" FROM t)',
    'WITH c("k") AS (SELECT name FROM t) SELECT "k" FROM c',
    'SELECT CASE WHEN id > 3 THEN "many" ELSE "few" END FROM t',
    'SELECT replace(name, "a", "b"), strftime("%Y", name) FROM t',
    "SELECT name FROM t WHERE 1 = 1 AND id > 2",
    "SELECT 'x', 5 FROM t",
    'SELECT max("rowid"), "oid" FROM t',
    'SELECT "key", "value" FROM t, json_each(t.name) WHERE 5 < "value"',
    'SELECT "count(*)" FROM (SELECT count(*) FROM t)',
    'SELECT "column1" FROM (VALUES (1), (2))',
    'SELECT "sql" FROM sqlite_master WHERE "type" = \'table\'',
    'SELECT group_concat(name, "; "), group_concat("name", ", ") FROM t',
    'SELECT t."name" FROM t WHERE id = -3 AND 3 < id',
]


@pytest.mark.parametrize("sql", FINE)
def test_usual_sql_has_no_fault(sql: str) -> None:
    assert fault(sql, DDL) is None


@pytest.mark.parametrize(
    ("sql", "place"),
    [
        ('SELECT 2004 FROM t WHERE 1998 = "2r"', '1998 = "2r"'),
        ("SELECT name FROM t WHERE 1998 = '2r'", "1998 = '2r'"),
        ('SELECT name FROM t WHERE id = 3 AND "nmae" = "x"', '"nmae" = "x"'),
        ('SELECT name FROM t WHERE "club" = "club"', '"club" = "club"'),
        ("SELECT name FROM t WHERE -5 < 3", "-5 < 3"),
        ("SELECT name FROM t WHERE '2007' LIKE '%a%'", "'2007' LIKE '%a%'"),
    ],
)
def test_a_constant_compared_with_a_constant_is_a_fault(sql: str, place: str) -> None:
    assert fault(sql, DDL) == (CONSTANTS, place)


@pytest.mark.parametrize(
    "sql",
    [
        'SELECT "nmae" FROM t',
        'SELECT DISTINCT "nmae" FROM t',
        'SELECT "nmae" AS x FROM t',
        'SELECT count("nmae") FROM t',
        'SELECT count(DISTINCT "nmae") FROM t',
        'SELECT name FROM t ORDER BY "nmae" DESC',
        'SELECT count(*) FROM t GROUP BY "nmae"',
        'SELECT name FROM t WHERE id = (SELECT max("idd") FROM t)',
    ],
)
def test_a_selected_name_in_double_quotes_that_is_no_column_is_a_fault(sql: str) -> None:
    found = fault(sql, DDL)
    assert found is not None and found[0] == INVENTED
