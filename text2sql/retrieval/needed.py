"""The part of a schema that a query needs."""

from __future__ import annotations

from dataclasses import replace

from text2sql.errors import UserError
from text2sql.retrieval.skeleton import Names, names
from text2sql.schema.ddl import read_ddl, write_ddl
from text2sql.schema.model import Schema, Table


def needed_ddl(ddl: str, sql: str) -> str:
    """CREATE TABLE text with the tables that `sql` names and of those the columns that it names.

    A table keeps all columns where the query has a *, and its first column where none is named; keys stay
    between columns that stay. INSERT rows are left out. The text is returned as it is if SQLite rejects it,
    the query does not parse, or the schema has none of its tables.
    """
    named = names(sql)
    try:
        schema = read_ddl(ddl, comments=True)
    except UserError:
        return ddl
    tables = [
        _part(table, named) for table in schema.tables if named and table.name.casefold() in named.tables
    ]
    if not tables:
        return ddl
    kept = {table.name.casefold(): {c.name.casefold() for c in table.columns} for table in tables}
    return write_ddl(Schema(tuple(_with_kept_keys(table, kept) for table in tables)), comments=True)


def _part(table: Table, named: Names) -> Table:
    columns = tuple(c for c in table.columns if named.star or c.name.casefold() in named.columns)
    return replace(table, columns=columns or table.columns[:1])


def _with_kept_keys(table: Table, kept: dict[str, set[str]]) -> Table:
    """The table without the keys of columns that are not kept."""

    def stays(columns: tuple[str, ...], of: str) -> bool:
        return {column.casefold() for column in columns} <= kept.get(of.casefold(), set())

    keys = tuple(
        key
        for key in table.foreign_keys
        if key.table.casefold() in kept
        and stays(key.columns, table.name)
        and stays(key.references, key.table)
    )
    primary = table.primary_key if stays(table.primary_key, table.name) else ()
    return replace(table, primary_key=primary, foreign_keys=keys)
