"""Which tables of a large schema are shown to the model: those whose names share words with the question."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from text2sql.schema.ddl import write_ddl
from text2sql.schema.model import Schema, Table

CHARACTERS = 24_000
"""Longest text of a schema: some 6,000 tokens, more than models for this task are trained on."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+")
_TABLE_WEIGHT = 3  # a word in a table's name says more than one in a column's


def schemas(schema: Schema, question: str) -> Iterator[Schema]:
    """The schema if its text is short enough, then ever smaller parts of it, to the one best table.

    The tables keep their order. Foreign keys to tables that are left out are left out too.
    Not covered: a table that no word of the question names, though the answer needs it for a join.
    """
    ranked = _ranked(schema, question)
    count = len(ranked)
    while count:
        part = schema if count == len(ranked) else _part(schema, ranked[:count])
        if count == 1 or len(write_ddl(part)) <= CHARACTERS:
            yield part
        count //= 2


def _ranked(schema: Schema, question: str) -> list[Table]:
    asked = _words(question)
    tables = list(schema.tables)
    scores = {table.name: _score(table, asked) for table in tables}
    return sorted(tables, key=lambda table: -scores[table.name])  # stable: equal ones in their order


def _score(table: Table, asked: set[str]) -> int:
    columns = {word for column in table.columns for word in _words(column.name)}
    return _TABLE_WEIGHT * len(asked & _words(table.name)) + len(asked & columns)


def _words(text: str) -> set[str]:
    """The words of a name or sentence, without the s of the plural."""
    return {word.casefold().removesuffix("s") or "s" for word in _WORD.findall(text)}


def _part(schema: Schema, wanted: list[Table]) -> Schema:
    names = {table.name.casefold() for table in wanted}
    tables = (table for table in schema.tables if table.name.casefold() in names)
    return Schema(
        tuple(
            replace(
                table,
                foreign_keys=tuple(k for k in table.foreign_keys if k.table.casefold() in names),
            )
            for table in tables
        )
    )
