"""Every schema of Spider dev, in prose and as a database, against the readers and the writer."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from text2sql.schema.ddl import read_ddl, write_ddl
from text2sql.schema.prose import read_prose, write_prose
from text2sql.schema.sqlite import read_sqlite


@pytest.fixture(scope="module")
def proses(real_data: Path) -> list[str]:
    rows = json.loads((real_data / "spider" / "dev_sql.json").read_text(encoding="utf-8"))
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
    files = sorted((real_data / "spider" / "database").glob("*/*.sqlite"))
    assert len(files) == 20
    for file in [*files, *sorted((real_data / "spider" / "train_database").glob("*/*.sqlite"))]:
        schema = read_sqlite(file)
        assert read_ddl(write_ddl(schema)) == schema, file.stem


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
