"""Schemas in Spider's tables.json, which tells every database of the set.

An entry has `db_id`, `table_names_original`, `column_names_original` (pairs of a table's place and a
name; the first is [-1, "*"]), `column_types`, `primary_keys` (places of columns, in BIRD's files also
lists of them) and `foreign_keys` (pairs of such places).
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Literal

from pydantic import BaseModel, ValidationError

from text2sql.records import UserError, read_json
from text2sql.schema.model import Column, ForeignKey, Schema, Table

# Spider's five kinds of values, in words that give a column of SQLite the same use
_TYPES = {"text": "TEXT", "number": "NUMERIC", "time": "TIME", "boolean": "BOOLEAN", "others": ""}
_CURE = "bring Spider's own file; in the pipeline: dvc repro fetch_data"


def read_spider_tables(path: str | os.PathLike[str]) -> dict[str, Schema]:
    """Read all schemas of a tables.json, by database id, names in their original spelling.

    SQLite's own ``sqlite_...`` tables are left out, as ``read_sqlite`` leaves them out, and foreign
    keys told twice are kept once. Several primary-key columns of a table are one key. UserError: the
    file is missing or not JSON, an entry (named) lacks a field or points at no column, or a database
    is told twice.
    """
    entries = read_json(path)
    if not isinstance(entries, list):
        raise UserError(f"{path}: expected a list of schemas; {_CURE}")
    schemas: dict[str, Schema] = {}
    for number, told in enumerate(entries):
        try:
            entry = _Entry.model_validate(told)
            schema = _schema(entry)
        except ValidationError as error:
            raise UserError(f"{path}, schema {number}: {_faults(error)}; {_CURE}") from error
        except (IndexError, ValueError) as error:
            raise UserError(f"{path}, schema {number} ({entry.db_id}): {error}; {_CURE}") from error
        if entry.db_id in schemas:
            raise UserError(f"{path}, schema {number}: {entry.db_id} is told twice; {_CURE}")
        schemas[entry.db_id] = schema
    return schemas


class _Entry(BaseModel):
    db_id: str
    table_names_original: list[str]
    column_names_original: list[tuple[int, str]]
    column_types: list[Literal["text", "number", "time", "boolean", "others"]]
    primary_keys: list[int | list[int]]
    foreign_keys: list[tuple[int, int]]


def _schema(entry: _Entry) -> Schema:
    names = entry.table_names_original
    columns: list[list[Column]] = [[] for _ in names]
    for (table, name), kind in zip(entry.column_names_original, entry.column_types, strict=True):
        if table >= 0:
            columns[table].append(Column(name, _TYPES[kind]))
    tables = [Table(name, tuple(own)) for name, own in zip(names, columns, strict=True)]
    for place in _flat(entry.primary_keys):
        table, name = _column(entry, place)
        tables[table] = replace(tables[table], primary_key=(*tables[table].primary_key, name))
    for child, parent in dict.fromkeys(entry.foreign_keys):
        table, name = _column(entry, child)
        target, reference = _column(entry, parent)
        key = ForeignKey((name,), names[target], (reference,))
        tables[table] = replace(tables[table], foreign_keys=(*tables[table].foreign_keys, key))
    return Schema(tuple(t for t in tables if not t.name.lower().startswith("sqlite_")))


def _column(entry: _Entry, place: int) -> tuple[int, str]:
    """The table's place and the name of a column that a key points at."""
    table, name = entry.column_names_original[place] if place >= 0 else (-1, "")
    if table < 0:
        raise ValueError(f"a key points at column {place}, which is of no table")
    return table, name


def _flat(places: list[int | list[int]]) -> list[int]:
    return [place for group in places for place in (group if isinstance(group, list) else [group])]


def _faults(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
