"""Rows of all tables of a variant while they are made, with the keys that must hold between them."""

from __future__ import annotations

import random
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil

from text2sql.suites.facts import DatabaseFacts, ForeignKeyFacts, TableFacts
from text2sql.suites.source_rows import Row, Value
from text2sql.suites.values import ColumnValues, stored

_REDRAWS = 20  # of a row whose key is taken


@dataclass
class Draft:
    """The rows of one table. `fixed` are the places of columns that other tables refer to, `used` rows that
    a gold query's conditions are set in. `original` are the rows of the source, `source` the same with REAL
    values rounded as those of `values` are.
    """

    facts: TableFacts
    original: Sequence[Row]
    source: Sequence[Row]
    values: list[ColumnValues]
    fixed: set[int] = field(default_factory=set)
    rows: list[list[Value]] = field(default_factory=list)
    used: set[int] = field(default_factory=set)

    def places(self, columns: Iterable[str]) -> list[int]:
        """The places of the columns, which exist."""
        return [at for at in map(self.facts.place, columns) if at is not None]

    def keys(self, columns: Sequence[str]) -> list[Row]:
        """The distinct values of these columns without those with NULL, in the order of the rows."""
        places = self.places(columns)
        found = dict.fromkeys(tuple(row[at] for at in places) for row in self.rows)
        return [key for key in found if None not in key]


Drafts = Mapping[str, Draft]
"""By the table's name in lower case."""


def make_drafts(
    facts: DatabaseFacts,
    source: Mapping[str, Sequence[Row]],
    wanted: Mapping[tuple[str, str], Sequence[Value]],
    summed: Container[str] | None = None,
) -> dict[str, Draft]:
    """Drafts without rows; the constants of a column are those of the columns that refer to it as well.

    REAL values of the columns `summed`, in lower case (None: all), outside keys have sums that are exact.
    """
    found = {}
    for table in facts.tables:
        rows, values = source[table.name], []
        keys = {name for columns in table.unique for name in columns}
        referring = {name for key in (*table.foreign_keys, *table.computed_keys) for name in key.columns}
        for at, column in enumerate(table.columns):
            its_children = _referring(facts, table, column.name)
            names = [(table.name.lower(), column.name.lower()), *its_children]
            values.append(
                ColumnValues(
                    column,
                    [row[at] for row in rows],
                    [value for name in names for value in wanted.get(name, ())],
                    whole=_is_rowid(table, at),
                    is_key=column.name in keys or bool(its_children),
                    rounded=summed is None or column.name.lower() in summed,
                    refers=column.name in referring,
                )
            )
        made = [tuple(one.rounded(value) for one, value in zip(values, row, strict=True)) for row in rows]
        found[table.name.lower()] = Draft(table, rows, made, values)
    for table in facts.tables:
        for key in table.foreign_keys:
            parent = found[key.table.lower()]
            parent.fixed.update(parent.places(key.references))
    return found


def in_order(facts: DatabaseFacts) -> list[TableFacts]:
    """The tables, each behind those that it refers to; where they refer to each other, in their order."""
    found: list[TableFacts] = []
    waiting = list(facts.tables)
    while waiting:
        names = {table.name for table in waiting}
        ready = [table for table in waiting if not _parents(table) & names]
        found += ready or waiting[:1]
        waiting = [table for table in waiting if table not in found]
    return found


def _parents(table: TableFacts) -> set[str]:
    return {key.table for key in (*table.foreign_keys, *table.computed_keys)} - {table.name}


def _referring(facts: DatabaseFacts, table: TableFacts, column: str) -> list[tuple[str, str]]:
    """The columns that refer to this one, in lower case."""
    return [
        (child.name.lower(), mine.lower())
        for child in facts.tables
        for key in child.foreign_keys
        for mine, its in zip(key.columns, key.references, strict=True)
        if key.table == table.name and its == column
    ]


def _is_rowid(table: TableFacts, at: int) -> bool:
    """Whether a column may be the rowid, which is an integer."""
    column = table.columns[at]
    alone = len(table.primary_key) == 1 and column.key == 1
    return alone and column.type.upper() == "INTEGER" and not table.without_rowid


# -- foreign keys --


