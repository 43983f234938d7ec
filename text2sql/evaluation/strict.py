"""A strict comparison of results: nothing is forgiven except what the gold query itself leaves open.

Two results are the same if they are the same bag of rows, with the columns in the asked order. Numbers may
differ by a relative 1e-6, but two whole numbers may not. Where the gold query has ORDER BY, the rows are in
an order that it allows: rows with the same sort keys may come in any order. Where it has LIMIT, other rows
with the keys of the last one may take its place (see gold_order.py).

Not covered: numbers that ought to be 0 and are not quite, because the tolerance is relative; two empty
results with other columns, which are the same here; chains of numbers less than the tolerance apart, in
several columns at once, for which the pairing of rows may miss a possible one.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any

from text2sql.evaluation.execution.sandbox import Row
from text2sql.evaluation.gold_order import GoldOrder

TOLERANCE = 1e-6
"""How far two numbers may be apart, relative to the greater one, if one of them has a fraction."""


def strictly_same(
    gold: Sequence[Row],
    predicted: Sequence[Row],
    order: GoldOrder,
    run_ties: Callable[[str], Sequence[Row] | None],
) -> bool:
    """Whether the predicted rows are an answer that the gold query allows.

    `run_ties` runs the query `order.ties`; None: it fails, and then only the gold's own rows in the gold's
    own order are right.
    """
    if len(gold) != len(predicted):
        return False
    if not gold:
        return True
    if len(gold[0]) != len(predicted[0]):
        return False
    if all(map(_same_row, gold, predicted)):
        return True
    if order.any_order:
        return _has_all(gold, predicted)
    if order.ties is None or (order.complete and not _has_all(gold, predicted)):
        return False
    ranked = run_ties(order.ties)
    if ranked is None:
        return False
    blocks = [[row[:-1] for row in block] for _, block in groupby(ranked, key=lambda row: row[-1])]
    # If the gold's own rows are not allowed, the query with the ranks is another query.
    return all(_is_allowed(rows, blocks, order.skipped) for rows in (gold, predicted))


def _is_allowed(rows: Sequence[Row], blocks: Iterable[Sequence[Row]], skipped: int) -> bool:
    """Whether `rows` can follow the first `skipped` rows of the blocks, each of which may be in any order."""
    start, end = 0, skipped + len(rows)
    for block in blocks:
        stop = start + len(block)
        low, high = max(start, skipped), min(stop, end)
        if low < high and not _has_all(block, rows[low - skipped : high - skipped]):
            return False
        start = stop
    return start >= end


def _has_all(offered: Sequence[Row], asked: Sequence[Row]) -> bool:
    """Whether each asked row has a row of its own among those offered; of as many, all have one."""
    if not Counter(asked) - Counter(offered):
        return True
    columns = _columns_with_fractions((*offered, *asked))
    if not columns:
        return False
    near = {column: _neighbours(row[column] for row in (*offered, *asked)) for column in columns}
    there, wanted = _by_neighbours(offered, near), _by_neighbours(asked, near)
    return all(_can_pair(there.get(key, []), rows) for key, rows in wanted.items())


def _can_pair(offered: list[Row], asked: list[Row]) -> bool:
    remaining = iter(sorted(offered))
    return all(any(_same_row(row, other) for other in remaining) for row in sorted(asked))


def _columns_with_fractions(rows: Iterable[Row]) -> list[int]:
    return sorted({index for row in rows for index, value in enumerate(row) if isinstance(value, float)})


def _neighbours(values: Iterable[Any]) -> dict[float, int]:
    """The number of a group for each number; a group is a chain of numbers within the tolerance."""
    numbers = sorted({value for value in values if isinstance(value, int | float)})
    group, groups = 0, {}
    for before, number in zip([None, *numbers], numbers, strict=False):
        group += before is not None and not _are_close(before, number)
        groups[number] = group
    return groups


def _by_neighbours(rows: Iterable[Row], near: dict[int, dict[float, int]]) -> dict[Row, list[Row]]:
    """The numbers of each row that may differ a little, by all that may not."""
    found: defaultdict[Row, list[Row]] = defaultdict(list)
    for row in rows:
        loose = {i for i in near if isinstance(row[i], int | float)}
        key = tuple((near[i][value],) if i in loose else value for i, value in enumerate(row))
        found[key].append(tuple(row[i] for i in sorted(loose)))
    return found


def _same_row(row: Row, other: Row) -> bool:
    return all(map(_same_value, row, other))


def _same_value(value: Any, other: Any) -> bool:
    if isinstance(value, float) or isinstance(other, float):
        return _is_number(value) and _is_number(other) and _are_close(value, other)
    return type(value) is type(other) and bool(value == other)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _are_close(number: float, other: float) -> bool:
    return math.isclose(number, other, rel_tol=TOLERANCE)
