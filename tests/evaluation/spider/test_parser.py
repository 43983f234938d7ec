"""SQL is read as the official script reads it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from text2sql.evaluation.spider.parser import MAX_CHARACTERS, Column, Query, UnreadableSQL, read_sql
from text2sql.evaluation.spider.schema import SpiderSchema

SCHEMA = SpiderSchema(
    {"singer": ("id", "name", "age"), "song": ("id", "singer_id", "title"), "sung": ("song_id",)}, {}
)
NAME = Column("none", "singer.name", False)


def read(sql: str) -> Query:
    return read_sql(sql, SCHEMA)


def columns(query: Query) -> list[str]:
    return [expression.left.name for _, expression in query.selected]


def is_readable(sql: str, schema: SpiderSchema | None = SCHEMA) -> bool:
    try:
        read_sql(sql, schema)
    except UnreadableSQL:
        return False
    return True


def test_every_clause_is_read() -> None:
    query = read(
        "SELECT DISTINCT T1.name, count(*) FROM singer AS T1 JOIN song AS T2 ON T1.id = T2.singer_id "
        "WHERE T1.age > 20 AND title LIKE 'x%' GROUP BY T1.name HAVING count(*) > 1 "
        "ORDER BY T1.name DESC LIMIT 3 EXCEPT SELECT name, age FROM singer"
    )
    assert (query.distinct, columns(query)) == (True, ["singer.name", "*"])
    assert [aggregate for aggregate, _ in query.selected] == ["none", "count"]
    assert query.tables == ("singer", "song")
    assert len(query.joined_on) == 1
    assert [part if isinstance(part, str) else part.operator for part in query.where] == [">", "and", "like"]
    assert query.grouped == (NAME,)
    assert len(query.having) == 1
    assert (query.direction, [it.left for it in query.ordered], query.limited) == ("desc", [NAME], True)
    assert query.set_operator == "except"
    assert query.other is not None
    assert columns(query.other) == ["singer.name", "singer.age"]


def test_letter_case_spacing_and_the_kind_of_quotes_do_not_matter() -> None:
    query = read("SELECT name FROM singer WHERE name = 'X'")
    assert read('select NAME\nfrom  Singer where name  =  "X"') == query


def test_quoted_text_keeps_its_case() -> None:
    assert read("SELECT name FROM singer WHERE name = 'X'") != read(
        "SELECT name FROM singer WHERE name = 'x'"
    )


def test_an_unqualified_column_belongs_to_the_first_table_that_has_it() -> None:
    assert columns(read("SELECT id, title FROM song JOIN singer")) == ["song.id", "song.title"]


def test_an_alias_holds_in_the_whole_text() -> None:
    sql = "SELECT name FROM singer WHERE id IN (SELECT T9.singer_id FROM song) UNION SELECT title FROM song"
    assert is_readable(f"{sql} AS T9")
    assert not is_readable(sql)


def test_the_direction_of_the_last_column_is_that_of_order_by() -> None:
    assert read("SELECT name FROM singer ORDER BY age DESC, name ASC").direction == "asc"


def test_what_follows_the_grammar_is_ignored() -> None:
    query = read("SELECT name FROM singer ORDER BY age")
    assert read("SELECT name FROM singer ORDER BY age NULLS LAST LIMIT 1 -- whatever") == query


def test_all_up_to_the_next_and_is_lost_after_a_compared_column() -> None:
    lost = "SELECT name FROM singer JOIN song ON singer.id = song.singer_id OR singer.id = song.id"
    assert read(lost) == read("SELECT name FROM singer JOIN song ON singer.id = song.singer_id")
    assert len(read(lost.replace("OR", "AND")).joined_on) == 3


def test_the_first_from_of_the_text_is_taken_for_that_of_the_query() -> None:
    assert not is_readable("SELECT (SELECT title FROM song), name FROM singer")


@pytest.mark.parametrize(
    "condition", ["age>20", "age>= 20", "age ! = 20", "age = 20;", "age IN(20)", "age = -20", "age = 2.5e1"]
)
def test_brackets_semicolons_and_inequality_signs_separate_words(condition: str) -> None:
    assert is_readable(f"SELECT name FROM singer WHERE {condition}")


@pytest.mark.parametrize("condition", ["age=20", "age= 20", "age>=20", "age = - 20", "age = 20.", "age='x'"])
def test_equality_and_minus_signs_and_quotes_separate_no_words(condition: str) -> None:
    assert not is_readable(f"SELECT name FROM singer WHERE {condition}")


def test_a_period_before_white_space_is_a_word_of_its_own() -> None:
    query = read("SELECT name FROM singer GROUP BY name")
    assert read("SELECT name FROM singer GROUP BY name. This counts them.") == query


CONDITIONS_OUTSIDE = [
    "name IS NULL",
    "age IN (20, 30)",
    "(age = 20)",
    "NOT age = 20",
    "EXISTS (SELECT title FROM song)",
    "length(name) > 3",
    "age <> 20",
    "name = 'it's'",
    "name = 'it''s'",
    "age = 20 AND = 30",
    "age",
    "age =",
    "age BETWEEN 20",
    "age = (age)",
    "age = max(age)",
    "`name` = 'x'",
    "a.b.c = 1",
    "unknown = 1",
    "age = 20 name = 'x' AND age = 30",
]


def test_a_condition_outside_the_grammar_is_refused() -> None:
    queries = [f"SELECT name FROM singer WHERE {condition}" for condition in CONDITIONS_OUTSIDE]
    assert [sql for sql in queries if is_readable(sql)] == []


QUERIES_OUTSIDE = [
    "",
    "hello",
    "SELECT name",
    "SELECT name FROM",
    "SELECT name FROM nowhere",
    "SELECT name FROM singer, song",
    "SELECT name AS n FROM singer",
    "SELECT name FROM singer AS",
    "SELECT name FROM singer AS song",
    "SELECT s.name FROM singer s",
    "SELECT name FROM (SELECT name FROM singer) AS s",
    "SELECT name FROM singer LEFT JOIN song",
    "SELECT max(age) - min(age) FROM singer",
    "SELECT name FROM singer ORDER age",
    "SELECT name FROM singer LIMIT",
    "SELECT name FROM singer UNION ALL SELECT title FROM song",
    "(SELECT name FROM singer",
    "WITH s AS (SELECT name FROM singer) SELECT name FROM s",
    "DELETE FROM singer",
]


def test_a_query_outside_the_grammar_is_refused() -> None:
    assert [sql for sql in QUERIES_OUTSIDE if is_readable(sql)] == []


def test_a_second_condition_without_and_is_kept_in_the_place_of_the_and() -> None:
    first, second = read("SELECT name FROM singer WHERE age = 20 name = 'x'").where
    assert (first.tested.left.name, second.tested.left.name) == ("singer.age", "singer.name")  # type: ignore[union-attr]


def test_two_subqueries_can_stand_side_by_side_in_from() -> None:
    query = read("SELECT count(*) FROM (SELECT name FROM singer) (SELECT title FROM song)")
    assert [columns(part) for part in query.tables if isinstance(part, Query)] == [
        ["singer.name"],
        ["song.title"],
    ]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT name FROM singer WHERE id IN (" * 1000,
        "SELECT name FROM (" * 1000,
        "SELECT name FROM singer UNION " * 1000,
    ],
)
def test_deep_nesting_is_refused(sql: str) -> None:
    with pytest.raises(UnreadableSQL, match="deeply"):
        read(sql)


def test_a_text_that_is_too_long_is_refused() -> None:
    with pytest.raises(UnreadableSQL, match=str(MAX_CHARACTERS)):
        read("SELECT name FROM singer".ljust(MAX_CHARACTERS + 1))


def test_without_a_schema_any_name_is_taken() -> None:
    assert columns(read_sql("SELECT T1.a FROM b AS T1 WHERE 18_49_share = 'x'", None)) == ["t1.a"]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a b FROM t",
        "SELECT a FROM t u",
        "SELECT lower(a) FROM t",
        "SELECT a FROM t ORDER BY lower(a)",
        "SELECT a FROM t WHERE b IS NULL OR c = 1",
        "SELECT a FROM t GROUP BY 1",
    ],
)
def test_without_a_schema_what_may_be_no_column_is_refused(sql: str) -> None:
    with pytest.raises(UnreadableSQL):
        read_sql(sql, None)


KEYWORDS = "select from where group by order having limit union join on as and or not in between like count"
SIGNS = "( ) , ; = * - . > ! ' \" ` -- é ’ 1 2.5 'x' name age title singer song T1 T1.name"
WORDS = st.sampled_from([*KEYWORDS.split(), *SIGNS.split()])


@given(st.lists(WORDS, max_size=30).map(" ".join) | st.text(), st.sampled_from([SCHEMA, None]))
def test_any_text_is_read_or_refused_whatever_space_is_around_it(
    text: str, schema: SpiderSchema | None
) -> None:
    def outcome(sql: str) -> Query | None:
        try:
            return read_sql(sql, schema)
        except UnreadableSQL:
            return None

    assert outcome(text) == outcome(f"\n {text}\t ")
