"""The text of a schema with what is known of its values: CREATE TABLE statements, or M-Schema.

M-Schema is the form of XiYan-SQL (https://github.com/XGenerationLab/M-Schema): a line for each column with
type, description, key and examples, and the foreign keys at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from text2sql.schema.ddl import one_line, write_ddl
from text2sql.schema.model import Column, Place, Schema, Table


@dataclass(frozen=True, slots=True)
class Shown:
    """Values of a column, written as SQL: those that the question names, and examples."""

    hints: Sequence[str] = ()
    examples: Sequence[str] = ()

    def all(self) -> list[str]:
        """The hints, then the examples that are none of them."""
        return list(dict.fromkeys([*self.hints, *self.examples]))


NOTHING = Shown()


def as_ddl(schema: Schema, values: Mapping[Place, Shown], types: bool) -> str:
    """CREATE TABLE statements that SQLite accepts, with a comment behind each column that has one or values.

    Such as ``Country /* 'France'; e.g. 'Netherlands', 'Peru' */``: what the question names comes first.
    """
    notes = {}
    for table in schema.tables:
        for column in table.columns:
            place = (table.name.lower(), column.name.lower())
            if note := _note(column, values.get(place, NOTHING)):
                notes[place] = note
    return write_ddl(schema, types, notes=notes)


def as_m_schema(schema: Schema, values: Mapping[Place, Shown], types: bool, db_id: str) -> str:
    """The schema in M-Schema; without `types` the columns have no types."""
    lines = [f"【DB_ID】 {db_id}", "【Schema】"]
    for table in schema.tables:
        columns = [_tuple(column, table, values, types) for column in table.columns]
        lines += [f"# Table: {table.name}", "[", ",\n".join(columns), "]"]
    keys = list(_pairs(schema))
    return "\n".join([*lines, *(["【Foreign keys】", *keys] if keys else [])])


def _note(column: Column, shown: Shown) -> str:
    examples = [value for value in shown.examples if value not in shown.hints]
    parts = [column.comment, ", ".join(shown.hints), f"e.g. {', '.join(examples)}" if examples else ""]
    # a comment ends at the first */
    return one_line("; ".join(filter(None, parts))).replace("*/", "* /")


def _tuple(column: Column, table: Table, values: Mapping[Place, Shown], types: bool) -> str:
    name = f"{column.name}:{column.type.upper()}" if types and column.type else column.name
    parts = [name, one_line(column.comment)]
    if column.name.lower() in map(str.lower, table.primary_key):
        parts.append("Primary Key")
    shown = values.get((table.name.lower(), column.name.lower()), NOTHING).all()
    if shown:
        parts.append(f"Examples: [{', '.join(shown)}]")
    return f"({', '.join(filter(None, parts))})"


def _pairs(schema: Schema) -> Iterator[str]:
    for table in schema.tables:
        for key in table.foreign_keys:
            for column, other in zip(key.columns, key.references, strict=False):
                yield f"{table.name}.{column}={key.table}.{other}"
