"""Queries that are nearly a gold query but mean something else.

The idea is that of Zhong et al. 2020 (https://arxiv.org/abs/2010.02840): databases on which a gold query
differs from all of its near-misses also tell it from most wrong predictions. The kinds of near-misses are our
own; they follow what language models get wrong.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, zip_longest

from text2sql.schema.ddl import executed, write_ddl
from text2sql.schema.model import Schema
from text2sql.suites import clause_mutations as clauses
from text2sql.suites import condition_mutations as conditions
from text2sql.suites import form_mutations as forms
from text2sql.suites.trees import Edit, Mutation, Query, Values, edited, parse, text

_MUTATIONS: Mapping[str, Mutation] = {
    "comparison": conditions.comparison,
    "negation": conditions.negation,
    "aggregate": conditions.aggregate,
    "count_argument": conditions.count_argument,
    "distinct": clauses.distinct,
    "selected_column": conditions.selected_column,
    "condition_column": conditions.condition_column,
    "condition_dropped": conditions.condition_dropped,
    "condition_added": conditions.condition_added,
    "condition_moved": clauses.condition_moved,
    "connective": conditions.connective,
    "number": conditions.number,
    "other_value": conditions.other_value,
    "text_pattern": conditions.text_pattern,
    "null_handling": conditions.null_handling,
    "arithmetic": conditions.arithmetic,
    "table": clauses.table,
    "join_type": clauses.join_type,
    "join_dropped": clauses.join_dropped,
    "join_key": clauses.join_key,
    "group_key": clauses.group_key,
    "having": clauses.having,
    "order_key": clauses.order_key,
    "order_direction": clauses.order_direction,
    "order_dropped": clauses.order_dropped,
    "limit": clauses.limit,
    "extreme": forms.extreme,
    "set_operator": forms.set_operator,
    "set_side": forms.set_side,
    "set_as_condition": forms.set_as_condition,
    "membership": forms.membership,
}

KINDS: tuple[str, ...] = tuple(_MUTATIONS)
"""The kinds of near-misses."""

HELD_OUT: tuple[str, ...] = ("join_type", "count_argument", "text_pattern", "extreme", "set_as_condition")
"""Kinds that suites are not made with, so that they can be measured on them."""


@dataclass(frozen=True, slots=True)
class NearMiss:
    """A query in SQLite's dialect and how it was made from the gold query: one of KINDS."""

    sql: str
    kind: str


def is_readable(gold: str) -> bool:
    """Whether the text is one query that can be parsed: where it is not, `near_misses` finds none."""
    return parse(gold, Schema(())) is not None


def near_misses(
    gold: str, schema: Schema, values: Values, seed: int, most: int = 60, kinds: Collection[str] = KINDS
) -> list[NearMiss]:
    """Queries that differ from `gold` in one place and compile on the schema, at most `most` in number.

    The kinds take turns; those that do not apply to this query are left out. The queries depend on the
    arguments only. None is textually equal to another or to `gold`. Empty for a text that is not one readable
    query (see `is_readable`), and for one that does not compile on the schema, or to which nothing applies.
    Not covered: a near-miss may still have the results of `gold` on every database (see `equality`), and may
    take long to run.

    Raises:
        ValueError: a kind is unknown.
        UserError: SQLite rejects the schema.
    """
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown:
        raise ValueError(f"unknown kinds of near-misses: {', '.join(unknown)}; known are {', '.join(KINDS)}")
    query = parse(gold, schema, values)
    if query is None:
        return []
    with executed(write_ddl(schema)) as connection:
        if not _compiles(connection, text(query.root)):
            return []
        return _taking_turns(query, connection, gold, seed, most, [kind for kind in KINDS if kind in kinds])


def _taking_turns(
    query: Query, connection: sqlite3.Connection, gold: str, seed: int, most: int, kinds: list[str]
) -> list[NearMiss]:
    seen = {text(query.root)}
    by_kind = [
        _of_kind(query, connection, kind, random.Random(f"{seed} {kind} {gold}"), seen) for kind in kinds
    ]
    random.Random(f"{seed} {gold}").shuffle(by_kind)  # where `most` ends a round, it does so fairly
    found = (near for near in chain.from_iterable(zip_longest(*by_kind)) if near)
    return [near for near, _ in zip(found, range(most), strict=False)]


def _of_kind(
    query: Query, connection: sqlite3.Connection, kind: str, chance: random.Random, seen: set[str]
) -> Iterator[NearMiss]:
    edits: list[Edit] = list(_MUTATIONS[kind](query, chance))
    chance.shuffle(edits)
    for edit in edits:
        sql = edited(query.root, edit)
        if sql not in seen and _compiles(connection, sql):
            seen.add(sql)
            yield NearMiss(sql, kind)


def _compiles(connection: sqlite3.Connection, sql: str) -> bool:
    try:
        connection.execute(f"EXPLAIN {sql}").close()
    except (sqlite3.Error, UnicodeError):
        return False
    return True
