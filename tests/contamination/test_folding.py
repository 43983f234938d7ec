"""Folded questions, queries and schemas are equal if they mean the same, and differ if they do not."""

import pytest

from text2sql.contamination.folding import (
    fold_question,
    fold_sql,
    query_names,
    schema_signature,
)
from text2sql.errors import UserError
from text2sql.schema.prose import read_prose

COLUMNS = {"name", "id", "country", "age"}


@pytest.mark.parametrize(
    "other",
    [
        "whats THE café's name",
        "What’s\tthe cafes name ?!",
        "ＷＨＡＴ's the cafe\u0301s\r\nname",
        "\ufeffWhat's the “cafe's” na\u00adme",
    ],
)
def test_case_accents_punctuation_and_space_fall_away(other: str) -> None:
    assert fold_question("What's the cafe's name?") == fold_question(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("older than 56", "older than 57"),
        ("age > 5", "age < 5"),
        ("costs $5", "costs €5"),
        ("में", "म"),
        ("the cat", "the cats"),
    ],
)
def test_digits_signs_and_vowels_of_other_scripts_stay(one: str, other: str) -> None:
    assert fold_question(one) != fold_question(other)


def test_a_folded_question_folds_to_itself() -> None:
    once = fold_question("İs ﬁve > 4? Ça — “va”_bien 😀 \0 ½")
    assert fold_question(once) == once


@pytest.mark.parametrize(
    "other",
    [
        "SELECT T1.Name FROM Singer AS T1 JOIN concert T2 ON T1.ID = T2.id WHERE T1.country = 'France' ; ;",
        'select x.name\nfrom `singer` x INNER JOIN [concert] as y on x.id=y.id where x."Country" = "France"',
        "select a.name from singer a join concert b on a.id = b.id where a.country == 'France'; -- end",
    ],
)
def test_spelling_of_a_query_falls_away(other: str) -> None:
    one = "select t.name from singer t join concert u on t.id = u.id where t.country = 'France'"
    assert fold_sql(one, COLUMNS) == fold_sql(other, COLUMNS)
    assert fold_sql(other, COLUMNS).parsed


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "select name from t where country = 'France'",
            "select name from t where country = 'france'",
        ),
        (
            'select name from t where country = "France"',
            'select name from t where country = "Spain"',
        ),
        ("select count(name) from t", "select count(distinct name) from t"),
        ("select name from t order by age", "select name from t order by age desc"),
        (
            "select name from t join u on t.id = u.id",
            "select name from t left join u on t.id = u.id",
        ),
        ("select 'name' from t", 'select "name" from t'),
        ("select a.id from t a join u b", "select b.id from t a join u b"),
    ],
)
def test_queries_that_may_differ_in_result_stay_apart(one: str, other: str) -> None:
    assert fold_sql(one, COLUMNS) != fold_sql(other, COLUMNS)


@pytest.mark.parametrize(
    "other",
    [
        "select name from t where age > 5 and country = 'Spain' limit 3",
        'select name from t where age > -1.5e3 and country = "" limit 1',
    ],
)
def test_masked_queries_are_equal_whatever_their_values(other: str) -> None:
    one = "select name from t where age > 40 and country = 'France' limit 1"
    assert fold_sql(one, COLUMNS, mask=True) == fold_sql(other, COLUMNS, mask=True)
    assert fold_sql(one, COLUMNS) != fold_sql(other, COLUMNS)


@pytest.mark.parametrize(
    "other",
    [
        "select name from t where age >= 40",
        "select name from t where age > id",
        "select name from t where age > null",
        "select name from t where age > 40 limit 1",
        "select name from t where age > 40 or age > 50",
    ],
)
def test_masking_hides_values_only(other: str) -> None:
    one = "select name from t where age > 40"
    assert fold_sql(one, COLUMNS, mask=True) != fold_sql(other, COLUMNS, mask=True)


def test_the_names_of_a_query_leave_aliases_values_and_its_own_tables_out() -> None:
    sql = 'with q as (select 1) select T1.Name as n from Singer t1 join q where Country = "France"'
    found = query_names(sql, COLUMNS)
    assert found.tables == {"singer"}
    assert found.words == {"singer", "name", "country"}


def test_a_query_that_does_not_parse_has_all_its_words_for_names() -> None:
    found = query_names("SELECT Name name FROM FROM")
    assert (found.tables, found.words) == (frozenset(), {"select", "name", "from"})


def test_an_ascending_order_may_be_explicit() -> None:
    assert fold_sql("select a from t order by a asc") == fold_sql("SELECT a FROM t ORDER BY a")


def test_the_name_of_a_common_table_expression_is_a_table_not_an_alias() -> None:
    folded = fold_sql("with q as (select id from t) select q.id from q")
    assert folded.text.count('"q"') == 3


@pytest.mark.parametrize("sql", ["select from where", "SELECT (", "", "DROP TABLE t", "select 1; select 2"])
def test_what_is_not_one_query_says_so_and_still_folds(sql: str) -> None:
    assert not fold_sql(sql).parsed
    assert fold_sql(sql) == fold_sql(f"  {sql.upper()} ;\n")


def test_deep_nesting_is_no_crash() -> None:
    assert not fold_sql("select " + "(" * 20_000).parsed


def test_a_signature_ignores_case_order_types_and_keys() -> None:
    prose = "d contains tables such as t. Table t has columns such as name, id. id is the primary key."
    ddl = 'CREATE TABLE "T" (ID INTEGER, Name VARCHAR(9) NOT NULL)'
    assert schema_signature(read_prose(prose)[1]) == schema_signature(ddl)


@pytest.mark.parametrize("ddl", ["CREATE TABLE t (id, name, x)", "CREATE TABLE u (id, name)"])
def test_another_table_or_column_makes_another_signature(ddl: str) -> None:
    assert schema_signature(ddl) != schema_signature("CREATE TABLE t (id, name)")


@pytest.mark.parametrize("ddl", ["", "CREATE TABLE t (", "CREATE TABLE t (a)\0", "🫖"])
def test_text_that_makes_no_table_has_no_signature(ddl: str) -> None:
    with pytest.raises(UserError, match="CREATE TABLE text"):
        schema_signature(ddl)
