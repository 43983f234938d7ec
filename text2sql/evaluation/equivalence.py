"""When a predicted result counts as right.

The semantics are those of test-suite accuracy (Zhong et al. 2020,
https://arxiv.org/abs/2010.02840; https://github.com/taoyds/test-suite-sql-eval) on one database:
two results are the same if some order of the columns makes them the same bag of rows, or the same
list where the gold has ORDER BY. DISTINCT is dropped from both queries unless kept on purpose.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any

Row = tuple[Any, ...]

# Literals, quoted names and comments come first, so that nothing inside them is touched. Each runs
# on to the end of the text where its closing mark is missing.
_PIECE = re.compile(
    r"""
    (?P<verbatim> '(?:[^']|'')*'? | "(?:[^"]|"")*"? | `[^`]*`? | \[[^\]]*\]?
                | --[^\n]* | /\*.*?(?:\*/|\Z) )
  | (?P<distinct> \bdistinct\b (?!\s+from\b) )
  | (?P<operator> [<>!][ ]= )
  | (?P<year>     \byear\s*\(\s*curdate\s*\(\s*\)\s*\) )
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_ORDER_BY = re.compile(r"order\s+by", re.IGNORECASE)


def normalise_sql(sql: str, keep_distinct: bool = False) -> str:
    """Make of a gold or predicted query what the official evaluator would run.

    It departs from the official script in this: text in quotes stays as it is, `IS DISTINCT FROM`
    stays whole, semicolons at the end may be several, all statements are kept (so that several are
    refused) instead of the first, and the word `value` does not become 1 (a column may be called
    that). None of it turns a verdict in tests/conformance.
    """

    def replace(match: re.Match[str]) -> str:
        match match.lastgroup:
            case "distinct" if not keep_distinct:
                # Annotators use DISTINCT inconsistently; questions seldom say whether it is meant.
                return ""
            case "operator":
                # Some models emit SQL as tokens with blanks between them, which SQLite refuses.
                return match.group().replace(" ", "")
            case "year":
                # MySQL's current year: SQLite lacks it, and the answer would change every January.
                return "2020"
        return match.group()

    return _PIECE.sub(replace, sql).rstrip("; \t\r\n")


def order_matters(gold: str) -> bool:
    """Whether the gold query has ORDER BY, be it in a subquery only (the official rule)."""
    return bool(_ORDER_BY.search(gold))


def same_result(gold_rows: Sequence[Row], predicted_rows: Sequence[Row], order_matters: bool) -> bool:
    """Whether some order of the columns makes the two results the same.

    Values compare as in Python: 1 equals 1.0 and differs from '1'; NULL equals NULL. Two empty
    results are the same whatever their columns.
    """
    if len(gold_rows) != len(predicted_rows):
        return False
    if not gold_rows:
        return True
    if len(gold_rows[0]) != len(predicted_rows[0]):
        return False
    gold, predicted = list(zip(*gold_rows, strict=True)), list(zip(*predicted_rows, strict=True))
    if order_matters:
        return Counter(gold) == Counter(predicted)
    return _same_bag(gold, predicted)


def _same_bag(gold: list[Row], predicted: list[Row]) -> bool:
    """Find an order of `predicted` (columns) that makes it the same bag of rows as `gold`.

    The search gives the gold columns their partners one by one. Two things keep it from trying n!
    orders: a partner must have the same fingerprint, and after each step the rows so far must be
    the same bag. Not covered: results made to be symmetrical in all columns, which no fingerprint
    tells apart; they can still take time exponential in the number of columns.
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
    """What no order of rows or columns changes in a column: its values, each with its row's bag."""
    bags = [frozenset(Counter(row).items()) for row in zip(*columns, strict=True)]
    return [frozenset(Counter(zip(column, bags, strict=True)).items()) for column in columns]


def _bags_of_prefixes(columns: list[Row], numbers: dict[Hashable, int]) -> list[Counter[int]]:
    """For each column the bag of rows cut off behind it."""
    prefixes, bags = [0] * len(columns[0]), []
    for column in columns:
        prefixes = _extend(prefixes, column, numbers)
        bags.append(Counter(prefixes))
    return bags


def _extend(prefixes: list[int], column: Row, numbers: dict[Hashable, int]) -> list[int]:
    """Lengthen every row by a value. Equal rows have equal numbers, which `numbers` keeps."""
    pairs = zip(prefixes, column, strict=True)
    return [numbers.setdefault(pair, len(numbers) + 1) for pair in pairs]
