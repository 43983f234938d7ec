"""Chooses the few databases that together tell the most near-misses apart."""

from __future__ import annotations

from collections.abc import Mapping

_DEPTH = 3  # databases that are to tell the same near-miss apart: other wrong queries resemble it
_WORTH = (100, 10, 1)  # of the first, the second and the third of them


def choose(told: Mapping[int, int], already: int, most: int) -> list[int]:
    """The numbers of at most `most` databases, the most useful first.

    `told` has a bit for each near-miss that a database tells apart, by the database's number; `already` has
    those that the original database tells apart. Greedy: each time the database that adds most; a near-miss
    that another one tells apart already counts a tenth, and one that two do a hundredth. Databases that add
    nothing are not chosen.
    """
    levels = [already, *[0] * (_DEPTH - 1)]  # near-misses told apart by at least 1, 2, 3 databases
    chosen: list[int] = []
    left = dict(told)
    while left and len(chosen) < most:
        number = max(left, key=lambda n: (_gain(left[n], levels), -n))
        if not _gain(left[number], levels):
            break
        bits = left.pop(number)
        for level in reversed(range(1, _DEPTH)):
            levels[level] |= bits & levels[level - 1]
        levels[0] |= bits
        chosen.append(number)
    return chosen


def _gain(bits: int, levels: list[int]) -> int:
    gain = 0
    for worth, level in zip(_WORTH, levels, strict=True):
        gain += worth * (bits & ~level).bit_count()
        bits &= level
    return gain
