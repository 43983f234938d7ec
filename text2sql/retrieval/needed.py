"""The part of a schema that a query needs."""

from __future__ import annotations

from text2sql.errors import UserError
from text2sql.retrieval.skeleton import Names, names
from text2sql.schema.ddl import read_ddl, write_ddl
from text2sql.schema.model import Place, Table


def needed_ddl(ddl: str, sql: str) -> str:
    """CREATE TABLE text with the tables that `sql` names and of those the columns that it names.

    A table keeps all columns where the query has a *, and its first column where none is named; keys stay
    between columns that stay. INSERT rows are left out. The text is returned as it is if SQLite rejects it,
    the query does not parse, or the schema has none of its tables.
    """
    named = names(sql)
    if named is None:
        return ddl
    try:
        schema = read_ddl(ddl, comments=True)
    except UserError:
        return ddl
    tables = [table for table in schema.tables if table.name.casefold() in named.tables]
    if not tables:
        return ddl
    chosen = {place for table in tables for place in _places(table, named)}
    return write_ddl(schema.only(chosen), comments=True)


def _places(table: Table, named: Names) -> list[Place]:
    columns = [c for c in table.columns if named.star or c.name.casefold() in named.columns]
    return [(table.name.lower(), column.name.lower()) for column in columns or table.columns[:1]]
