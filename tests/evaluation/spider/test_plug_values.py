"""The gold's values in the slots of a prediction."""

from __future__ import annotations

import sqlite3
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from text2sql.evaluation.spider.plug_values import Candidates
from text2sql.evaluation.spider.rewrite import MAX_TOKENS

# What comes out was checked against the official evaluator with sqlparse 0.6.1.
ONE_CANDIDATE = [
    ("SELECT a FROM t WHERE b = 'X'", "SELECT A FROM T WHERE B='y'", "select a from t where b = 'X'"),
    (
        "SELECT 'x'",
        "SELECT COUNT(*),b FROM `My T` GROUP   BY b;",
        "select count ( * ) , b from `my t` group by b",
    ),
    ("SELECT 1", "SELECT a WHERE b = -5 AND d = +1.5", "select a where b = 1 and d = + 1"),
    ('SELECT "X Y"', "SELECT a FROM t WHERE b='z  z'", 'select a from t where b = "X Y"'),
    ("SELECT 1", "SELECT a1.x, t1.y FROM T1", "select 1 . x , t1 . y from t1"),
    ("SELECT 1", "SELECT 1e5, 0x1F, 5., 007", "select 1e5 , 0x1f , 5. , 1"),
    ("SELECT 'x' -- 'x'", "SELECT 'y' -- 'y' 7", "select 'x' -- 'x' 'x'"),
    ("SELECT 'x'", "SELECT '', 'it''s', ''", "select 'x' , 'itvaluerares' , 'x'"),
    ("SELECT 'x'", "SELECT 'T1. y', 'T1.* y'", "select 'x' , 'x'"),
    ("SELECT 'T1. x or t2.*'", "SELECT 5", "select 'T1.x or *'"),
    ("SELECT 'x;y\tz'", "SELECT 5", "select 'xyz'"),
    ("SELECT 7", "SELECT a\nFROM t\r\nWHERE b = 'x\ny'", "select a from t where b = 7"),
    ("SELECT 'x' GO 'y'", "SELECT 5 GO 6", "select 'x' go 'x'"),
    ("SELECT 'x' go 'y'", "SELECT 5 go 'z'", "select 'x' go'z'"),
    ("SELECT 7", "SELECT VALUERARE, valuerare", "select 7 , 7"),
    ("SELECT 7", "SELECT lımit 5", "select limit 7"),
    ("SELECT 7", "SELECT `T1.x`, 5", "select `t1 . x` , 7"),
    ("SELECT 7", "SELECT 'T1.* y' FROM [T2.* z]", "select 7 from [* z]"),
    ("SELECT 'UTC'", "SELECT a AT TIME ZONE 'utc', 'UTC'", "select a at time zone 'UTC' , 'UTC'"),
    ("SELECT 'x \n\\'", "SELECT 5", "select 'x\n\\'"),
    ("SELECT a", "SELECT b", "select b"),
]

VALUES = ["'x'", "'t'", "'a'", '"x"', '"a"', "5", "1", "-1", "2.5", "+.5"]
WORDS = "SELECT a FROM t u WHERE a = b > AND ORDER BY GROUP LIMIT AS IN ( ) , . LIKE count( missing - COLLATE"
PARTS = [*WORDS.split(), *VALUES]
TEMPLATES = [
    "SELECT a FROM t WHERE a = {0} AND b {1} {2}",
    "SELECT a AS {0} FROM t JOIN u ON t.b = {1} WHERE x > {2}",
    "SELECT a FROM {0} WHERE missing = {1} LIMIT {2}",
    "SELECT a FROM {0} WHERE a = {1} OR {2}",
    "SELECT a, count(*) FROM t GROUP BY {0} HAVING count(*) > {1} ORDER BY {2}",
    "SELECT t.{0} FROM t WHERE a BETWEEN {1} AND {2} ORDER BY b COLLATE nocase",
    "SELECT a IN ({0}, {1}) FROM t, u WHERE b LIKE {2}",
]


def test_the_prediction_is_rewritten_with_the_value_in_each_slot() -> None:
    found = [(gold, predicted, candidates_of(gold, predicted), out) for gold, predicted, out in ONE_CANDIDATE]
    assert [case for case in found if case[2] != ([case[3]], 1)] == []


def candidates_of(gold: str, predicted: str) -> tuple[list[str], int]:
    return list(Candidates(gold, predicted)), Candidates(gold, predicted).count


def test_every_value_is_tried_in_every_slot() -> None:
    candidates = Candidates("SELECT a FROM t WHERE b = 'X' AND c > 5", "SELECT a WHERE b = 'y' AND c > 7")
    assert candidates.count == 4
    assert list(candidates) == [
        "select a where b = 'X' and c > 5",
        "select a where b = 'X' and c > 'X'",
        "select a where b = 5 and c > 5",
        "select a where b = 5 and c > 'X'",
    ]


def test_the_golds_values_come_first_in_the_golds_order() -> None:
    gold = "SELECT a WHERE n > 2.5 AND b = 'X' AND c = \"Y\" LIMIT 3"
    predicted = "SELECT a WHERE n > 1 AND b = 'p' AND c = 'q' LIMIT 1"
    assert (
        next(iter(Candidates(gold, predicted))) == "select a where n > 2.5 and b = 'X' and c = \"Y\" limit 3"
    )


