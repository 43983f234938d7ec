"""Variants of a database: the same schema with other rows, on which near-misses of a gold query show.

Near-misses are queries such as the gold with > for >=, without a condition, or with min for max. The idea is
that of Zhong, Yu, Klein, "Semantic Evaluation for Text-to-SQL with Distilled Test Suites", EMNLP 2020
(https://arxiv.org/abs/2010.02840).
"""

from __future__ import annotations

import functools
import random
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from text2sql.files import write_bytes
from text2sql.suites.conditions import Constants, Goal, constants
from text2sql.suites.facts import DatabaseFacts, ForeignKeyFacts, opened, unreadable
from text2sql.suites.goals import LARGEST_GROUP, grow_groups, place_goal, set_cell
from text2sql.suites.insert import build
from text2sql.suites.rows import Draft, Links, complete, in_order, make_drafts
from text2sql.suites.source_rows import Row, Value, read_rows

__all__ = ["KINDS", "ROWS", "Kind", "constants", "write_variant"]

ROWS = 60
"""Rows of a table at most."""

_LEAST = 8  # rows of a table, also where the source has fewer
_ENOUGH = 40  # rows of a table in which the conditions of many gold queries can be set
_SMALLEST = (1, 1, 2, 3, 4, 5)  # rows of the tables of a small variant
_USED = 0.6  # share of a table's rows in which the conditions of gold queries are set
_TIMES = (1, 1, 1, 2, 4)  # how often a gold query's conditions are set; more rows tell LIMIT apart
_FEW = 0.7  # share of the columns that have few values, where the kind says so
_MOVES = 200  # until a number is distinct


@dataclass(frozen=True, slots=True)
class Kind:
    """How the rows of a variant are made; numbers are shares from 0 to 1.

    `swapped` cells get the value of another row, `changed` ones a constant or a neighbour, `nulls` become
    NULL, `respelled` texts get another case or a blank. `few`: columns have that many values at most; 0: as
    many as they have. `distinct`: numbers do not repeat. `parents` have children. `large_groups`: a table
    gets more rows where HAVING compares their number with a large one. `small`: tables of a few rows, some
    of them empty.
    """

    swapped: float = 0.1
    changed: float = 0.1
    nulls: float = 0.02
    respelled: float = 0.0
    parents: float = 0.8
    few: int = 0
    distinct: bool = False
    large_groups: bool = False
    small: bool = False


KINDS: Mapping[str, Kind] = {
    "mutated": Kind(),
    "ties": Kind(few=4, parents=0.5, large_groups=True),
    "distinct": Kind(swapped=0.3, distinct=True),
    "nulls": Kind(swapped=0.2, nulls=0.25),
    "childless": Kind(swapped=0.2, parents=0.35),
    "respelled": Kind(respelled=0.3, changed=0.15),
    "small": Kind(swapped=0.5, changed=0.2, small=True),
    "uniform": Kind(swapped=0.0, changed=0.0, nulls=0.0, parents=0.0, few=1, small=True),
}
"""The kinds of variants; their numbers are those of this order."""


def write_variant(
    source: Path,
    target: Path,
    facts: DatabaseFacts,
    wanted: Mapping[tuple[str, str], Sequence[Value]],
    seed: int | str,
    kind: str | int,
    rows: int = ROWS,
) -> None:
    """Write a variant of the database `source` to the file `target`; the same input gives the same bytes.

    `facts` and `wanted` are those of `read_facts` and `constants`. `kind` is a name of KINDS, or any number,
    which is taken modulo their number. Tables have at most `rows` rows and usually at least 8; those of the
    kind "ties" get up to 250 more where HAVING in a gold query compares their number with more than 12.
    NOT NULL, UNIQUE, CHECK, types and keys hold as the schema demands, foreign keys as well as in the source.
    If no row can be made that meets a CHECK, rows of the source are taken. Views, indexes and triggers are
    those of the source; triggers do not run when the rows are inserted. A full-text table gets rows as any
    other table; one whose text is in another table (`content=`) and other virtual tables stay empty.

    Not covered: values in several columns that depend on one another without a constraint.

    Raises:
        UserError: SQLite cannot read the source, or cannot create its tables.
        OSError: the file cannot be written.
    """
    name = kind if isinstance(kind, str) else list(KINDS)[kind % len(KINDS)]
    state = source.stat()
    sampled = _sampled(source, facts, state.st_mtime_ns, state.st_size)
    chance = random.Random(f"{seed}:{name}:{kind}")
    drafts = make_drafts(facts, sampled, wanted, wanted.summed if isinstance(wanted, Constants) else None)
    maker = _Maker(facts, drafts, KINDS[name], chance, rows)
    maker.make_tables()
    maker.place(wanted.goals if isinstance(wanted, Constants) else [])
    maker.finish()
    try:
        with closing(build(facts, drafts, chance)) as connection:
            write_bytes(target, connection.serialize())
    except sqlite3.Error as error:
        raise unreadable(source, error) from error


@functools.lru_cache(maxsize=4)
def _sampled(source: Path, facts: DatabaseFacts, changed: int, size: int) -> dict[str, list[Row]]:
    try:
        with opened(source) as connection:
            return {
                table.name: read_rows(connection, table.name, [column.name for column in table.columns])
                for table in facts.tables
            }
    except sqlite3.Error as error:
        raise unreadable(source, error) from error


