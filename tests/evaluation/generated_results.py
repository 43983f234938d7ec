"""Generated pairs of results, of which many are alike: for the comparisons of results."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

Row = tuple[Any, ...]
Rows = list[Row]

VALUES: tuple[Any, ...] = (None, 0, 1, 1.0, 2, 0.5, -3.25, float("inf"), "1", "a", "A", "", b"a", b"\x00\xff")


def generated_pairs(count: int, seed: int) -> Iterator[tuple[Rows, Rows]]:
    """Yield pairs of a gold and a predicted result, up to 5 rows of up to 3 columns; the same for a seed."""
    draw = random.Random(seed)
    for _ in range(count):
        gold = _result(draw, draw.randint(1, 3))
        yield gold, _changed(draw, gold)


def _result(draw: random.Random, columns: int) -> Rows:
    values = draw.sample(VALUES, draw.randint(1, 5))
    return [tuple(draw.choice(values) for _ in range(columns)) for _ in range(draw.randint(0, 5))]


def _changed(draw: random.Random, gold: Rows) -> Rows:
    rows = list(gold)
    for _ in range(draw.randint(0, 2)):
        rows = draw.choice((_shuffled, _repeated, _shortened, _edited, _swapped, _other, _typed))(draw, rows)
    return rows


def _shuffled(draw: random.Random, rows: Rows) -> Rows:
    return draw.sample(rows, len(rows))


def _repeated(draw: random.Random, rows: Rows) -> Rows:
    return rows + draw.choices(rows, k=2) if rows else rows


def _shortened(draw: random.Random, rows: Rows) -> Rows:
    return rows[: draw.randint(0, len(rows))]


def _edited(draw: random.Random, rows: Rows) -> Rows:
    place = draw.randrange(len(rows)) if rows else 0
    return [
        *rows[:place],
        *((draw.choice(VALUES), *row[1:]) for row in rows[place : place + 1]),
        *rows[place + 1 :],
    ]


def _swapped(draw: random.Random, rows: Rows) -> Rows:
    return [row[::-1] for row in rows]


def _other(draw: random.Random, rows: Rows) -> Rows:
    return _result(draw, draw.randint(1, 4))


def _typed(draw: random.Random, rows: Rows) -> Rows:
    return [tuple(float(value) if type(value) is int else value for value in row) for row in rows]
