"""The values that a column may have, as its values in the source show: dates of one notation, whole numbers.

Rewritings of a query that are equal on the source's values, such as `born LIKE '2015%'` and
`strftime('%Y', born) = '2015'`, must stay equal on made ones, so no values outside the domain are made.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from typing import Protocol

from text2sql.suites.neighbours import DATE, moved, neighbour
from text2sql.suites.source_rows import Value

_STEPS = (1, 1, 1, 2, 3, 10)
_DATES = ("%Y-%m-%d", "%Y/%m/%d", "%Y-%m", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%Y%m%d")
_TIMES = ("%H:%M:%S", "%H:%M")
_BOTH = tuple(f"{day}{sign}{time}" for day in _DATES[:2] for sign in " T" for time in _TIMES)
_UNITS = {"%S": timedelta(seconds=1), "%M": timedelta(minutes=1), "%H": timedelta(hours=1)}
_DAYS = tuple(timedelta(days=days) for days in (1, 1, 30, 365))
_LEAST_FLAGS = 4  # values that are 0 and 1 alone
_LARGEST_ROUNDED = 2.0**40  # larger REAL values stay as they are
_GRID, _FINEST, _LEVELS = 1 / 8, 2.0**-20, 64


class Domain(Protocol):
    """A set of values of a column, NULL aside. `moved` and `near` may give values outside it."""

    def holds(self, value: Value) -> bool:
        """Whether the value is in the domain."""

    def standing_for(self, value: Value) -> Sequence[Value]:
        """Values of the domain next to one that is not in it; empty if there are none."""

    def moved(self, value: Value, direction: int, chance: random.Random) -> Value:
        """A value a little above (`direction` > 0) or below one of the domain."""

    def near(self, value: Value, chance: random.Random) -> Value:
        """A value that differs a little from one of the domain."""


@dataclass(frozen=True)
class Loose:
    """Any values; REAL ones are multiples of `grid`, a power of two, or in `allowed`. 0: of any digits.

    Sums of the multiples are exact, and so the same in every order of the rows.
    """

    grid: float = 0.0
    allowed: frozenset[Value] = frozenset()

    def holds(self, value: Value) -> bool:
        """Whether the value is on the grid, or not to be on it."""
        if not isinstance(value, float) or not self.grid or not abs(value) < _LARGEST_ROUNDED:
            return True
        return value in self.allowed or value == math.floor(value / self.grid) * self.grid

    def standing_for(self, value: Value) -> Sequence[Value]:
        """The multiples below and above."""
        if not isinstance(value, float):
            return []
        return [math.floor(value / self.grid) * self.grid, math.ceil(value / self.grid) * self.grid]

    def rounded(self, value: Value) -> Value:
        """The multiple that is nearest to a REAL value; other values as they are."""
        if self.holds(value) or not isinstance(value, float):
            return value
        return round(value / self.grid) * self.grid

    def moved(self, value: Value, direction: int, chance: random.Random) -> Value:
        """The next multiples of the grid; other values as `neighbours.moved` does."""
        if not isinstance(value, float) or not self.grid or not abs(value) < _LARGEST_ROUNDED:
            return moved(value, direction, chance)
        at = math.floor(value / self.grid) if direction > 0 else math.ceil(value / self.grid)
        return (at + direction * chance.choice(_STEPS)) * self.grid

    def near(self, value: Value, chance: random.Random) -> Value:
        """As `neighbours.neighbour` does, numbers on the grid."""
        if isinstance(value, int | float):
            return self.moved(value, chance.choice((-1, 1)), chance)
        return neighbour(value, chance)


class Whole:
    """Whole numbers."""

    def holds(self, value: Value) -> bool:
        """Whether the value is an integer."""
        return isinstance(value, int)

    def standing_for(self, value: Value) -> Sequence[Value]:
        """The integers below and above a fraction."""
        fits = isinstance(value, float) and abs(value) < 2**62
        return [math.floor(value), math.ceil(value)] if fits and isinstance(value, float) else []

    def moved(self, value: Value, direction: int, chance: random.Random) -> Value:
        """An integer a little above or below."""
        return moved(value, direction, chance)

    def near(self, value: Value, chance: random.Random) -> Value:
        """An integer beside this one."""
        return neighbour(value, chance)


@dataclass(frozen=True)
class Flags:
    """A few values, such as 0 and 1, and no others."""

    values: tuple[Value, ...]

    def holds(self, value: Value) -> bool:
        """Whether the value is one of them."""
        return any(value == one and type(value) is type(one) for one in self.values)

    def standing_for(self, value: Value) -> Sequence[Value]:
        """None: no flag is next to another value."""
        return []

    def moved(self, value: Value, direction: int, chance: random.Random) -> Value:
        """Any of them."""
        return chance.choice(self.values)

    def near(self, value: Value, chance: random.Random) -> Value:
        """Any of them."""
        return chance.choice(self.values)


@dataclass(frozen=True)
class Moments:
    """Dates, times, or both, in one notation, which `format` is for strftime."""

    format: str

    @cached_property
    def _units(self) -> list[timedelta]:
        return [unit for sign, unit in _UNITS.items() if sign in self.format]

    def holds(self, value: Value) -> bool:
        """Whether the value is a valid date or time in this notation."""
        return isinstance(value, str) and _moment(value, self.format) is not None

    def standing_for(self, value: Value) -> Sequence[Value]:
        """The first and the last moment of a year, month, day, hour; for '2015%' they are of 2015."""
        begun = re.sub(r"\D+$", "", str(value))
        if not begun or isinstance(value, bytes):
            return []
        first = [datetime(1000, 1, 1)]
        last = [datetime(9999, 12, day, 23, 59, 59) for day in (31, 30, 29, 28)]
        found = []
        for moments in (first, last):
            whole = [moment.strftime(self.format) for moment in moments]
            texts = [begun[: len(text)] + text[len(begun) :] for text in whole]
            found += [text for text in texts if self.holds(text)][:1]
        return list(dict.fromkeys(found))

    def moved(self, value: Value, direction: int, chance: random.Random) -> Value:
        """A moment a little later or earlier, in the smallest unit of the notation."""
        unit = [*self._units, timedelta(days=1 if "%d" in self.format else 31)][0]
        return self._plus(value, direction * chance.choice(_STEPS) * unit)

    def near(self, value: Value, chance: random.Random) -> Value:
        """A moment that is seconds to years away."""
        units = [*self._units, *(_DAYS if "%Y" in self.format else ())]
        return self._plus(value, chance.choice((-1, 1)) * chance.choice(_STEPS) * chance.choice(units))

    def _plus(self, value: Value, time: timedelta) -> Value:
        found = _moment(value, self.format) if isinstance(value, str) else None
        try:
            return (found + time).strftime(self.format) if found else value
        except OverflowError:
            return value


@dataclass(frozen=True)
class Digits:
    """Texts of digits, with the same signs between them and about as many digits: '0431', '12.50'."""

    pattern: re.Pattern[str]

    def holds(self, value: Value) -> bool:
        """Whether the value is a text of that form."""
        return isinstance(value, str) and bool(self.pattern.fullmatch(value))

    def standing_for(self, value: Value) -> Sequence[Value]:
        """None: other texts are not near."""
        return []

    def moved(self, value: Value, direction: int, chance: random.Random) -> Value:
        """The number or date next to it; none of a time, or a date that does not begin with the year."""
        return value if _is_moment(value) else moved(value, direction, chance)

    def near(self, value: Value, chance: random.Random) -> Value:
        """The text with another digit."""
        if not isinstance(value, str) or _is_moment(value) or DATE.search(value):
            return self.moved(value, chance.choice((-1, 1)), chance)
        at = chance.choice([at for at, sign in enumerate(value) if sign.isdigit()])
        return value[:at] + chance.choice("0123456789") + value[at + 1 :]


def domain_of(seen: Sequence[Value], declared: str, allowed: Iterable[Value], is_key: bool) -> Domain:
    """The domain of a column with these values, which are not NULL, and this declared type.

    `allowed` are REAL values that are taken as they are. Numbers of a key keep their digits.
    """
    texts = [value for value in seen if isinstance(value, str)]
    if texts and len(texts) == len(seen):
        return _of_texts(texts, declared)
    if not is_key and _is_flag(seen, declared):
        return Flags((0, 1))
    if all(isinstance(value, int) for value in seen) and (seen or "INT" in declared.upper()):
        return Whole()
    return Loose() if is_key else Loose(_grid(seen), frozenset(allowed))


def date_format(texts: Sequence[str]) -> str | None:
    """The notation that all texts are valid dates or times of; None if there is none, or no text."""
    found = (one for one in (*_DATES, *_TIMES, *_BOTH) if all(_moment(text, one) for text in texts))
    return next(found, None) if texts else None


def _of_texts(texts: Sequence[str], declared: str) -> Domain:
    if notation := date_format(texts):
        return Moments(notation)
    distinct = set(texts)
    if "BOOL" in declared.upper() and len(distinct) <= 2:
        return Flags(tuple(sorted(distinct)))
    shapes = {re.sub(r"[0-9]+", "9", text) for text in distinct}
    shape = shapes.pop()
    if shapes or len(distinct) < 2 or "9" not in shape or any(sign.isalpha() for sign in shape):
        return Loose()
    runs = zip(*(re.findall(r"[0-9]+", text) for text in distinct), strict=True)
    numbers = iter([_number_pattern(run) for run in runs])
    return Digits(re.compile("".join(next(numbers) if sign == "9" else re.escape(sign) for sign in shape)))


def _number_pattern(runs: Sequence[str]) -> str:
    """The pattern of digits; without leading zeros where the runs differ in length and none has them."""
    lengths = {len(run) for run in runs}
    least, most = min(lengths), max(lengths)
    if least == most:
        return f"[0-9]{{{most}}}"
    if any(run != "0" and run.startswith("0") for run in runs):
        return f"[0-9]{{{least},{most + 1}}}"
    return f"(?:[1-9][0-9]{{{least - 1},{most}}}|0)"


def _is_flag(seen: Sequence[Value], declared: str) -> bool:
    values = set(seen)
    if not all(isinstance(value, int) for value in values) or not values <= {0, 1}:
        return False
    return "BOOL" in declared.upper() or (len(values) == 2 and len(seen) >= _LEAST_FLAGS)


def _grid(seen: Sequence[Value]) -> float:
    """1/8, or less where all REAL values are small."""
    sizes = [abs(value) for value in seen if isinstance(value, float) and math.isfinite(value)]
    largest, grid = max(sizes, default=0.0), _GRID
    while 0 < largest < grid * _LEVELS and grid > _FINEST:
        grid /= 2
    return grid


def _is_moment(value: Value) -> bool:
    return isinstance(value, str) and bool(set(value) & set("/:")) and not re.match("[0-9]{4}/", value)


@lru_cache(maxsize=100_000)
def _moment(text: str, notation: str) -> datetime | None:
    try:
        found = datetime.strptime(text, notation)
    except ValueError:
        return None
    return found if found.strftime(notation) == text else None
