"""One model of a database schema, whatever it was read from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """A column: declared type ("" when the source names none) and example values."""

    name: str
    type: str = ""
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class ForeignKey:
    """`columns` of the owning table point at the columns `references` of `table`."""

    columns: tuple[str, ...]
    table: str
    references: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table with its columns and keys, each in the order of the source."""

    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()


@dataclass(frozen=True)
class Schema:
    """The tables of one database, in the order of the source."""

    tables: tuple[Table, ...]