def test_a_slot_cannot_be_filled_where_the_gold_has_no_value() -> None:
    candidates = Candidates("SELECT a FROM t", "SELECT a FROM t LIMIT 1")
    assert candidates.count == 0
    assert list(candidates) == []


@pytest.mark.parametrize("text", ["", " ;\t", "a " * (MAX_TOKENS + 1)])
def test_text_that_sqlparse_cannot_read_has_no_candidates(text: str) -> None:
    assert list(Candidates("SELECT 1", text)) == []
    assert list(Candidates(text, "SELECT 1")) == []
    assert Candidates(text, "SELECT 1").count == 0


def test_candidates_are_generated_one_by_one_however_many_there_are() -> None:
    gold = "SELECT " + ", ".join(str(number) for number in range(10, 60))
    candidates = Candidates(gold, gold)
    assert candidates.count == 50**50
    assert next(iter(candidates)) == gold.replace(",", " ,").lower()


@given(st.text(alphabet=st.characters(), max_size=60), st.text(alphabet="'\"-/*#[]$T1.5 ax;\n", max_size=60))
def test_any_text_can_be_plugged_into(gold: str, predicted: str) -> None:
    assert len(list(islice(Candidates(gold, predicted), 10))) <= 10


@given(st.lists(st.sampled_from(VALUES), max_size=4), st.lists(st.sampled_from(PARTS), max_size=12))
def test_as_many_candidates_come_as_are_counted(values: list[str], parts: list[str]) -> None:
    candidates = Candidates("SELECT " + ", ".join(values), " ".join(parts))
    expected = min(candidates.count, 500)
    assert len(set(islice(candidates, 500))) == expected


def test_a_refusal_skips_numbers_and_texts_that_are_alike_to_the_compiler() -> None:
    candidates = Candidates("SELECT 1, 2, 'x', 'y'", "SELECT missing FROM t WHERE a = 9")
    assert refusing(candidates) == [
        "select missing from t where a = 1",
        "select missing from t where a = 'x'",
    ]


@pytest.mark.parametrize(
    "predicted",
    [
        "SELECT a AS 'p' FROM t ORDER BY x",
        "SELECT a FROM 'p'",
        "SELECT t.'p' FROM t",
        "SELECT a COLLATE 'p' FROM t",
        "SELECT a FROM t ORDER BY 9",
        "SELECT a FROM t GROUP BY 9",
        "SELECT a FROM t ORDER BY a, 9",
    ],
)
def test_a_refusal_skips_nothing_where_the_value_may_be_a_name_or_a_column(predicted: str) -> None:
    assert len(refusing(Candidates("SELECT 1, 2, 'x', 'y'", predicted))) == 4


def test_a_refusal_never_skips_texts_in_double_quotes() -> None:
    assert len(refusing(Candidates('SELECT "x", "y"', "SELECT a FROM t WHERE missing = 9"))) == 2


def test_a_syntax_error_skips_all_values_of_a_kind_wherever_they_stand() -> None:
    candidates = Candidates('SELECT 1, 2, "x", "y", \'z\', -3', "SELECT SELECT a AS 9")
    assert refusing(candidates, syntax=True) == [
        "select select a as 1",
        'select select a as "x"',
        "select select a as 'z'",
        "select select a as -3",
    ]


def test_a_refusal_ends_with_the_next_iteration() -> None:
    candidates = Candidates("SELECT 1, 2", "SELECT a FROM t WHERE b = 9")
    assert len(refusing(candidates)) == 1
    assert len(list(candidates)) == 2


@settings(max_examples=300)
@given(
    st.sampled_from(TEMPLATES),
    st.lists(st.sampled_from([*VALUES, "missing", "u . a", ">"]), min_size=3, max_size=3),
    st.lists(st.sampled_from(VALUES), min_size=1, max_size=4, unique=True),
)
def test_whatever_is_skipped_would_not_compile(template: str, own: list[str], values: list[str]) -> None:
    gold, predicted = "SELECT " + ", ".join(values), template.format(*own)
    connection = sqlite3.connect(":memory:")
    connection.executescript("CREATE TABLE t (a, b); CREATE TABLE u (a, c);")
    candidates, tried = Candidates(gold, predicted), set()
    for sql in candidates:
        tried.add(sql)
        if message := refusal(connection, sql):
            candidates.refuse(syntax="syntax error" in message)
    skipped = set(Candidates(gold, predicted)) - tried
    assert [sql for sql in skipped if not refusal(connection, sql)] == []


def refusing(candidates: Candidates, syntax: bool = False) -> list[str]:
    """What is tried if everything is refused."""
    tried = []
    for sql in candidates:
        tried.append(sql)
        candidates.refuse(syntax)
    return tried


def refusal(connection: sqlite3.Connection, sql: str) -> str:
    """What SQLite's compiler says against a query."""
    try:
        connection.execute(f"EXPLAIN {sql}")
    except sqlite3.OperationalError as error:
        return str(error)
    return ""
