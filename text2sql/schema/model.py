"""A database schema as objects, independent of where it was read from."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

Place = tuple[str, str]
"""A table and a column, in lower case."""


@dataclass(frozen=True)
class Column:
    """A column: its declared type ("" if the source names none), example values, and what it means.

    The comment is not part of what makes two columns equal.
    """

    name: str
    type: str = ""
    examples: tuple[str, ...] = ()
    comment: str = field(default="", compare=False)


@dataclass(frozen=True)
class ForeignKey:
    """`columns` of the owning table refer to the columns `references` of `table`."""

    columns: tuple[str, ...]
    table: str
    references: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table with its columns in the order of the source.

    Its foreign keys are sorted by their columns: their order has no meaning, and so equal tables compare as
    equal.
    """

    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()

    def __post_init__(self) -> None:
        place = {column.name.lower(): at for at, column in enumerate(self.columns)}

        def order(key: ForeignKey) -> tuple[list[int], str, tuple[str, ...]]:
            return [place.get(name.lower(), len(place)) for name in key.columns], key.table, key.references

        object.__setattr__(self, "foreign_keys", tuple(sorted(self.foreign_keys, key=order)))


@dataclass(frozen=True)
class Schema:
    """The tables of one database, in the order of the source."""

    tables: tuple[Table, ...]

    def only(self, chosen: Collection[Place]) -> Schema:
        """The schema with these of its columns only.

        A table without one of them is left out. A key stays if all its columns do, and those that it refers
        to.
        """
        named = {table for table, _ in chosen}

        def stay(table: str, columns: tuple[str, ...]) -> bool:
            own = table.lower()
            return own in named and all((own, column.lower()) in chosen for column in columns)

        tables = []
        for table in self.tables:
            columns = tuple(column for column in table.columns if stay(table.name, (column.name,)))
            primary = table.primary_key if stay(table.name, table.primary_key) else ()
            keys = tuple(
                key
                for key in table.foreign_keys
                if stay(table.name, key.columns) and stay(key.table, key.references)
            )
            if columns:
                tables.append(replace(table, columns=columns, primary_key=primary, foreign_keys=keys))
        return Schema(tuple(tables))
