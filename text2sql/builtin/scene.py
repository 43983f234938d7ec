"""What the kinds of questions are made from: a database, a source of randomness, and the drafts."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from text2sql.builtin.domain import Entity, Row, Value, World, link
from text2sql.builtin.lexicon import Field, Role
from text2sql.builtin.phrases import Condition, Extreme, Slot

T = TypeVar("T")
ROLES: tuple[Role, ...] = ("label", "category", "measure")
TEXT_CONDITIONS = 0.75  # share of conditions that are on a text where the table has one


class Misfit(Exception):
    """The database does not allow this kind of question."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A query with the parts of its question.

    `distinct`: queries whose rows must all differ, so that ORDER BY and LIMIT have one possible result.
    `differs`: queries whose results must differ from this one's, so that every clause has an effect.
    """

    kind: str
    sql: str
    slots: Mapping[str, Slot | str]
    fields: tuple[Field, ...]
    distinct: tuple[str, ...] = ()
    differs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scene:
    """A database and a source of randomness.

    Its methods choose at random.

    Raises:
        Misfit: there is nothing to choose from.
    """

    kind: str
    world: World
    rng: random.Random

    def pick(self, choices: Sequence[T]) -> T:
        if not choices:
            raise Misfit(self.kind)
        return self.rng.choice(choices)

    def coin(self) -> bool:
        return self.rng.random() < 0.5

    def table(self) -> Entity:
        return self.pick(self.world.domain.entities)

    def field(self, table: Entity, *taken: Field, roles: Sequence[Role] = ROLES) -> Field:
        """A column of the table other than those in `taken`."""
        return self.pick([f for f in table.fields if f not in taken and f.role in roles])

    def measure(self, table: Entity, *taken: Field) -> Field:
        return self.field(table, *taken, roles=("measure",))

    def category(self, table: Entity, *taken: Field) -> Field:
        return self.field(table, *taken, roles=("category",))

    def label(self, table: Entity) -> Field:
        return self.field(table, roles=("label",))

    def shown(self, table: Entity, *taken: Field) -> Field:
        """A column to show: usually the label, if there is one."""
        labels = [f for f in table.fields if f.role == "label" and f not in taken]
        return labels[0] if labels and self.rng.random() < 0.6 else self.field(table, *taken)

    def pair(self, down: bool) -> tuple[Entity, Entity]:
        """Two linked tables; with `down` the parent comes first."""
        tables = self.world.domain.entities
        found = [(parent, child) for child in tables for parent in tables if parent.name in child.parents]
        parent, child = self.pick(found)
        return (parent, child) if down else (child, parent)

    def condition(self, table: Entity, *taken: Field, row: Row | None = None) -> Condition:
        """A condition that `row` (default: a random one) meets."""
        row = row or self.pick(self.world.rows[table.name])
        roles = ROLES if self.rng.random() < 0.3 else ROLES[1:]
        texts = [f for f in table.fields if f not in taken and f.role in roles and f.role != "measure"]
        on_text = texts and self.rng.random() < TEXT_CONDITIONS
        field = self.pick(texts) if on_text else self.field(table, *taken, roles=roles)
        known = sorted({other[field.name] for other in self.world.rows[table.name]})
        if field.role == "measure":
            return self._on_number(field, row[field.name], known)
        unlike = field.role == "category" and self.rng.random() < 0.12
        return Condition(field, "!=" if unlike else "=", (row[field.name],))

    def _on_number(self, field: Field, value: Value, known: list[Value]) -> Condition:
        """A comparison that `value` meets, with bounds among the twelve nearest values on either side."""
        at = known.index(value)
        lower, upper = known[max(0, at - 12) : at], known[at + 1 : at + 13]
        operator = self.rng.choice((">", ">", "<", "<", ">=", "<=", "BETWEEN", "="))
        if operator in (">", "<"):
            return Condition(field, operator, (self.pick(lower if operator == ">" else upper),))
        if operator == "BETWEEN":
            return Condition(field, operator, (self.pick(lower), self.pick(upper)))
        return Condition(field, operator, (value,))

    def top(self, table: Entity, count: int | None = None) -> Extreme:
        """The first 1 to 5 rows of the table by one of its measures."""
        count = count or self.rng.choice((1, 1, 2, 3, 4, 5))
        return Extreme(table, self.measure(table), self.coin(), count)

    def draft(
        self,
        sql: str,
        fields: Sequence[Field],
        distinct: Sequence[str] = (),
        differs: Sequence[str] = (),
        **slots: Slot | str,
    ) -> Draft:
        return Draft(self.kind, sql, slots, tuple(fields), tuple(distinct), tuple(differs))

    def ranked(
        self,
        select: str,
        top: Extreme,
        fields: Sequence[Field],
        alias: str = "",
        **slots: Slot | str,
    ) -> Draft:
        """A draft for the rows of `select` that `top` ranks first; it is not sound where ranks are tied."""
        key, end = f"{alias}{top.field.name}", " DESC" if top.descending else ""
        order = f" ORDER BY {key}{end} LIMIT "
        keys = f"SELECT {key} FROM {select.partition(' FROM ')[2]}{order}{top.count + 1}"
        return self.draft(
            f"{select}{order}{top.count}",
            fields,
            distinct=[keys],
            differs=[select],
            top=top,
            **slots,
        )


def is_sound(world: World, draft: Draft) -> bool:
    """Whether the query returns rows without NULL, has one possible result and no clause without effect."""
    rows = world.run(draft.sql)
    if not rows or any(value is None for row in rows for value in row):
        return False
    for sql in draft.distinct:
        keys = world.run(sql)
        if len(set(keys)) < len(keys):
            return False
    return all(sorted(world.run(sql)) != sorted(rows) for sql in draft.differs)


def join(*tables: Entity) -> str:
    """The FROM clause of linked tables, with aliases T1, T2 and so on in this order."""
    text = f"{tables[0].name} AS T1"
    for at, (left, right) in enumerate(pairwise(tables), 1):
        a, b = f"T{at}", f"T{at + 1}"
        up = right.name in left.parents
        on = f"{a}.{link(right.name)} = {b}.id" if up else f"{a}.id = {b}.{link(left.name)}"
        text += f" JOIN {right.name} AS {b} ON {on}"
    return text