class _Maker:
    """Makes the rows of one variant."""

    def __init__(
        self, facts: DatabaseFacts, drafts: dict[str, Draft], kind: Kind, chance: random.Random, rows: int
    ) -> None:
        self._drafts, self._kind, self._chance, self._rows = drafts, kind, chance, rows
        self._tables = [drafts[table.name.lower()] for table in in_order(facts)]
        self._parents = {key.table for table in facts.tables for key in table.foreign_keys}
        self._empty = self._choose_empty() if kind.small and len(self._tables) > 1 else []
        self._links = Links(chance, kind.parents, chance.choice((0.0, 0.0, 0.3, 1.0)), kind.nulls)

    def make_tables(self) -> None:
        """Make the rows of all tables, each behind those that it refers to."""
        made: set[str] = set()
        late: list[tuple[Draft, list[ForeignKeyFacts]]] = []
        for draft in self._tables:
            draft.rows = self._base_rows(draft)
            self._change(draft)
            keys = draft.facts.foreign_keys
            self._link(draft, [key for key in keys if key.table in made])
            late.append((draft, [key for key in keys if key.table not in made]))
            made.add(draft.facts.name)
        # a table that refers to itself, or to one that refers to it, has its parents only now
        for draft, keys_left in late:
            if keys_left:
                self._link(draft, keys_left)

    def place(self, goals: Sequence[Goal]) -> None:
        """Make some goals hold, in any order, until a large part of the rows of their tables is used."""
        for goal in self._chance.sample(goals, len(goals)):
            tables = [self._drafts[name] for name in goal.tables]
            for _ in range(self._chance.choice(_TIMES)):
                if all(len(one.used) < _USED * len(one.rows) for one in tables):
                    place_goal(goal, self._drafts, self._chance)
        large = [goal for goal in goals if any(size.size > LARGEST_GROUP for size in goal.sizes)]
        if large and self._kind.large_groups:
            grow_groups(self._chance.choice(large), self._drafts, self._chance)

    def finish(self) -> None:
        """Make numbers distinct where the kind says so, and put the rows into another order."""
        for draft in self._tables:
            for at in _plain_columns(draft) if self._kind.distinct else ():
                self._make_distinct(draft, at)
            self._chance.shuffle(draft.rows)

    def _choose_empty(self) -> list[str]:
        """The names of one table or of half of those without children."""
        names = [draft.facts.name for draft in self._tables]
        leaves = [name for name in names if name not in self._parents] or names
        return self._chance.sample(leaves, self._chance.choice((1, (len(leaves) + 1) // 2)))

    def _link(self, draft: Draft, keys: Sequence[ForeignKeyFacts]) -> None:
        self._links.fill(draft, self._drafts, keys)
        complete(draft, self._drafts, self._chance)

    def _base_rows(self, draft: Draft) -> list[list[Value]]:
        count = self._count(draft)
        source = draft.source
        if not source:
            return [[values.draw(self._chance) for values in draft.values] for _ in range(count)]
        more = self._chance.choices(source, k=max(0, count - len(source)))
        return [list(row) for row in [*self._chance.sample(source, min(count, len(source))), *more]]

    def _count(self, draft: Draft) -> int:
        """The number of rows: about as many as the source has, of parents fewer than of their children."""
        if self._kind.small:
            return 0 if draft.facts.name in self._empty else self._chance.choice(_SMALLEST)
        most = self._rows // 2 if draft.facts.name in self._parents else self._rows
        usual = max(_LEAST, len(draft.source))
        return min(
            self._rows,
            self._chance.randint(min(usual, most), max(_LEAST, min(max(_ENOUGH, 2 * usual), most))),
        )

    def _change(self, draft: Draft) -> None:
        """Change cells outside keys as the kind says; some keys become constants, or texts that have them."""
        referring = {at for key in draft.facts.foreign_keys for at in draft.places(key.columns)}
        plain = set(_plain_columns(draft))
        for at, values in enumerate(draft.values):
            if at in plain:
                self._change_column(draft, at)
            elif at not in referring and values.wanted and draft.rows:
                wanted = [*values.wanted, *values.extended]
                count = min(len(wanted), len(draft.rows) // 3)
                rows = self._chance.sample(draft.rows, count)
                for row, value in zip(rows, self._chance.sample(wanted, count), strict=True):
                    row[at] = value

    def _change_column(self, draft: Draft, at: int) -> None:
        kind, chance, values = self._kind, self._chance, draft.values[at]
        palette = values.few(kind.few, chance) if kind.few and chance.random() < _FEW else None
        nullable = values.may_be_null
        before = [row[at] for row in draft.rows]
        for row in draft.rows:
            if palette:
                row[at] = chance.choice(palette)
            elif chance.random() < kind.swapped:
                row[at] = chance.choice(before)
            if chance.random() < kind.changed:
                row[at] = values.special(chance)
            text = row[at]
            if isinstance(text, str) and chance.random() < kind.respelled:
                row[at] = values.respelled(text, chance)
            if nullable and chance.random() < kind.nulls:
                row[at] = None

    def _make_distinct(self, draft: Draft, at: int) -> None:
        """Move numbers that are there already, those of used rows last."""
        if draft.values[at].is_flag:
            return
        seen: set[Value] = set()
        for number in sorted(range(len(draft.rows)), key=lambda row: row not in draft.used):
            value, direction = draft.rows[number][at], self._chance.choice((-1, 1))
            for _ in range(_MOVES):
                if value not in seen or not isinstance(value, int | float):
                    break
                value = draft.values[at].moved(value, direction, self._chance)
            set_cell(draft, self._drafts, number, at, value)
            seen.add(draft.rows[number][at])


def _plain_columns(draft: Draft) -> list[int]:
    """The places of the columns that are in no key."""
    keys = {at for columns in draft.facts.unique for at in draft.places(columns)}
    keys |= {at for key in draft.facts.foreign_keys for at in draft.places(key.columns)} | draft.fixed
    return [at for at in range(len(draft.values)) if at not in keys]
