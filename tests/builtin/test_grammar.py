"""Every kind of question has its wordings and its hardness, and its queries are sound."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Iterator

import pytest

from text2sql.builtin.databases import DATABASES
from text2sql.builtin.domain import Domain, World, entity
from text2sql.builtin.grammar import KINDS, MAX_WORDS, MIN_WORDS, draw, names_every_column, word
from text2sql.builtin.lexicon import MEASURES
from text2sql.builtin.phrases import Condition, Extreme, Path, verb
from text2sql.builtin.scene import Draft, is_sound, join
from text2sql.evaluation.spider.hardness import HARDNESS, hardness

CLINIC = next(domain for domain in DATABASES if domain.id == "clinic")
RNG_NAMES = [f"grammar:{number}" for number in range(60)]


@pytest.fixture(scope="module")
def worlds() -> Iterator[list[World]]:
    worlds = [World(domain, random.Random(domain.id)) for domain in DATABASES]
    yield worlds
    for world in worlds:
        world.connection.close()


@pytest.fixture(scope="module")
def clinic(worlds: list[World]) -> World:
    return next(world for world in worlds if world.domain is CLINIC)


def _drafts(kind: str, worlds: list[World]) -> list[tuple[World, Draft]]:
    found = [(w, draw(w, random.Random(name), kind)) for name in RNG_NAMES for w in worlds[:4]]
    return [(world, draft) for world, draft in found if draft is not None]


def _condition(field: str, operator: str, *values: int | str) -> Condition:
    return Condition(MEASURES[field], operator, values)


def test_a_kind_has_four_wordings_or_more() -> None:
    counts = {name: len(set(kind.wordings)) for name, kind in KINDS.items()}
    assert {name: count for name, count in counts.items() if count < 4} == {}


def test_a_kind_is_of_its_hardness_always(worlds: list[World]) -> None:
    found = {kind: {hardness(draft.sql) for _, draft in _drafts(kind, worlds)} for kind in KINDS}
    assert {kind: levels for kind, levels in found.items() if levels != {KINDS[kind].hardness}} == {}


def test_the_wordings_of_a_kind_name_slots_that_its_drafts_fill(worlds: list[World]) -> None:
    unfilled = []
    for kind in KINDS:
        _, draft = _drafts(kind, worlds)[0]
        for wording in KINDS[kind].wordings:
            named = {name for _, name, _, _ in string.Formatter().parse(wording) if name}
            unfilled += [(kind, wording, name) for name in named - {"show", "be"} - set(draft.slots)]
    assert unfilled == []


def test_a_kind_is_said_in_several_ways_with_the_values_of_its_query(worlds: list[World]) -> None:
    few, lacking = [], []
    for kind in KINDS:
        for _, draft in _drafts(kind, worlds)[:5]:
            said = {word(draft, random.Random(name)) for name in RNG_NAMES} - {None}
            few += [(kind, draft.sql, said)] if len(said) < 4 else []
            for value in re.findall(r"[=><] ('[^']*'|[\d.]+)", re.sub(r"COUNT\(\*\) >= ", "", draft.sql)):
                lacking += [
                    (kind, value, question) for question in said if value.lower() not in str(question).lower()
                ]
    assert (few, lacking) == ([], [])


def test_queries_of_a_kind_return_rows_without_null(worlds: list[World]) -> None:
    found = [
        (kind, draft.sql, world.run(draft.sql)) for kind in KINDS for world, draft in _drafts(kind, worlds)
    ]
    wrong = [case for case in found if not case[2] or any(value is None for row in case[2] for value in row)]
    assert found and wrong == []


@pytest.mark.parametrize("level", HARDNESS)
def test_every_hardness_class_has_several_kinds(level: str) -> None:
    assert sum(kind.hardness == level for kind in KINDS.values()) >= 4


def test_every_construct_of_the_grammar_occurs(worlds: list[World]) -> None:
    text = " ".join(draft.sql for kind in KINDS for _, draft in _drafts(kind, worlds))
    for construct in (
        "DISTINCT", "= ", "!= ", " > ", " < ", "BETWEEN", "LIKE", " AND ", " OR ", "COUNT(", "AVG(",
        "MAX(", "MIN(", "SUM(", "GROUP BY", "HAVING", "ORDER BY", "DESC", "LIMIT", "AS T2",
        " IN (", "NOT IN (", "> (SELECT AVG", "INTERSECT", "EXCEPT",
    ):  # fmt: skip
        assert construct in text, construct


def test_a_query_has_one_spelling(worlds: list[World]) -> None:
    for kind in KINDS:
        for _, draft in _drafts(kind, worlds):
            assert draft.sql == " ".join(draft.sql.split()) == draft.sql.rstrip(";")
            assert (" JOIN " in draft.sql) == (" AS T" in draft.sql)
            bare = re.sub(r"'[^']*'|T\d", "", draft.sql)
            assert all(w.isupper() or w.islower() for w in re.findall(r"[A-Za-z_]+", bare))


def test_a_query_that_returns_nothing_is_not_sound(clinic: World) -> None:
    assert not is_sound(clinic, Draft("filter", "SELECT name FROM doctor WHERE id = 0", {}, ()))


def test_a_query_that_returns_null_is_not_sound(clinic: World) -> None:
    assert not is_sound(clinic, Draft("aggregate", "SELECT MAX(id) FROM visit WHERE id = 0", {}, ()))


def test_an_order_with_ties_is_not_sound(clinic: World) -> None:
    sql = "SELECT name FROM doctor ORDER BY specialty"
    assert is_sound(clinic, Draft("order", sql, {}, ()))
    assert not is_sound(clinic, Draft("order", sql, {}, (), ("SELECT specialty FROM doctor",)))


def test_a_filter_that_keeps_every_row_is_not_sound(clinic: World) -> None:
    sql, plain = "SELECT name FROM doctor WHERE salary > 0", "SELECT name FROM doctor"
    assert not is_sound(clinic, Draft("filter", sql, {}, (), (), (plain,)))


def test_a_kind_that_does_not_fit_the_database_gives_nothing() -> None:
    lonely = Domain("lonely", (entity("doctor", 10, "person salary"),))
    with World(lonely, random.Random(1)) as world:
        drafts = [draw(world, random.Random(name), "join_filter") for name in RNG_NAMES]
    assert set(drafts) == {None}


@pytest.mark.parametrize(("words", "fits"), [(1, True), (19, True), (20, False), (100, False)])
def test_a_question_of_more_than_25_words_is_refused(words: int, fits: bool) -> None:
    draft = Draft("top", "SELECT 1", {"a": "a", "top": "t " * words}, ())
    found = {word(draft, random.Random(name)) for name in RNG_NAMES} - {None}
    assert bool(found) == fits
    assert all(MIN_WORDS <= len(str(question).split()) <= MAX_WORDS for question in found)


def test_indirect_wordings_use_synonyms_and_comparatives() -> None:
    older = _condition("age", ">", 30)
    assert older.say(random.Random(1), indirect=True) == "older than 30"
    assert "age" in older.say(random.Random(1), indirect=False)
    born = _condition("birth_year", "=", 1980)
    assert "year of birth" in born.say(random.Random(1), indirect=True)


def test_a_column_counts_as_named_only_word_for_word() -> None:
    draft = Draft("column", "SELECT age FROM guest", {}, (MEASURES["age"],))
    assert names_every_column("Show the age of all guests.", draft)
    assert not names_every_column("Show the aged guests on page 3.", draft)


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        ("=", ("Oslo",), "T1.age = 'Oslo'"),
        ("!=", (3,), "T1.age != 3"),
        (">=", (2.5,), "T1.age >= 2.5"),
        ("BETWEEN", (1, 2), "T1.age BETWEEN 1 AND 2"),
        ("starts", ("Os",), "T1.age LIKE 'Os%'"),
        ("contains", ("sl",), "T1.age LIKE '%sl%'"),
    ],
)
def test_conditions_are_written_as_sql(operator: str, values: tuple[int | str, ...], expected: str) -> None:
    assert _condition("age", operator, *values).sql("T1.") == expected


def test_a_join_follows_the_foreign_key_from_either_side() -> None:
    doctor, visit = CLINIC.entity("doctor"), CLINIC.entity("visit")
    assert join(doctor, visit) == "doctor AS T1 JOIN visit AS T2 ON T1.id = T2.doctor_id"
    assert join(visit, doctor) == "visit AS T1 JOIN doctor AS T2 ON T1.doctor_id = T2.id"


def test_a_path_tells_who_belongs_to_whom() -> None:
    doctor, visit = CLINIC.entity("doctor"), CLINIC.entity("visit")
    down = {Path((doctor, visit)).say(random.Random(n), False) for n in RNG_NAMES}
    assert "doctors with visits" in down
    assert "visits of doctors" not in down


def test_a_ranking_puts_the_superlative_before_the_noun() -> None:
    table = entity("ship", 10, "thing speed")
    fast = MEASURES["speed"]
    one, three = Extreme(table, fast, True, 1), Extreme(table, fast, False, 3)
    assert one.say(random.Random(1), indirect=True) == "fastest ship"
    assert three.say(random.Random(1), indirect=True) == "3 slowest ships"


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [("hours", "are"), ("years of age", "are"), ("status", "is"), ("number of pages", "is")],
)
def test_the_verb_agrees_with_the_column(phrase: str, expected: str) -> None:
    assert verb(phrase) == expected
