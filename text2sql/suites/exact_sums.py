"""Whether the sums of a query are the same in every order of the rows.

The sum of floating-point numbers depends on their order only where a partial sum is rounded. None is, if all
numbers are multiples of some 2**-k, and their absolute values add up to less than 2**(53 - k).
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from typing import Final, Literal

from text2sql.suites.source_rows import Value

_FUNCTIONS: Final[tuple[Literal["sum", "total", "avg"], ...]] = ("sum", "total", "avg")
_PREFIX = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)", re.ASCII)
_EXACT, _WHOLE = 2**53, 2**63  # beyond these REAL values are rounded, and a sum of integers fails


class SumLog:
    """What the sums of a connection were computed from; its own functions take the place of SQLite's.

    `rounded` is whether a sum since the last `clear` may depend on the order of the rows.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.rounded = False
        for name in _FUNCTIONS:
            connection.create_window_function(name, 1, partial(_Sum, name, self))

    def clear(self) -> None:
        """Forget the sums so far."""
        self.rounded = False


class _Sum:
    """One sum, total or average; the methods are those that sqlite3 calls."""

    def __init__(self, function: Literal["sum", "total", "avg"], log: SumLog) -> None:
        self._function, self._log = function, log
        self._numbers: list[int | float] = []
        self._added: list[int | float] = []  # also those that were removed again

    def step(self, value: Value) -> None:
        """Add a value; NULL does not count."""
        if value is not None:
            self._numbers.append(_number(value))
            self._added.append(self._numbers[-1])

    def inverse(self, value: Value) -> None:
        """Remove a value, which left the frame of a window."""
        if value is not None:
            self._numbers.remove(_number(value))

    def finalize(self) -> int | float | None:
        """The result for all values."""
        self._log.rounded |= not _is_exact(self._added, self._function)
        return self.value()

    def value(self) -> int | float | None:
        """The result for the values so far."""
        if not self._numbers:
            return 0.0 if self._function == "total" else None
        try:
            found = sum(map(Fraction, self._numbers))
        except OverflowError:  # infinity
            return sum(self._numbers)
        if self._function == "avg":
            return float(found) / len(self._numbers)
        is_whole = all(isinstance(number, int) for number in self._numbers)
        return int(found) if is_whole and self._function == "sum" else float(found)


def _number(value: int | float | str | bytes) -> int | float:
    """The number that SQLite adds for a value: of a text what it begins with."""
    if isinstance(value, int | float):
        return value
    found = _PREFIX.match(value if isinstance(value, str) else value.decode(errors="replace"))
    if not found:
        return 0.0
    try:
        return int(found[1]) if found[0].strip() == str(value).strip() else float(found[1])
    except ValueError:
        return float(found[1])


def _is_exact(numbers: Sequence[int | float], function: str) -> bool:
    """Whether no partial sum of the numbers, in any order, is rounded or out of range."""
    if function == "sum" and all(isinstance(number, int) for number in numbers):
        return sum(map(abs, numbers)) < _WHOLE
    try:
        ratios = [number.as_integer_ratio() for number in numbers]
    except (OverflowError, ValueError):  # infinity
        return False
    unit = max(below for _, below in ratios)
    return sum(abs(above) * (unit // below) for above, below in ratios) < _EXACT
