"""Values of a column: those that it has, constants of queries, and neighbours of both."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, timedelta
from itertools import pairwise

from text2sql.suites.domains import Digits, Domain, Flags, Loose, Moments, date_format, domain_of
from text2sql.suites.facts import Affinity, ColumnFacts
from text2sql.suites.neighbours import DATE, LARGEST, NUMBER, extended, is_number, respelled
from text2sql.suites.source_rows import Value

_FRESH_TRIES = 50
_TRIES = 20  # for a value of the column's domain


def stored(value: Value, affinity: Affinity) -> Value:
    """The value as SQLite stores it in a column of this affinity (datatype3.html, 3 and 3.4)."""
    if isinstance(value, str):
        value = value.encode(errors="replace").decode()
        if affinity in ("text", "blob") or not NUMBER.fullmatch(value.strip(" \t\n\r\f\v")):
            return value
        value = _number(value)
    if isinstance(value, bytes) or value is None:
        return value
    if affinity == "text":
        return str(value)
    if affinity == "real":
        return float(value)
    is_whole = isinstance(value, float) and abs(value) < 2**53 and value == int(value)
    if is_whole and affinity != "blob":
        return int(value)
    return float(value) if abs(value) >= 2**63 else value


class ColumnValues:
    """Draws values for a column; all of them are as SQLite stores them, and of the column's domain.

    `seen` are those of the source with their repetitions, `wanted` the constants of gold queries. The column
    gets NULLs only if the source has some in it, or no row: a column that never has any seldom means to.
    `is_key`: it is unique, alone or with others, or other tables refer to it. `refers`: its values are those
    of another column, whatever its own show. `rounded`: REAL values are such that their sums are exact.
    """

    def __init__(
        self,
        column: ColumnFacts,
        seen: Iterable[Value],
        wanted: Iterable[Value],
        *,
        whole: bool = False,
        is_key: bool = False,
        rounded: bool = True,
        refers: bool = False,
    ) -> None:
        self.column = column
        values = list(seen)
        self.may_be_null = not column.not_null and (None in values or not values)
        self.seen: list[Value] = [value for value in values if value is not None]
        constants = [stored(value, column.affinity) for value in wanted]
        self._domain: Domain = Loose()
        if whole or not refers:
            self._domain = self._inferred(constants, is_key)
        if isinstance(self._domain, Loose) and not rounded:
            self._domain = Loose()
        self.seen = [self.rounded(value) for value in self.seen]
        self.wanted = list(dict.fromkeys(self._kept(constants)))
        self._between = _midpoints(self.wanted)
        # constants with something before or behind them; the columns that refer to this one use the same
        self.extended = list(dict.fromkeys(one for value in self.wanted for one in self.longer(value)))
        flags = isinstance(self._domain, Flags)
        self.is_flag = flags or (len(set(self.seen)) <= 2 and len(self.seen) > 3)
        self._fresh = 0

    def holds(self, value: Value) -> bool:
        """Whether the value, as it is stored, is of the column's domain, or NULL."""
        found = stored(value, self.column.affinity)
        return found is None or self._domain.holds(found)

    def fitted(self, value: Value, chance: random.Random) -> Value:
        """The value as the column stores it; if that is not of its domain, one next to it, or any of it."""
        found = stored(value, self.column.affinity)
        if self.holds(found):
            return found
        near = self._domain.standing_for(found)
        return chance.choice(near or self.seen or self.wanted or [self._usual()])

    def rounded(self, value: Value) -> Value:
        """A value of the source without digits that would make sums depend on the order of the rows."""
        new = self._domain.rounded(value) if isinstance(self._domain, Loose) else value
        return stored(new, self.column.affinity) if new != value else value

    def draw(self, chance: random.Random) -> Value:
        """A value of the source, a constant, or a neighbour of one."""
        if not self.seen and (not self.wanted or chance.random() < 0.5):
            return self.fitted(self._invented(chance), chance)
        if self.wanted and (not self.seen or chance.random() < 0.3):
            return self.special(chance)
        return chance.choice(self.seen)

    def special(self, chance: random.Random) -> Value:
        """A constant, or a neighbour of a constant; where there is none, of a value of the source."""
        if self.wanted and chance.random() < 0.5:
            return chance.choice(self.wanted)
        if self._between and chance.random() < 0.3:
            return self.fitted(chance.choice(self._between), chance)
        if self.extended and chance.random() < 0.2:
            return chance.choice(self.extended)
        near = self.wanted or self.seen
        return self.near(chance.choice(near), chance) if near else self.fitted(self._invented(chance), chance)

    def near(self, value: Value, chance: random.Random) -> Value:
        """A neighbour of the value that the column can hold."""
        start = self.fitted(value, chance)
        return self._first_held((self._domain.near(start, chance) for _ in range(_TRIES)), start)

    def moved(self, value: Value, direction: int, chance: random.Random) -> Value:
        """A value of the column that is a little above (`direction` 1) or below (-1), if there is one."""
        start = self.fitted(value, chance)
        return self._first_held((self._domain.moved(start, direction, chance) for _ in range(_TRIES)), start)

    def respelled(self, text: str, chance: random.Random) -> Value:
        """The text in another case or with a blank; as it is where the column holds no such text."""
        return self._first_held([respelled(text, chance)], text)

    def longer(self, value: Value) -> list[Value]:
        """The text with something before or behind it, if the column may hold that."""
        texts = extended(value) if isinstance(value, str) else ()
        return [stored(text, self.column.affinity) for text in texts if self.holds(text)]

    def like(self, pattern: str, text: str, chance: random.Random) -> Value:
        """A value that matches a LIKE pattern, as `text` does, if the column's domain has one; or any."""
        if self.holds(text):
            return stored(text, self.column.affinity)
        matches = _like(pattern)
        near = [self.near(chance.choice(self.seen), chance) for _ in range(_TRIES) if self.seen]
        pool = [*self._domain.standing_for(text), *self.seen, *near]
        found = [one for one in pool if isinstance(one, str) and matches.fullmatch(one)]
        return chance.choice(found) if found else self.draw(chance)

    def few(self, most: int, chance: random.Random) -> list[Value]:
        """One to `most` distinct values, some of them constants."""
        pool = list(dict.fromkeys(self.draw(chance) for _ in range(2 * most)))
        return pool[: chance.randint(1, most)]

    def fresh(self, taken: Callable[[Value], bool], chance: random.Random) -> Value:
        """A value that is not `taken`; None if none was found."""
        for _ in range(_FRESH_TRIES):
            value = self.draw(chance) if chance.random() < 0.3 else self._next(chance)
            if not taken(value):
                return value
        return None

    def _inferred(self, constants: Sequence[Value], is_key: bool) -> Domain:
        """The domain; that of a column of dates without rows is the notation of its constants."""
        if not self.seen and self._has_dates():
            texts = [value for value in constants if isinstance(value, str)]
            return Moments(date_format(texts) or "%Y-%m-%d")
        return domain_of(self.seen, self.column.type, constants, is_key)

    def _kept(self, values: Iterable[Value]) -> Iterator[Value]:
        for value in values:
            if value is not None:
                yield from [value] if self._domain.holds(value) else self._domain.standing_for(value)

    def _first_held(self, values: Iterable[Value], otherwise: Value) -> Value:
        found = (stored(value, self.column.affinity) for value in values)
        return next((value for value in found if self._domain.holds(value)), otherwise)

    def _next(self, chance: random.Random) -> Value:
        """A value that continues those of the column."""
        self._fresh += 1
        numbers = [value for value in self.seen if isinstance(value, int | float)]
        if numbers and len(numbers) * 2 >= len(self.seen):
            top = max(numbers)
            new = top + self._fresh if abs(top) < LARGEST else chance.randint(1, LARGEST)
            return self.fitted(new, chance)
        if not self.seen:
            return self.fitted(self._invented(chance), chance)
        value = chance.choice(self.seen)
        if isinstance(self._domain, Digits):
            return self.near(self.near(value, chance), chance)
        if isinstance(value, str) and not is_number(value) and not DATE.search(value):
            return self.fitted(f"{value}{chance.choice(string.ascii_lowercase)}", chance)
        return self.moved(value, chance.choice((-1, 1)) * self._fresh, chance)

    def _has_dates(self) -> bool:
        kind, name = self.column.type.upper(), self.column.name.lower()
        return self.column.affinity != "integer" and ("DATE" in kind or "date" in name)

    def _usual(self) -> Value:
        return self._invented(random.Random(0))

    def _invented(self, chance: random.Random) -> Value:
        """A value for a column without rows, by its type and name."""
        kind = self.column.type.upper()
        if self._has_dates():
            return str(date(2010, 1, 1) + timedelta(days=chance.randint(0, 3000)))
        if "BOOL" in kind:
            return chance.randint(0, 1)
        if self.column.affinity in ("integer", "numeric"):
            return chance.randint(1, 100)
        if self.column.affinity == "real":
            return chance.randint(0, 800) / 8
        if "BLOB" in kind:
            return chance.randbytes(4)
        return "".join(chance.choice("abcde") for _ in range(3))


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _like(pattern: str) -> re.Pattern[str]:
    """The regular expression of a LIKE pattern."""
    signs = {"%": ".*", "_": "."}
    return re.compile("".join(signs.get(one, re.escape(one)) for one in pattern), re.IGNORECASE | re.DOTALL)


def _midpoints(values: Sequence[Value]) -> list[Value]:
    """The midpoints between adjacent numbers."""
    numbers = sorted(value for value in values if isinstance(value, int | float) and abs(value) < LARGEST)
    both = pairwise(numbers)
    return [
        (low + high) // 2 if isinstance(low, int) and isinstance(high, int) else (low + high) / 2
        for low, high in both
    ]
