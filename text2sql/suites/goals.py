"""Rows for which the conditions of a gold query hold together, or all of them but one."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import suppress

from text2sql.suites.conditions import Cell, Condition, Goal, matching
from text2sql.suites.facts import ForeignKeyFacts
from text2sql.suites.neighbours import respelled
from text2sql.suites.rows import Draft, Drafts, complete
from text2sql.suites.source_rows import Value
from text2sql.suites.values import ColumnValues, stored

LARGEST_GROUP = 12
"""Groups of more rows for HAVING count(*) > N are made by `grow_groups`."""

_MOST = 250  # rows of a group at most
_HOLDS = 0.5  # share of the goals of which no condition is broken
_EXTENDED = 0.4  # share of the broken conditions `= text` with the text and something more in the column
_UNJOINED = 0.15  # share of the goals of which one join does not hold
_NULL = 0.2  # share of the broken conditions with NULL in the column, and of the rows with NULL in another


def place_goal(goal: Goal, drafts: Drafts, chance: random.Random) -> None:
    """Change rows in place so that a query's conditions and joins hold for them, or all of them but one.

    Keys stay valid: a value is only changed where no row refers to it, it stays unique and has a parent.
    Where that leaves no way, a condition or a join does not hold.
    """
    _Placer(goal, drafts, chance).run()


class _Placer:
    """`_at` has the row chosen for each table of the goal, `_classes` the cells that are to be equal."""

    def __init__(self, goal: Goal, drafts: Drafts, chance: random.Random) -> None:
        self._goal, self._drafts, self._chance = goal, drafts, chance
        self._at: dict[int, int] = {}
        self._classes = _classes(
            [(link.one, link.other) for link in goal.links if link.sure or chance.random() < 0.5]
        )
        self._linked = {cell for cells in self._classes for cell in cells}

    def run(self) -> None:
        """Choose rows and set their cells."""
        broken = None
        if self._goal.conditions and self._chance.random() >= _HOLDS:
            broken = self._chance.choice(self._goal.conditions)
        conditions = self._chance.sample(self._goal.conditions, len(self._goal.conditions))
        for condition in conditions:
            if self._is_key(condition.cell) or condition.cell in self._linked:
                self._hold(condition, condition is broken)
        left_out = self._chance.choice(self._classes) if self._classes else None
        for cells in self._classes:
            if broken or cells is not left_out or self._chance.random() >= _UNJOINED:
                self._join(cells)
        for condition in conditions:
            if condition.cell not in self._linked:
                self._hold(condition, condition is broken)
        for size in self._goal.sizes:
            self._resize(size.cell, size.size)
        for table, row in self._at.items():
            self._draft(table).used.add(row)
            if self._chance.random() < _NULL:
                self._forget(table, row)

    def _forget(self, table: int, row: int) -> None:
        """Set a cell of the row that is not compared to NULL."""
        draft = self._draft(table)
        named = [condition.cell for condition in self._goal.conditions] + list(self._linked)
        compared = {self._place(cell) for cell in named if cell.table == table}
        places = [at for at, one in enumerate(draft.values) if at not in compared and one.may_be_null]
        if places:
            set_cell(draft, self._drafts, row, self._chance.choice(places), None)

    def _draft(self, table: int) -> Draft:
        return self._drafts[self._goal.tables[table]]

    def _place(self, cell: Cell) -> int:
        place = self._draft(cell.table).facts.place(cell.column)
        assert place is not None, cell  # cells are resolved by the same facts
        return place

    def _is_key(self, cell: Cell) -> bool:
        return self._place(cell) in self._draft(cell.table).fixed

    def _get(self, cell: Cell) -> Value:
        return self._draft(cell.table).rows[self._at[cell.table]][self._place(cell)]

    def _choose(self, table: int, cell: Cell | None = None, value: Value = None) -> bool:
        """Choose a row for a table, with this value in a cell if one is named; False if there is none."""
        draft = self._draft(table)
        others = {row for one, row in self._at.items() if self._goal.tables[one] == self._goal.tables[table]}
        rows = [row for row in range(len(draft.rows)) if row not in others]
        if cell:
            place = self._place(cell)
            wanted = stored(value, draft.facts.columns[place].affinity)
            rows = [row for row in rows if draft.rows[row][place] == wanted]
        rows = [row for row in rows if row not in draft.used] or rows
        if rows:
            self._at[table] = self._chance.choice(rows)
        return bool(rows)

    def _set(self, cell: Cell, value: Value) -> bool:
        draft = self._draft(cell.table)
        return set_cell(draft, self._drafts, self._at[cell.table], self._place(cell), value)

    def _hold(self, condition: Condition, broken: bool) -> None:
        cell, draft = condition.cell, self._draft(condition.cell.table)
        value = _value(condition, draft.values[self._place(cell)], self._chance, broken)
        if cell.table not in self._at:
            is_set = condition.operator == "=" and self._choose(cell.table, cell, value)
            if is_set or not self._choose(cell.table):
                return
        if condition.operator != "not null" or broken or self._get(cell) is None:
            self._set(cell, value)

    def _join(self, cells: Sequence[Cell]) -> None:
        """Make cells equal: those of chosen rows give the value, or else those that refer to another."""
        order = sorted(cells, key=lambda cell: (cell.table not in self._at, self._is_key(cell)))
        first = order[0]
        if first.table not in self._at and not self._choose(first.table):
            return
        value = self._get(first)
        for cell in order[1:]:
            if cell.table not in self._at:
                change = not self._is_key(cell) and self._chance.random() < 0.5
                if not change and value is not None and self._choose(cell.table, cell, value):
                    continue
                if not self._choose(cell.table):
                    continue
            if value is None:
                value = self._get(cell)
            elif not self._set(cell, value) and self._is_key(cell):
                self._set(first, self._get(cell))

    def _resize(self, cell: Cell, size: int) -> None:
        """Give the group of the chosen row one row less than `size`, as many, or one more."""
        cells = [
            one for one in _counted(cell, self._classes) if one.table in self._at and not self._is_key(one)
        ]
        if not cells or size > LARGEST_GROUP:
            return
        one = self._chance.choice(cells)
        draft, place, value = self._draft(one.table), self._place(one), self._get(one)
        count = max(1, size + self._chance.choice((-1, 0, 0, 1, 1)))
        inside = [at for at, row in enumerate(draft.rows) if row[place] == value]
        outside = [at for at, row in enumerate(draft.rows) if row[place] != value and at not in draft.used]
        others = [draft.rows[at][place] for at in outside]
        for at in self._chance.sample(outside, len(outside)):
            if len(inside) >= count:
                break
            if set_cell(draft, self._drafts, at, place, value):
                inside.append(at)
        for at in [at for at in inside if at not in draft.used and at != self._at[one.table]]:
            if len(inside) <= count or not others:
                break
            if set_cell(draft, self._drafts, at, place, self._chance.choice(others)):
                inside.remove(at)


def grow_groups(goal: Goal, drafts: Drafts, chance: random.Random) -> None:
    """Add rows to a table so that a group has about as many as HAVING compares with, at most 250."""
    for size in goal.sizes:
        cells = _counted(size.cell, _classes([(link.one, link.other) for link in goal.links]))
        drawn = [(drafts[goal.tables[cell.table]], cell.column) for cell in cells]
        places = [(draft, draft.places([column])[0]) for draft, column in drawn]
        places = [(draft, at) for draft, at in places if draft.rows and at not in draft.fixed]
        if places and LARGEST_GROUP < size.size <= _MOST:
            draft, place = chance.choice(places)
            row = chance.choice(draft.rows)
            inside = sum(one[place] == row[place] for one in draft.rows)
            for _ in range(size.size + chance.choice((-1, 0, 1, 1)) - inside):
                draft.rows.append(_with_other_keys(draft, row, place, chance))
            complete(draft, drafts, chance)


def _counted(cell: Cell, classes: Sequence[list[Cell]]) -> list[Cell]:
    """The cells whose equal values make up a group of rows that have one value in `cell`.

    They are those that are equal to it, or else those of other tables that are joined to its table.
    """
    equal = next((cells for cells in classes if cell in cells), [])
    joined = [cells for cells in classes if any(one.table == cell.table for one in cells)]
    others = [one for one in joined[0] if one.table != cell.table] if joined else []
    return equal or others or [cell]


def _with_other_keys(draft: Draft, row: Sequence[Value], place: int, chance: random.Random) -> list[Value]:
    """A copy of the row with a new value in each key, but not at `place` or where it refers to a parent."""
    kept = {place} | {at for key in draft.facts.foreign_keys for at in draft.places(key.columns)}
    new = list(row)
    for columns in map(draft.places, draft.facts.unique):
        for at in [at for at in columns if at not in kept][:1]:
            taken = {other[at] for other in draft.rows}
            new[at] = draft.values[at].fresh(taken.__contains__, chance)
    return new


def set_cell(draft: Draft, drafts: Drafts, row: int, place: int, value: Value) -> bool:
    """Set a cell unless a key, NOT NULL, a foreign key or its domain forbids it; whether it is set."""
    column = draft.facts.columns[place]
    value = stored(value, column.affinity)
    old = draft.rows[row][place]
    if old == value and type(old) is type(value):
        return True
    if place in draft.fixed or (value is None and column.not_null) or not draft.values[place].holds(value):
        return False
    draft.rows[row][place] = value
    if _is_unique(draft, row, place) and _has_parents(draft, drafts, row, place):
        return True
    draft.rows[row][place] = old
    return False


def _is_unique(draft: Draft, row: int, place: int) -> bool:
    for columns in map(draft.places, draft.facts.unique):
        if place in columns:
            mine = [draft.rows[row][at] for at in columns]
            same = sum(mine == [other[at] for at in columns] for other in draft.rows)
            if None not in mine and same > 1:
                return False
    return True


def _has_parents(draft: Draft, drafts: Drafts, row: int, place: int) -> bool:
    return all(
        _has_parent(draft, drafts[key.table.lower()], key, row)
        for key in draft.facts.foreign_keys
        if place in draft.places(key.columns)
    )


def _has_parent(draft: Draft, parent: Draft, key: ForeignKeyFacts, row: int) -> bool:
    mine = [draft.rows[row][at] for at in draft.places(key.columns)]
    theirs = parent.places(key.references)
    kinds = [parent.facts.columns[at].affinity for at in theirs]
    wanted = [stored(value, kind) for value, kind in zip(mine, kinds, strict=True)]
    return None in mine or any(wanted == [other[at] for at in theirs] for other in parent.rows)


def _classes(links: Sequence[tuple[Cell, Cell]]) -> list[list[Cell]]:
    """The cells that the links make equal, in the order of the links."""
    found: list[list[Cell]] = []
    for one, other in links:
        joined = [cells for cells in found if one in cells or other in cells]
        merged = dict.fromkeys([cell for cells in joined for cell in cells] + [one, other])
        found = [cells for cells in found if cells not in joined] + [list(merged)]
    return found


# -- values for which a condition holds, or just fails --


def _value(condition: Condition, values: ColumnValues, chance: random.Random, broken: bool) -> Value:
    operator = condition.operator
    if broken and values.may_be_null and chance.random() < _NULL:
        return None
    if broken:
        operator = _BROKEN.get(
            operator, operator.removeprefix("not ") if "not " in operator else f"not {operator}"
        )
    value = stored(condition.value, values.column.affinity)
    if operator in ("null", "not null"):
        return None if operator == "null" else values.draw(chance)
    if operator in ("like", "not like") and isinstance(value, str):
        return _text(value, operator, values, chance)
    if operator in (">", "<", ">=", "<="):
        return _beside(value, operator, values, chance)
    longer = values.longer(value) if operator == "!=" else []
    if longer and chance.random() < _EXTENDED:
        return chance.choice(longer)
    return values.fitted(value, chance) if operator == "=" else values.near(value, chance)


_BROKEN = {"=": "!=", "!=": "=", ">": "<=", "<": ">=", ">=": "<", "<=": ">"}


def _beside(value: Value, operator: str, values: ColumnValues, chance: random.Random) -> Value:
    """The value itself if the operator allows it, one next to it, or one of the source on that side."""
    if "=" in operator and chance.random() < 0.6:
        return values.fitted(value, chance)
    above = operator.startswith(">")
    on_side = [one for one in values.seen if _is_beside(one, value, above)]
    if on_side and chance.random() < 0.5:
        return chance.choice(on_side)
    return values.moved(value, 1 if above else -1, chance)


def _is_beside(one: Value, value: Value, above: bool) -> bool:
    with suppress(TypeError):  # values of different types
        return one > value if above else one < value  # type: ignore[operator]
    return False


def _text(pattern: str, operator: str, values: ColumnValues, chance: random.Random) -> Value:
    """A text that matches a LIKE pattern, or one that nearly does."""
    filler = chance.choice(("", "a", "Xy", " ", "e"))
    text = matching(pattern, filler) if filler else pattern.replace("%", "").replace("_", "a")
    if operator == "like":
        return values.like(pattern, respelled(text, chance) if chance.random() < 0.2 else text, chance)
    nearly = [stored(one, values.column.affinity) for one in _near_matches(text) if values.holds(one)]
    return chance.choice(nearly) if nearly and chance.random() < 0.7 else values.draw(chance)


def _near_matches(text: str) -> Iterator[str]:
    yield f"x{text}"
    yield f"{text}x"
    yield text[1:]
    yield text[:-1]
    yield text.replace(text[len(text) // 2 :][:1], "z", 1) if text else "z"
