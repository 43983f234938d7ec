"""Values of a column: those that it has, constants of queries, and neighbours of both."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from itertools import pairwise

from text2sql.suites.facts import Affinity, ColumnFacts
from text2sql.suites.source_rows import Value

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_DECIMAL = re.compile(r"([+-]?\d*)(?:\.(\d+))?", re.ASCII)
_DATE = re.compile(r"(?<!\d)(\d{4})([-/])(\d{1,2})\2(\d{1,2})(?!\d)", re.ASCII)
_LARGEST = 2**62  # neighbours of larger integers could be beyond SQLite's 64 bits
_FRESH_TRIES = 50


def stored(value: Value, affinity: Affinity) -> Value:
    """The value as SQLite stores it in a column of this affinity (datatype3.html, 3 and 3.4)."""
    if isinstance(value, str):
        value = value.encode(errors="replace").decode()
        if affinity in ("text", "blob") or not _NUMBER.fullmatch(value.strip(" \t\n\r\f\v")):
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


def neighbour(value: Value, chance: random.Random) -> Value:
    """A value close to this one: a number or date next to it, a text with a small change."""
    if isinstance(value, str):
        return _near_text(value, chance)
    if isinstance(value, bytes):
        return value[:-1] + bytes([(value[-1] + chance.randint(1, 255)) % 256]) if value else b"\0"
    return moved(value, chance.choice((-1, 1)), chance)


def moved(value: Value, direction: int, chance: random.Random) -> Value:
    """A value that is a little above (`direction` 1) or below (-1), in the same notation."""
    step = direction * chance.choice((1, 1, 1, 2, 3, 10))
    if isinstance(value, int):
        return value + step if abs(value) < _LARGEST else value // 2
    if isinstance(value, float):
        digits = min(len(repr(value).partition(".")[2]), 4) if abs(value) < 1e15 else 0
        return round(value + step * 10.0**-digits, digits)
    if isinstance(value, str):
        return _moved_text(value, step)
    return value


def extended(text: str) -> tuple[str, ...]:
    """The text with something before or behind it, for `LIKE '%text%'`; none of a number or a date."""
    return () if _is_number(text) or _DATE.search(text) else (f"{text}x", f"x{text}", f"{text} x")


def respelled(text: str, chance: random.Random) -> str:
    """The text in another case, or with a blank before or behind it."""
    ways: tuple[Callable[[str], str], ...] = (
        str.lower,
        str.upper,
        str.swapcase,
        str.capitalize,
        lambda one: one + " ",
        lambda one: " " + one,
        str.strip,
    )
    return chance.choice(ways)(text)


class ColumnValues:
    """Draws values for a column; all of them are as SQLite stores them.

    `seen` are those of the source with their repetitions, `wanted` the constants of gold queries. The column
    gets NULLs only if the source has some in it, or no row: a column that never has any seldom means to.
    """

    def __init__(
        self, column: ColumnFacts, seen: Iterable[Value], wanted: Iterable[Value], whole: bool
    ) -> None:
        self.column, self._whole = column, whole
        values = list(seen)
        self.may_be_null = not column.not_null and (None in values or not values)
        self.seen = [value for value in values if value is not None]
        self.wanted = list(dict.fromkeys(self._kept(wanted)))
        self._between = _midpoints(self.wanted)
        # constants with something before or behind them; the columns that refer to this one use the same
        longer = (one for value in self.wanted if isinstance(value, str) for one in extended(value))
        self.extended = list(dict.fromkeys(self._kept(longer)))
        self.is_flag = len(set(self.seen)) <= 2 and len(self.seen) > 3
        self._fresh = 0

    def draw(self, chance: random.Random) -> Value:
        """A value of the source, a constant, or a neighbour of one."""
        if not self.seen and (not self.wanted or chance.random() < 0.5):
            return self.stored(self._invented(chance))
        if self.wanted and (not self.seen or chance.random() < 0.3):
            return self.special(chance)
        return chance.choice(self.seen)

    def special(self, chance: random.Random) -> Value:
        """A constant, or a neighbour of a constant; where there is none, of a value of the source."""
        if self.wanted and chance.random() < 0.5:
            return chance.choice(self.wanted)
        if self._between and chance.random() < 0.3:
            return self.stored(chance.choice(self._between))
        if self.extended and chance.random() < 0.2:
            return chance.choice(self.extended)
        near = self.wanted or self.seen
        return self.near(chance.choice(near), chance) if near else self.stored(self._invented(chance))

    def near(self, value: Value, chance: random.Random) -> Value:
        """A neighbour of the value that the column can hold."""
        return self.stored(neighbour(value, chance))

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

    def stored(self, value: Value) -> Value:
        """The value as the column stores it; 0 for what an INTEGER PRIMARY KEY cannot store."""
        found = stored(value, self.column.affinity)
        return 0 if self._whole and not isinstance(found, int) else found

    def _kept(self, values: Iterable[Value]) -> Iterable[Value]:
        for value in values:
            found = stored(value, self.column.affinity)
            if isinstance(found, int) or not self._whole:
                yield found

    def _next(self, chance: random.Random) -> Value:
        """A value that continues those of the column."""
        self._fresh += 1
        numbers = [value for value in self.seen if isinstance(value, int | float)]
        if numbers and len(numbers) * 2 >= len(self.seen):
            top = max(numbers)
            return self.stored(top + self._fresh if abs(top) < _LARGEST else chance.randint(1, _LARGEST))
        if not self.seen:
            return self.stored(self._invented(chance))
        value = chance.choice(self.seen)
        if isinstance(value, str) and not _is_number(value) and not _DATE.search(value):
            return self.stored(f"{value}{chance.choice(string.ascii_lowercase)}")
        return self.stored(moved(value, chance.choice((-1, 1)) * self._fresh, chance))

    def _invented(self, chance: random.Random) -> Value:
        """A value for a column without rows, by its type and name."""
        kind, name = self.column.type.upper(), self.column.name.lower()
        if self.column.affinity != "integer" and ("DATE" in kind or "date" in name):
            return str(date(2010, 1, 1) + timedelta(days=chance.randint(0, 3000)))
        if "BOOL" in kind:
            return chance.randint(0, 1)
        if self.column.affinity in ("integer", "numeric"):
            return chance.randint(1, 100)
        if self.column.affinity == "real":
            return chance.randint(0, 1000) / 10
        if "BLOB" in kind:
            return chance.randbytes(4)
        return "".join(chance.choice("abcde") for _ in range(3))


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _is_number(text: str) -> bool:
    return bool(_NUMBER.fullmatch(text))


def _moved_text(text: str, step: int) -> str:
    found = _DATE.search(text)
    if found:
        return text[: found.start()] + _moved_date(found, step) + text[found.end() :]
    number = _DECIMAL.fullmatch(text)
    if number and number[1].lstrip("+-"):
        digits = len(number[2] or "")
        scaled = int(number[1] + (number[2] or "")) + step
        sign, figures = "-" if scaled < 0 else "", str(abs(scaled)).zfill(digits + 1)
        point = f".{figures[len(figures) - digits :]}" if digits else ""
        return f"{sign}{figures[: len(figures) - digits].zfill(len(number[1]))}{point}"
    at = len(text) - 1
    return text[:at] + chr(max(ord(text[at]) + step, 33)) if text else "a"


def _moved_date(found: re.Match[str], step: int) -> str:
    year, sign, month, day = found.groups()
    try:
        new = date(int(year), int(month), int(day)) + timedelta(days=step)
    except (ValueError, OverflowError):  # not a day, such as 2014-00-00
        return found[0]
    return f"{new.year:04}{sign}{str(new.month).zfill(len(month))}{sign}{str(new.day).zfill(len(day))}"


def _near_text(text: str, chance: random.Random) -> str:
    if _is_number(text) or _DATE.search(text):
        return _moved_text(text, chance.choice((-1, 1)) * chance.choice((1, 1, 2, 30, 365)))
    letter = chance.choice(string.ascii_lowercase)
    at = chance.randrange(len(text)) if text else 0
    return chance.choice(
        (
            text[:at] + letter + text[at + 1 :],
            text[:at] + text[at + 1 :],
            text + letter,
            letter + text,
            respelled(text, chance),
        )
    )


def _midpoints(values: Sequence[Value]) -> list[Value]:
    """The midpoints between adjacent numbers."""
    numbers = sorted(value for value in values if isinstance(value, int | float) and abs(value) < _LARGEST)
    both = pairwise(numbers)
    return [
        (low + high) // 2 if isinstance(low, int) and isinstance(high, int) else (low + high) / 2
        for low, high in both
    ]
