"""A benchmark database: its tables and fields, its rows, and its SQLite file."""

from __future__ import annotations

import errno
import os
import random
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from text2sql.builtin.lexicon import CATEGORIES, LABELS, MEASURES, Field, other_case, plural
from text2sql.schema.ddl import write_ddl
from text2sql.schema.model import Column, ForeignKey, Schema, Table

Value = int | float | str
Row = dict[str, Value]
PAGE_SIZE = 4096
OTHER_CASE = 0.5  # share of text columns whose letters differ from those of questions


@dataclass(frozen=True, slots=True)
class Entity:
    """A table: `id`, its fields, then one `PARENT_id` for every parent table. `size` in rows."""

    name: str
    fields: tuple[Field, ...]
    parents: tuple[str, ...] = ()
    size: int = 30

    @property
    def singular(self) -> str:
        return self.name.replace("_", " ")

    @property
    def plural(self) -> str:
        return plural(self.singular)

    def table(self) -> Table:
        """The table in the form that the rest of the project uses."""
        columns = [Column("id", "INTEGER")]
        columns += [Column(field.name, field.content.sql_type) for field in self.fields]
        columns += [Column(link(parent), "INTEGER") for parent in self.parents]
        keys = tuple(ForeignKey((link(parent),), parent, ("id",)) for parent in self.parents)
        return Table(self.name, tuple(columns), ("id",), keys)


@dataclass(frozen=True, slots=True)
class Domain:
    """A database without rows; parents come before their children."""

    id: str
    entities: tuple[Entity, ...]
    unseen: bool = False

    def schema(self) -> Schema:
        return Schema(tuple(entity.table() for entity in self.entities))

    def entity(self, name: str) -> Entity:
        return next(entity for entity in self.entities if entity.name == name)


def link(parent: str) -> str:
    """Name of the column that refers to table `parent`."""
    return f"{parent}_id"


def entity(name: str, size: int, fields: str, parents: str = "") -> Entity:
    """An entity from words of the lexicon: `entity("room", 40, "thing floor price", "hotel")`."""
    known = {**LABELS, **MEASURES, **CATEGORIES}
    return Entity(name, tuple(known[word] for word in fields.split()), tuple(parents.split()), size)


def populate(domain: Domain, rng: random.Random) -> dict[str, list[Row]]:
    """Rows for every table; foreign keys are valid, and some parents have no children."""
    rows: dict[str, list[Row]] = {}
    for table in domain.entities:
        columns = {field.name: _column(field, table.size, rng) for field in table.fields}
        columns |= _links(table, rows, rng)
        rows[table.name] = [
            {"id": i + 1, **{name: values[i] for name, values in columns.items()}} for i in range(table.size)
        ]
    return rows


def _column(field: Field, size: int, rng: random.Random) -> list[Value]:
    """Values of one column. Numbers are distinct if there are enough, so that ORDER BY has no ties."""
    pool: list[Value] = list(field.content.values())
    if field.role != "measure" and rng.random() < OTHER_CASE:
        pool = [other_case(str(value)) for value in pool]
    roomy = field.role == "measure" and len(pool) >= 2 * size
    if field.role == "label" or roomy:
        return rng.sample(pool, size)
    if field.role == "category" and len(pool) > 8:  # few values, so that groups have several members
        pool = rng.sample(pool, 8)
    return rng.choices(pool, weights=[rng.uniform(0.3, 1.0) for _ in pool], k=size)


def _links(table: Entity, rows: dict[str, list[Row]], rng: random.Random) -> dict[str, list[Value]]:
    """Foreign keys; combinations rarely repeat, and a sixth of the parents have no children."""
    draws = [_parent_draw(len(rows[parent]), rng) for parent in table.parents]
    combinations: list[tuple[int, ...]] = []
    for _ in range(table.size if draws else 0):
        for _ in range(30):
            combination = tuple(rng.choices(ids, weights)[0] for ids, weights in draws)
            if len(draws) < 2 or combination not in combinations:
                break
        combinations.append(combination)
    return {link(parent): [c[i] for c in combinations] for i, parent in enumerate(table.parents)}


def _parent_draw(count: int, rng: random.Random) -> tuple[list[int], list[float]]:
    ids = sorted(rng.sample(range(1, count + 1), count - count // 6))
    return ids, [rng.uniform(0.2, 1.0) for _ in ids]


class World:
    """A domain with rows, in an open in-memory SQLite database. Use it as a context manager."""

    def __init__(self, domain: Domain, rng: random.Random) -> None:
        self.domain = domain
        self.ddl = write_ddl(domain.schema())
        self.rows = populate(domain, rng)
        self.connection = sqlite3.connect(":memory:")
        fill(self.connection, self)

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def run(self, sql: str) -> list[tuple[Value | None, ...]]:
        """All rows of a query."""
        return self.connection.execute(sql).fetchall()


def fill(connection: sqlite3.Connection, world: World) -> None:
    """Create the tables and insert the rows, in one transaction."""
    with connection:
        connection.execute("BEGIN")
        for statement in filter(None, map(str.strip, world.ddl.split(";"))):
            connection.execute(statement)
        for name, rows in world.rows.items():
            marks = ", ".join("?" for _ in rows[0])
            connection.executemany(
                f"INSERT INTO {name} VALUES ({marks})", [tuple(row.values()) for row in rows]
            )


def write_sqlite(path: Path, world: World) -> None:
    """Write the world as a SQLite file; equal rows and SQLite versions give equal bytes.

    Raises:
        OSError: the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    temporary.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(temporary)) as connection:
            connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
            connection.execute("PRAGMA journal_mode = OFF")
            fill(connection, world)
            connection.execute("VACUUM")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise
    os.replace(temporary, path)
