"""Schemas in Spider's tables.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from text2sql.errors import UserError
from text2sql.schema.model import Column, ForeignKey, Schema, Table
from text2sql.schema.spider_tables import read_spider_tables

ENTRY: dict[str, Any] = {
    "db_id": "zoo",
    "table_names_original": ["Keeper", "sqlite_sequence", "Visit"],
    "table_names": ["keeper", "sqlite sequence", "visit"],
    "column_names_original": [[-1, "*"], [0, "ID"], [0, "Name"], [1, "seq"], [2, "Keeper ID"], [2, "at"]],
    "column_types": ["text", "number", "text", "others", "number", "time"],
    "primary_keys": [1, 4, 5],
    "foreign_keys": [[4, 1], [4, 1]],
}


def read(folder: Path, entries: object) -> dict[str, Schema]:
    (folder / "tables.json").write_text(json.dumps(entries), encoding="utf-8-sig")
    return read_spider_tables(folder / "tables.json")


def test_tables_columns_types_and_keys_come_in_the_original_spelling(tmp_path: Path) -> None:
    keeper = Table("Keeper", (Column("ID", "NUMERIC"), Column("Name", "TEXT")), ("ID",))
    visit = Table(
        "Visit",
        (Column("Keeper ID", "NUMERIC"), Column("at", "TIME")),
        ("Keeper ID", "at"),
        (ForeignKey(("Keeper ID",), "Keeper", ("ID",)),),
    )
    assert read(tmp_path, [ENTRY]) == {"zoo": Schema((keeper, visit))}


def test_a_primary_key_may_be_a_list_of_columns(tmp_path: Path) -> None:
    listed = {**ENTRY, "primary_keys": [1, [4, 5]]}
    assert read(tmp_path, [listed]) == read(tmp_path, [ENTRY])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"db_id": 7}, "schema 1: db_id"),
        ({"column_types": ["text"]}, "schema 1: 6 columns, but 1 column_types"),
        ({"column_types": ["text"] * 5 + ["blob"]}, "schema 1: column_types.5"),
        ({"column_names_original": [[0]]}, "schema 1: column_names_original.0.1"),
        (
            {"column_names_original": [[9, "x"]] * 6},
            "schema 1: column 'x' is of table 9, which does not exist",
        ),
        ({"primary_keys": [0]}, "refers to column 0, which belongs to no table"),
        ({"primary_keys": [-2]}, "refers to column -2, which belongs to no table"),
        ({"foreign_keys": [[4, 99]]}, "schema 1: a key refers to column 99, which belongs to no table"),
        ({"foreign_keys": None}, "schema 1: foreign_keys"),
        ({"db_id": "zoo"}, "schema 1: zoo is listed twice"),
    ],
)
def test_an_entry_that_does_not_fit_is_named(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=named):
        read(tmp_path, [ENTRY, {**ENTRY, "db_id": "ark", **change}])


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"tables\.json, schema 0: table_names_original: Field required"):
        read(tmp_path, [{key: value for key, value in ENTRY.items() if key != "table_names_original"}])


@pytest.mark.parametrize("entries", [{}, "zoo", 3, None])
def test_anything_but_a_list_is_refused(tmp_path: Path, entries: object) -> None:
    with pytest.raises(UserError, match=r"tables\.json: expected a list"):
        read(tmp_path, entries)