@dataclass
class Links:
    """Draws parents. `share` of them get children; `strength`, 0 to 1, scales the source's dangling share.

    `nulls` is the share of rows without a parent, where that is allowed.
    """

    chance: random.Random
    share: float
    strength: float
    nulls: float

    def fill(self, draft: Draft, drafts: Drafts, keys: Sequence[ForeignKeyFacts]) -> None:
        """Give every row of a table values of its parents."""
        settled: set[int] = set()
        for key in sorted(keys, key=lambda key: -len(key.columns)):
            self._fill_key(draft, drafts[key.table.lower()], key, settled)
            settled.update(draft.places(key.columns))

    def _fill_key(self, draft: Draft, parent: Draft, key: ForeignKeyFacts, settled: set[int]) -> None:
        places = draft.places(key.columns)
        affinities = [draft.facts.columns[at].affinity for at in places]
        found = parent.keys(key.references)
        known = {
            tuple(stored(value, kind) for value, kind in zip(one, affinities, strict=True)): at
            for at, one in enumerate(found)
        }
        chosen = self._chosen(list(known))
        dangling = self._dangling(draft, places, key, set(known))
        shared = [at for at in places if at in settled]
        columns = [draft.facts.columns[at] for at in places]
        may = all(draft.values[at].may_be_null for at in places)
        nulls = 0.0 if shared or not may or any(one.key for one in columns) else self.nulls
        rate = key.dangling * self.strength
        left = ceil(rate * len(draft.rows)) if dangling else 0
        for row in draft.rows:
            mine = tuple(row[at] for at in places)
            if left and self.chance.random() < rate:
                left -= 1
                new: Row | None = self.chance.choice(dangling)
            elif nulls and self.chance.random() < nulls:
                new = None
            elif (None in mine and not shared) or (mine in chosen.known and self.chance.random() < 0.7):
                continue
            else:
                new = chosen.draw(self.chance, [(places.index(at), row[at]) for at in shared])
            for place, at in enumerate(places):
                if at not in settled:
                    row[at] = new[place] if new else None

    def _chosen(self, keys: list[Row]) -> _Parents:
        count = max(1, round(len(keys) * self.share))
        return _Parents(self.chance.sample(keys, min(count, len(keys))))

    def _dangling(self, draft: Draft, places: list[int], key: ForeignKeyFacts, known: set[Row]) -> list[Row]:
        if not key.dangling:
            return []
        found = dict.fromkeys(tuple(row[at] for at in places) for row in draft.source)
        return [one for one in found if None not in one and one not in known]


class _Parents:
    """Keys of parents; earlier ones are drawn more often, so that groups differ in size."""

    def __init__(self, keys: list[Row]) -> None:
        self._keys, self.known = keys, set(keys)
        self._weights = [1 / (at + 1) for at in range(len(keys))]

    def draw(self, chance: random.Random, equal: Sequence[tuple[int, Value]]) -> Row | None:
        """A key with these values at these places; None if there is none."""
        if not self._keys:
            return None
        if not equal:
            return chance.choices(self._keys, self._weights)[0]
        fitting = [key for key in self._keys if all(key[at] == value for at, value in equal)]
        return chance.choice(fitting) if fitting else None


# -- unique values, NOT NULL --


def complete(draft: Draft, drafts: Drafts, chance: random.Random) -> None:
    """Redraw values that are taken or NULL where that is not allowed; leave out rows where none is found."""
    _Completer(draft, drafts, chance).run()


class _Completer:
    def __init__(self, draft: Draft, drafts: Drafts, chance: random.Random) -> None:
        self._draft, self._drafts, self._chance = draft, drafts, chance
        self._parents = {at: key for key in draft.facts.foreign_keys for at in draft.places(key.columns)}
        self._unique = [(draft.places(columns), set[Row]()) for columns in draft.facts.unique]

    def run(self) -> None:
        kept: list[list[Value]] = []
        used: set[int] = set()
        order = sorted(range(len(self._draft.rows)), key=lambda at: at not in self._draft.used)
        for number in order:
            row = self._draft.rows[number]
            if not (self._fill_nulls(row) and self._make_free(row)):
                continue
            for columns, seen in self._unique:
                seen.add(tuple(row[at] for at in columns))
            if number in self._draft.used:
                used.add(len(kept))
            kept.append(row)
        self._draft.rows, self._draft.used = kept, used

    def _fill_nulls(self, row: list[Value]) -> bool:
        for at, column in enumerate(self._draft.facts.columns):
            if row[at] is None and column.not_null:
                if at in self._parents:
                    return False  # there is no parent to refer to
                row[at] = self._draft.values[at].draw(self._chance)
        return True

    def _make_free(self, row: list[Value]) -> bool:
        """Change a row until none of its keys is taken; False if that does not succeed."""
        for _ in range(_REDRAWS):
            clash = next((one for one in self._unique if _is_taken(row, *one)), None)
            if clash is None:
                return True
            self._change(row, *clash)
        return False

    def _change(self, row: list[Value], columns: list[int], seen: set[Row]) -> None:
        at = self._chance.choice(columns)
        if at not in self._parents:
            place, values = columns.index(at), [row[one] for one in columns]
            new = self._draft.values[at].fresh(
                lambda value: (*values[:place], value, *values[place + 1 :]) in seen, self._chance
            )
            row[at] = row[at] if new is None else new
            return
        key = self._parents[at]
        parents = self._drafts[key.table.lower()].keys(key.references)
        if parents:
            for one, value in zip(self._draft.places(key.columns), self._chance.choice(parents), strict=True):
                row[one] = stored(value, self._draft.facts.columns[one].affinity)


def _is_taken(row: Sequence[Value], columns: Sequence[int], seen: set[Row]) -> bool:
    key = tuple(row[at] for at in columns)
    return None not in key and key in seen
