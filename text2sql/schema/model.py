"""A database schema as objects, independent of where it was read from."""

from __future__ import annotations

from dataclasses import dataclass, field


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
