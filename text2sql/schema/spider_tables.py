"""Spider's tables.json, which describes every database of the set.

An entry has `db_id`, `table_names_original`, `column_names_original` (pairs of a table's number and a
name; the first is [-1, "*"]), `column_types`, `primary_keys` (numbers of columns, in BIRD's files also lists
of them) and `foreign_keys` (pairs of numbers of columns).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Literal, TypeVar

from pydantic import BaseModel, StrictInt, ValidationError, model_validator

from text2sql.errors import UserError
from text2sql.files import read_json
from text2sql.schema.model import Column, ForeignKey, Schema, Table

# Spider's five kinds of values, as types that give a column of SQLite the matching affinity
_TYPES = {"text": "TEXT", "number": "NUMERIC", "time": "TIME", "boolean": "BOOLEAN", "others": ""}
_REMEDY = "use Spider's original file"


class SpiderNames(BaseModel):
    """The names and foreign keys of an entry; every table and column that is referred to exists."""

    db_id: str
    table_names_original: list[str]
    column_names_original: list[tuple[StrictInt, str]]
    foreign_keys: list[tuple[StrictInt, StrictInt]]

    @model_validator(mode="after")
    def _references_exist(self) -> SpiderNames:
        for table, name in self.column_names_original:
            if not -1 <= table < len(self.table_names_original):
                raise ValueError(f"column {name!r} is of table {table}, which does not exist")
        self._require_columns(place for key in self.foreign_keys for place in key)
        return self

    def _require_columns(self, places: Iterable[int]) -> None:
        columns = self.column_names_original
        for place in places:
            if not 0 <= place < len(columns) or columns[place][0] < 0:
                raise ValueError(f"a key refers to column {place}, which belongs to no table")


class SpiderEntry(SpiderNames):
    """A whole entry."""

    column_types: list[Literal["text", "number", "time", "boolean", "others"]]
    primary_keys: list[StrictInt | list[StrictInt]]

    @model_validator(mode="after")
    def _types_and_keys_fit(self) -> SpiderEntry:
        if len(self.column_types) != len(self.column_names_original):
            raise ValueError(
                f"{len(self.column_names_original)} columns, but {len(self.column_types)} column_types"
            )
        self._require_columns(_flat(self.primary_keys))
        return self


Entry = TypeVar("Entry", bound=SpiderNames)


def read_entries(path: str | os.PathLike[str], kind: type[Entry]) -> dict[str, Entry]:
    """Read the entries of a tables.json, by database id; fields that `kind` does not have are ignored.

    Raises:
        UserError: the file is missing or not JSON, an entry (numbered from 0) lacks a field or refers to a
            table or column that does not exist, or a database is listed twice.
    """
    found = read_json(path)
    if not isinstance(found, list):
        raise UserError(f"{path}: expected a list of schemas; {_REMEDY}")
    entries: dict[str, Entry] = {}
    for number, fields in enumerate(found):
        try:
            entry = kind.model_validate(fields)
        except ValidationError as error:
            raise UserError(f"{path}, schema {number}: {_faults(error)}; {_REMEDY}") from error
        if entry.db_id in entries:
            raise UserError(f"{path}, schema {number}: {entry.db_id} is listed twice; {_REMEDY}")
        entries[entry.db_id] = entry
    return entries


def read_spider_tables(path: str | os.PathLike[str]) -> dict[str, Schema]:
    """Read all schemas of a tables.json, by database id, names in their original spelling.

    SQLite's own ``sqlite_...`` tables are left out, as in ``read_sqlite``, and a repeated foreign key is kept
    once. Several primary-key columns of a table are one key. Exceptions are those of `read_entries`.
    """
    return {db_id: _schema(entry) for db_id, entry in read_entries(path, SpiderEntry).items()}


def _schema(entry: SpiderEntry) -> Schema:
    names, places = entry.table_names_original, entry.column_names_original
    columns: list[list[Column]] = [[] for _ in names]
    for (table, name), kind in zip(places, entry.column_types, strict=True):
        if table >= 0:
            columns[table].append(Column(name, _TYPES[kind]))
    tables = [Table(name, tuple(own)) for name, own in zip(names, columns, strict=True)]
    for table, name in (places[place] for place in _flat(entry.primary_keys)):
        tables[table] = replace(tables[table], primary_key=(*tables[table].primary_key, name))
    for child, parent in dict.fromkeys(entry.foreign_keys):
        (table, name), (target, reference) = places[child], places[parent]
        key = ForeignKey((name,), names[target], (reference,))
        tables[table] = replace(tables[table], foreign_keys=(*tables[table].foreign_keys, key))
    return Schema(tuple(t for t in tables if not t.name.lower().startswith("sqlite_")))


def _flat(places: list[int | list[int]]) -> list[int]:
    return [place for group in places for place in (group if isinstance(group, list) else [group])]


def _faults(error: ValidationError) -> str:
    return "; ".join(_sentence(".".join(map(str, one["loc"])), one["msg"]) for one in error.errors())


def _sentence(place: str, message: str) -> str:
    message = message.removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
