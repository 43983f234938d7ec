"""Every schema of Spider dev, in prose and as a database, against the readers and the writer."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from text2sql.schema.check import complaints, gold_problem
from text2sql.schema.convert import RecordedBackend, RulesBackend, Source, SqliteBackend, convert
from text2sql.schema.ddl import Values, read_ddl, write_ddl
from text2sql.schema.model import Column, Schema
from text2sql.schema.prose import prose_database, read_prose, write_prose
from text2sql.schema.recorded import read_recorded, recorded_ddl
from text2sql.schema.spider_tables import read_spider_tables
from text2sql.schema.sqlite import read_sqlite

pytestmark = pytest.mark.slow

VALUES: list[Values] = ["none", "comment", "insert"]


@pytest.fixture(scope="module")
def rows(real_data: Path) -> list[dict[str, str]]:
    return json.loads((real_data / "spider" / "dev_sql.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def answers(real_data: Path) -> dict[str, str]:
    """The schemas that a large model wrote, by prose."""
    answers = read_recorded(real_data / "reference" / "dev_sql_llm_response.jsonl")
    return {prose: recorded_ddl(answer) for prose, answer in answers.items()}


@pytest.fixture(scope="module")
def proses(rows: list[dict[str, str]]) -> list[str]:
    return sorted({row["instruction"] for row in rows})


def test_all_145_prose_schemas_give_their_tables_and_columns_and_no_other(
    proses: list[str], real_data: Path
) -> None:
    assert len(proses) == 145
    official = _official_names(real_data)
    for prose in proses:
        db_id, schema = read_prose(prose)
        found = {(table.name, column.name) for table in schema.tables for column in table.columns}
        assert found == official[db_id], db_id


def test_all_145_prose_schemas_become_tables_that_sqlite_makes(proses: list[str]) -> None:
    for prose in proses:
        _, schema = read_prose(prose)
        made = read_ddl(write_ddl(schema))
        assert [(table.name, [c.name for c in table.columns]) for table in made.tables] == [
            (table.name, [c.name for c in table.columns]) for table in schema.tables
        ]
        assert [(table.primary_key, table.foreign_keys) for table in made.tables] == [
            (table.primary_key, table.foreign_keys) for table in schema.tables
        ]


@pytest.mark.parametrize("values", VALUES)
def test_all_145_conversions_have_what_the_prose_says_and_nothing_else(
    rows: list[dict[str, str]], values: Values
) -> None:
    made = convert(map(_source, range(len(rows)), rows), RulesBackend(values))
    assert len(made) == 145
    assert [done.problems for done in made.values() if done.problems] == []


@pytest.mark.parametrize("values", VALUES)
def test_all_220_values_of_the_prose_are_in_the_conversions_that_show_values(
    proses: list[str], values: Values
) -> None:
    kept = lost = 0
    for prose in proses:
        _, schema = read_prose(prose)
        hints = sum(len(column.examples) for table in schema.tables for column in table.columns)
        told = complaints(write_ddl(schema, values=values), schema, with_values=True)
        assert all("lost its example value" in sentence for sentence in told)
        kept, lost = kept + hints - len(told), lost + len(told)
    assert (kept, lost) == ((0, 220) if values == "none" else (220, 0))


@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("backend", ["rules", "sqlite"])
def test_all_1034_gold_queries_compile_against_their_conversions(
    rows: list[dict[str, str]], real_data: Path, backend: str, values: Values
) -> None:
    databases = real_data / "spider" / "database"
    way = RulesBackend(values) if backend == "rules" else SqliteBackend(databases, values, 3)
    sources = [_source(at, row) for at, row in enumerate(rows)]
    made = convert(sources, way)
    found = {
        source.row: problem
        for source, row in zip(sources, rows, strict=True)
        if (problem := gold_problem(made[way.key(source)].ddl, row["output"]))
    }
    assert len(sources) == 1034
    assert found == {}


def test_the_check_finds_the_49_answers_of_a_large_model_that_sqlite_refuses(answers: dict[str, str]) -> None:
    found = [complaints(ddl, read_prose(prose)[1], with_values=False) for prose, ddl in answers.items()]
    refused = [told[0] for told in found if told and "does not execute" in told[0]]
    assert (len(found), len(refused)) == (145, 49)
    assert sum("sqlite_sequence" in told for told in refused) == 30
    assert sum('"18_49_rating_share"' in told for told in refused) == 13
    assert sum(bool(told) for told in found) - len(refused) == 27


def test_76_of_145_recorded_schemas_differ_from_their_prose_most_of_them_in_keys(
    rows: list[dict[str, str]], real_data: Path
) -> None:
    recorded = read_recorded(real_data / "reference" / "dev_sql_llm_response.jsonl")
    proses = [row["instruction"] for row in rows]
    sources = [Source(at, prose_database(prose), prose, recorded[prose]) for at, prose in enumerate(proses)]
    made = convert(sources, RecordedBackend())
    told = [done.problems for done in made.values() if done.problems]
    assert (len(made), len(told)) == (145, 76)
    found = Counter(kind for problems in told for kind in {_kind(problem) for problem in problems})
    assert found == {"refused": 49, "primary key": 24, "column": 5}


def test_four_kinds_of_slips_are_all_that_keeps_gold_queries_from_the_recorded_schemas(
    rows: list[dict[str, str]], answers: dict[str, str]
) -> None:
    corrected = {prose: _corrected(ddl) for prose, ddl in answers.items()}
    assert sum(corrected[prose] != ddl for prose, ddl in answers.items()) == 49
    assert [row for row in rows if gold_problem(corrected[row["instruction"]], row["output"])] == []


def test_what_a_large_model_made_of_the_prose_compiles_809_gold_queries(
    rows: list[dict[str, str]], answers: dict[str, str]
) -> None:
    compiled = [row for row in rows if not gold_problem(answers[row["instruction"]], row["output"])]
    assert len(compiled) == 809


def test_a_large_model_keeps_16_values_of_the_prose(answers: dict[str, str]) -> None:
    kept = [
        value
        for prose, ddl in answers.items()
        for table in read_prose(prose)[1].tables
        for column in table.columns
        for value in column.examples
        if value in ddl
    ]
    assert len(kept) == 16


def test_spiders_prose_tells_one_column_of_the_8_primary_keys_of_several(real_data: Path) -> None:
    official = read_spider_tables(real_data / "spider" / "tables.json")
    found = [
        sentence
        for file in _databases(real_data)[:20]
        for sentence in complaints(write_ddl(official[file.stem]), _untyped(read_sqlite(file)), False)
    ]
    assert len(found) == 8
    assert all(re.search(r"is \(\w+\): it should be \(\w+, ", sentence) for sentence in found)


def test_every_value_hint_of_the_prose_is_kept(proses: list[str]) -> None:
    for prose in proses:
        _, schema = read_prose(prose)
        hinted = [c for table in schema.tables for c in table.columns if c.examples]
        assert len(hinted) == prose.count(" contains values such as ")
        for column in hinted:
            assert f"{column.name} contains values such as {', '.join(column.examples)}." in prose


def test_every_foreign_key_of_the_prose_is_kept(proses: list[str]) -> None:
    for prose in proses:
        _, schema = read_prose(prose)
        told = set(re.findall(r"(\S+) of (\S+) is the foreign key of (\S+) of (\S+?)\.(?: |$)", prose))
        kept = {
            (key.columns[0], table.name, key.references[0], key.table)
            for table in schema.tables
            for key in table.foreign_keys
        }
        assert kept == told


def test_writing_a_prose_schema_and_reading_it_gives_the_same(proses: list[str]) -> None:
    for prose in proses:
        assert read_prose(write_prose(*read_prose(prose))) == read_prose(prose)


def test_all_databases_survive_the_way_through_create_table(real_data: Path) -> None:
    files = _databases(real_data)
    assert len(files) == 157
    for file in files:
        schema = read_sqlite(file)
        assert read_ddl(write_ddl(schema)) == schema, file.stem


@pytest.mark.parametrize("values", ["comment", "insert"])
def test_all_databases_are_written_with_values_that_sqlite_takes_and_keeps(
    real_data: Path, values: Values
) -> None:
    for file in _databases(real_data):
        schema = read_sqlite(file, 3)
        assert complaints(write_ddl(schema, values=values), schema, with_values=True) == (), file.stem


def test_spiders_own_file_tells_the_20_dev_databases_as_the_prose_does(
    proses: list[str], real_data: Path
) -> None:
    official = read_spider_tables(real_data / "spider" / "tables.json")
    assert len(official) == 166
    for prose in proses:
        db_id, told = read_prose(prose)
        assert complaints(write_ddl(official[db_id]), told, with_values=False) == (), db_id


def test_spiders_own_file_differs_from_the_databases_in_keys_alone(real_data: Path) -> None:
    official = read_spider_tables(real_data / "spider" / "tables.json")
    found = {
        file.stem: [
            sentence
            for sentence in complaints(write_ddl(official[file.stem]), _untyped(read_sqlite(file)), False)
            if "primary key" not in sentence and "foreign key" not in sentence
        ]
        for file in _databases(real_data)
    }
    assert found == {file.stem: [] for file in _databases(real_data)}


def _databases(real_data: Path) -> list[Path]:
    """The 20 databases of dev, then 137 of train."""
    folders = (real_data / "spider" / name for name in ("database", "train_database"))
    return [file for folder in folders for file in sorted(folder.glob("*/*.sqlite"))]


def _kind(problem: str) -> str:
    """What a sentence about a schema is about."""
    kinds = {"CREATE": "refused", "the primary": "primary key", "the foreign": "foreign key"}
    return next((kinds[start] for start in kinds if problem.startswith(start)), problem.split()[0])


def _corrected(ddl: str) -> str:
    """A recorded schema with everything corrected that SQLite refuses."""
    ddl = re.sub(r"(?<!\")(18_49_rating_share|official_ratings_\(millions\))", r'"\1"', ddl)
    ddl = ddl.replace("sqlite_sequence", "other_sequence")
    return re.sub(r"(?s)(\n *tourney_level [^\n]*)(.*?)\1", r"\1\2", ddl, count=1)


def _source(row: int, question: dict[str, str]) -> Source:
    return Source(row, prose_database(question["instruction"]), question["instruction"])


def _untyped(schema: Schema) -> Schema:
    tables = (replace(t, columns=tuple(Column(c.name) for c in t.columns)) for t in schema.tables)
    return Schema(tuple(tables))


def _official_names(real_data: Path) -> dict[str, set[tuple[str, str]]]:
    """Spider's own schema file, lower-cased as the prose is, without SQLite's own tables."""
    names = {}
    for entry in json.loads((real_data / "spider" / "tables.json").read_text(encoding="utf-8")):
        tables = [name.lower() for name in entry["table_names_original"]]
        names[entry["db_id"]] = {
            (tables[at], column.lower())
            for at, column in entry["column_names_original"]
            if at >= 0 and not tables[at].startswith("sqlite_")
        }
    return names
