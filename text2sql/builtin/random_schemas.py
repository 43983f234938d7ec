"""Randomly composed databases: two or three tables with words from the lexicon.

They teach a model to take names from the schema in its prompt instead of from memory.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from text2sql.builtin.databases import DATABASES
from text2sql.builtin.domain import Domain, Entity
from text2sql.builtin.lexicon import (
    CATEGORIES,
    EVENTS,
    LABELS,
    MEASURES,
    PEOPLE,
    PLAIN_CATEGORIES,
    PLAIN_MEASURES,
    THINGS,
    Field,
    plural,
)

# The parents of each table, by their places in the list, and the weight of the shape.
SHAPES: tuple[tuple[tuple[tuple[int, ...], ...], int], ...] = (
    (((), (0,)), 13),  # one to many
    (((), (), (0, 1)), 4),  # many to many
    (((), (0,), (1,)), 2),  # chain
    (((), (0,), (0,)), 1),  # two children
)
KNOWN = 0.75  # share of columns that hand-designed databases have too
HAND_DESIGNED = {table.table() for domain in DATABASES for table in domain.entities}


def compose(rng: random.Random, id: str = "random") -> Domain:
    """A random database none of whose tables equals a hand-designed one."""
    shapes, weights = zip(*SHAPES, strict=True)
    shape = rng.choices(shapes, weights)[0]
    names = _table_names(len(shape), shape, rng)
    taken = {word for name in names for word in (name, plural(name))}
    entities: list[Entity] = []
    for name, places in zip(names, shape, strict=True):
        parents = tuple(names[place] for place in places)
        entities.append(_fresh_entity(name, parents, taken, rng))
    return Domain(id, tuple(entities))


def _fresh_entity(name: str, parents: tuple[str, ...], taken: set[str], rng: random.Random) -> Entity:
    while True:
        size = rng.randint(14, 22) if parents else rng.randint(8, 14)
        found = Entity(name, _fields(name, parents, taken, rng), parents, size)
        if found.table() not in HAND_DESIGNED:
            return found


def _table_names(count: int, shape: tuple[tuple[int, ...], ...], rng: random.Random) -> list[str]:
    """Distinct nouns: people or things for tables without parents, mostly events for those with parents."""
    names: list[str] = []
    while len(names) < count:
        last = bool(shape[len(names)])
        pool = rng.choice((EVENTS, EVENTS, THINGS, PEOPLE) if last else (PEOPLE, THINGS))
        noun = rng.choice(pool)
        if noun not in names:
            names.append(noun)
    return names


def _fields(name: str, parents: tuple[str, ...], taken: set[str], rng: random.Random) -> tuple[Field, ...]:
    """A label unless the table is an event, then one to three measures and categories."""
    label = "person" if name in PEOPLE else rng.choice(("thing", "thing", "title"))
    chosen = [] if name in EVENTS and rng.random() < 0.8 else [LABELS[label]]
    wanted = [True, False] if rng.random() < 0.65 or not chosen else [rng.random() < 0.5]
    if not parents and rng.random() < 0.25:
        wanted.append(rng.random() < 0.6)
    rng.shuffle(wanted)
    for measure in wanted:
        chosen.append(_field(measure, chosen, taken, rng))
    return tuple(chosen)


def _field(measure: bool, chosen: list[Field], taken: set[str], rng: random.Random) -> Field:
    """A field that shares no words with the other fields of the table or with the name of a table."""
    used = set().union(*(field.words() for field in chosen)) if chosen else set()
    while True:
        known, plain = (MEASURES, PLAIN_MEASURES) if measure else (CATEGORIES, PLAIN_CATEGORIES)
        field = _draw(known, plain, rng)
        if not field.words() & used and not set(field.name.split("_")) & taken:
            return field


def _draw(known: Mapping[str, Field], plain: Mapping[str, Field], rng: random.Random) -> Field:
    return rng.choice(list((known if rng.random() < KNOWN else plain).values()))
