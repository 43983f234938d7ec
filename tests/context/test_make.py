"""text2sql.context.make: the context of questions and training rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.context.databases import SINGERS, make_database, singers
from text2sql.context.make import KEPT, MISSING, WRONG, Asked, Made, make_contexts
from text2sql.context.measure import recall
from text2sql.context.settings import Context
from text2sql.prompts import schema_text
from text2sql.schema.ddl import read_ddl
from text2sql.schema.settings import Prompt
from text2sql.workstore import WorkStore

PROMPT = Prompt(schema_types=False)
PLAIN = schema_text(SINGERS, types=False)


def asked(file: Path, question: str, **changes: Any) -> Asked:
    return replace(Asked("0", file, "concert_singer", question, SINGERS), **changes)


def made(rows: list[Asked], work: Path, prompt: Prompt = PROMPT, **settings: Any) -> list[Made]:
    context = Context(questions="data/test", **settings)
    return make_contexts(rows, context, prompt, WorkStore(work), processes=1)[0]


def one(tmp_path: Path, question: str, **settings: Any) -> str:
    return made([asked(singers(tmp_path), question)], tmp_path / "work", **settings)[0].text


def test_a_value_of_the_question_is_beside_its_column(tmp_path: Path) -> None:
    text = one(tmp_path, "Which singers are from France?", value_hints=5)
    assert text == PLAIN.replace("Country", "Country /* 'France' */")


def test_without_settings_the_text_is_the_plain_one(tmp_path: Path) -> None:
    assert one(tmp_path, "Which singers are from France?") == PLAIN


def test_types_are_shown_where_the_prompt_shows_them(tmp_path: Path) -> None:
    (found,) = made([asked(singers(tmp_path), "?")], tmp_path / "work", Prompt(schema_types=True))
    assert "Age INTEGER" in found.text
    assert read_ddl(found.text) == read_ddl(SINGERS)


def test_keys_can_be_left_out(tmp_path: Path) -> None:
    assert "REFERENCES" not in one(tmp_path, "?", foreign_keys=False)


def test_example_values_are_beside_each_column(tmp_path: Path) -> None:
    assert "Age /* e.g. 52, 32 */" in one(tmp_path, "?", example_values=2)


def test_a_cut_schema_shows_only_hints_of_its_columns(tmp_path: Path) -> None:
    rows = [asked(singers(tmp_path), "Which theme has the concert New York, and who is in France?")]
    (found,) = made(rows, tmp_path / "work", value_hints=5, link=3)
    assert {(hint.table, hint.column) for hint in found.hints} == {("concert", "Theme")}
    assert {table for table, _ in found.columns} == {"concert"}


def test_descriptions_beside_the_database_are_shown_where_they_are_wanted(tmp_path: Path) -> None:
    file = singers(tmp_path)
    folder = file.parent / "database_description"
    folder.mkdir()
    (folder / "singer.csv").write_text(
        "original_column_name,column_description\nAge,in years\n", encoding="utf-8"
    )
    rows = [asked(file, "?")]
    assert "Age /* in years */" in made(rows, tmp_path / "work", descriptions=True)[0].text
    assert "in years" not in made(rows, tmp_path / "work")[0].text


def test_m_schema_is_written_where_it_is_wanted(tmp_path: Path) -> None:
    text = one(tmp_path, "singers from France", value_hints=1, form="m_schema")
    assert text.startswith("【DB_ID】 concert_singer\n")
    assert "(Country, Examples: ['France'])" in text


def test_a_missing_or_damaged_database_leaves_its_questions_without_context(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.sqlite"
    damaged.write_bytes(b"no database" * 100)
    rows = [asked(tmp_path / "none.sqlite", "?"), asked(singers(tmp_path), "?"), asked(damaged, "?")]
    context = Context(questions="data/test")
    found, read = make_contexts(rows, context, PROMPT, WorkStore(tmp_path / "work"), processes=1)
    assert [bool(each.problem) for each in found] == [True, False, True]
    assert "no such database file" in found[0].problem
    assert {each.database.name: bool(each.problem) for each in read} == {
        "none.sqlite": True,
        "concert_singer.sqlite": False,
        "damaged.sqlite": True,
    }


def test_a_schema_that_sqlite_rejects_leaves_its_question_without_context(tmp_path: Path) -> None:
    (found,) = made([asked(singers(tmp_path), "?", ddl="CREATE TABLE t (")], tmp_path / "work")
    assert "does not execute in SQLite" in found.problem


def test_a_schema_with_tables_that_the_database_lacks_is_shown_whole(tmp_path: Path) -> None:
    ddl = f"{SINGERS} CREATE TABLE other (a TEXT);"
    (found,) = made(
        [asked(singers(tmp_path), "France", ddl=ddl)], tmp_path / "work", value_hints=5, example_values=1
    )
    assert found.text.endswith("CREATE TABLE other (a);")


def test_any_values_of_a_database_leave_text_that_sqlite_accepts(tmp_path: Path) -> None:
    ddl = 'CREATE TABLE "t t" ("a ""b" TEXT);'
    values = ["*/ ); DROP TABLE x; --", "it's", '"', "a;b", "--", "/*", "x" * 99]
    file = make_database(tmp_path / "d.sqlite", ddl, {"t t": [(value,) for value in values]})
    for value in values:
        rows = [asked(file, f"Which has '{value}'?", ddl=ddl)]
        (found,) = made(rows, tmp_path / "work", value_hints=5, example_values=20)
        assert read_ddl(found.text).tables[0].columns[0].name == 'a "b'


def test_processes_make_the_same_contexts_as_one(tmp_path: Path) -> None:
    files = [singers(tmp_path, name) for name in ("a", "b")]
    rows = [asked(file, f"singers from {country}") for country in ("France", "Peru") for file in files]
    context, store = Context(questions="data/test", value_hints=5), WorkStore(tmp_path / "work")
    assert make_contexts(rows, context, PROMPT, store, 2) == make_contexts(rows, context, PROMPT, store, 1)


def trained(tmp_path: Path, **settings: Any) -> list[Made]:
    file = singers(tmp_path)
    rows = [asked(file, "Which singers are from France?", id=f"t:{n}", trained=True) for n in range(400)]
    return made(rows, tmp_path / "work", value_hints=5, **settings)


def test_hints_of_training_rows_are_missing_and_wrong_at_the_rates_asked_for(tmp_path: Path) -> None:
    found = trained(tmp_path, missing_rate=0.2, wrong_rate=0.3)
    counts = Counter(each.hinted for each in found)
    assert counts[MISSING] == pytest.approx(80, abs=25)
    assert counts[WRONG] == pytest.approx(120, abs=30)
    for each in found:
        shown = {KEPT: "'France'", WRONG: "'Netherlands'", MISSING: "Country,"}[each.hinted]
        assert shown in each.text
        assert ("'France'" in each.text) == (each.hinted == KEPT)


def test_the_same_rows_lose_their_hints_in_every_run(tmp_path: Path) -> None:
    assert trained(tmp_path / "one") == trained(tmp_path / "two")


def test_test_questions_keep_their_hints_whatever_the_rates_are(tmp_path: Path) -> None:
    assert "'France'" in one(tmp_path, "from France", value_hints=5, missing_rate=0.5, wrong_rate=0.5)


def test_recall_counts_tables_columns_and_values(tmp_path: Path) -> None:
    file = singers(tmp_path)
    rows = [asked(file, "Which concert has the theme New York?"), asked(file, "How old is one from France?")]
    golds = [
        ("0", SINGERS, "SELECT Year FROM concert WHERE Theme = 'New York'"),
        ("1", SINGERS, "SELECT Name FROM singer WHERE Country = 'Peru'"),
    ]
    figures = recall(golds, made(rows, tmp_path / "work", value_hints=5, link=2)).figures()
    assert figures["table_recall"] == 100.0
    assert figures["lossy_questions"] > 0
    assert (figures["value_recall"], figures["values"]) == (50.0, 2)


@pytest.mark.parametrize(("years", "fate"), [(["2014", "2015"], MISSING), (["2014", "2015", "2016"], WRONG)])
def test_wrong_hints_are_none_of_the_right_ones(tmp_path: Path, years: list[str], fate: str) -> None:
    ddl = "CREATE TABLE t (year TEXT);"
    file = make_database(tmp_path / "d.sqlite", ddl, {"t": [(year,) for year in years]})
    row = Asked("0", file, "d", "in 2014 and 2015", ddl, trained=True)
    (found,) = made([row], tmp_path / "work", value_hints=5, missing_rate=0.0, wrong_rate=1.0)
    assert [hint.value for hint in found.hints] == years[2:]
    assert found.hinted == fate


def test_golds_that_cannot_be_read_are_named_and_those_that_are_empty_are_passed_over(tmp_path: Path) -> None:
    rows = [asked(singers(tmp_path), "?")] * 3
    golds = [("7", SINGERS, "SELECT none FROM singer"), ("8", SINGERS, " "), ("9", SINGERS, "SELECT 1")]
    figures = recall(golds, made(rows, tmp_path / "work")).figures()
    assert figures["unread_golds"] == {"n": 1, "names": ["7"]}
    assert figures["questions"] == 1
    assert figures["column_recall"] is None
