"""When a predicted result counts as right.

The semantics are those of test-suite accuracy (Zhong et al. 2020,
https://arxiv.org/abs/2010.02840; https://github.com/taoyds/test-suite-sql-eval) on one database:
two results are the same if some order of the columns makes them the same bag of rows, or the same
list if the gold query has ORDER BY.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from itertools import chain
from typing import Any

Row = tuple[Any, ...]


def same_result(gold_rows: Sequence[Row], predicted_rows: Sequence[Row], order_matters: bool) -> bool:
    """Whether some order of the columns makes the two results the same.

    Values compare as in Python: 1 equals 1.0 and differs from '1'; NULL equals NULL. Two empty
    results are the same, whatever their columns. The official evaluator's early rejection is kept
    (see the quirks in spider/__init__.py).
    """
    if len(gold_rows) != len(predicted_rows):
        return False
    if not gold_rows:
        return True
    if len(gold_rows[0]) != len(predicted_rows[0]):
        return False
    same = _same_list if order_matters else _same_bag
    if gold_rows != predicted_rows and not same(gold_rows, predicted_rows):
        return False
    return not _rejected_early(gold_rows, predicted_rows, order_matters)


def _rejected_early(gold: Sequence[Row], predicted: Sequence[Row], order_matters: bool) -> bool:
    """Whether two equal results differ once the values of each row are sorted by their text.

    A whole number's place in that order depends on whether it is written 1 or 1.0, so equal results
    can only differ if they have such floats, in rows of several values.
    """
    if len(gold[0]) == 1 or not (_has_whole_float(gold) or _has_whole_float(predicted)):
        return False
    sorted_gold, sorted_predicted = map(_in_order_of_text, gold), map(_in_order_of_text, predicted)
    if order_matters:
        return list(sorted_gold) != list(sorted_predicted)
    return set(sorted_gold) != set(sorted_predicted)


def _has_whole_float(rows: Sequence[Row]) -> bool:
    if float not in set(map(type, chain.from_iterable(rows))):
        return False
    return any(type(value) is float and value.is_integer() for row in rows for value in row)


def _in_order_of_text(row: Row) -> Row:
    return tuple(sorted(row, key=lambda value: f"{value}{type(value)}"))


def _same_list(gold: Sequence[Row], predicted: Sequence[Row]) -> bool:
    return Counter(zip(*gold, strict=True)) == Counter(zip(*predicted, strict=True))


def _same_bag(gold_rows: Sequence[Row], predicted_rows: Sequence[Row]) -> bool:
    if Counter(gold_rows) == Counter(predicted_rows):
        return True
    gold, predicted = list(zip(*gold_rows, strict=True)), list(zip(*predicted_rows, strict=True))
    # For most wrong results the values of the columns alone already differ.
    return Counter(map(_bag, gold)) == Counter(map(_bag, predicted)) and _can_pair(gold, predicted)


def _can_pair(gold: list[Row], predicted: list[Row]) -> bool:
    """Whether some order of the columns `predicted` makes it the same bag of rows as `gold`.

    The search pairs the gold columns with predicted columns one by one. Two conditions avoid trying
    all n! orders: paired columns must have the same fingerprint, and after each step the rows so far
    must be the same bag. Not covered: results built to be symmetrical in all columns, whose
    fingerprints are all equal; they can still take time exponential in the number of columns.
    """
    gold_prints, predicted_prints = _fingerprints(gold), _fingerprints(predicted)
    if Counter(gold_prints) != Counter(predicted_prints):
        return False
    numbers: dict[Hashable, int] = {}
    targets = _bags_of_prefixes(gold, numbers)
    open_ends: list[tuple[list[int], frozenset[int]]] = [([0] * len(gold[0]), frozenset())]
    while open_ends:
        prefixes, used = open_ends.pop()
        if len(used) == len(gold):
            return True
        wanted, target = gold_prints[len(used)], targets[len(used)]
        tried = set()
        for index, column in enumerate(predicted):
            if index in used or predicted_prints[index] != wanted or column in tried:
                continue
            tried.add(column)  # of equal columns one is enough
            longer = _extend(prefixes, column, numbers)
            if Counter(longer) == target:
                open_ends.append((longer, used | {index}))
    return False


def _fingerprints(columns: list[Row]) -> list[Hashable]:
    """For each column, what no reordering of rows or columns changes: its values, each with its row's bag."""
    bags = [_bag(row) for row in zip(*columns, strict=True)]
    return [_bag(zip(column, bags, strict=True)) for column in columns]


def _bag(values: Iterable[Hashable]) -> frozenset[tuple[Hashable, int]]:
    return frozenset(Counter(values).items())


def _bags_of_prefixes(columns: list[Row], numbers: dict[Hashable, int]) -> list[Counter[int]]:
    """For each column, the bag of rows cut off after it."""
    prefixes, bags = [0] * len(columns[0]), []
    for column in columns:
        prefixes = _extend(prefixes, column, numbers)
        bags.append(Counter(prefixes))
    return bags


def _extend(prefixes: list[int], column: Row, numbers: dict[Hashable, int]) -> list[int]:
    """Add a value to every row. `numbers` gives equal rows equal numbers."""
    pairs = zip(prefixes, column, strict=True)
    return [numbers.setdefault(pair, len(numbers) + 1) for pair in pairs]
