"""BIRD's comparisons of two results: EX and Soft F1. Their quirks are listed in bird/__init__.py."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from text2sql.evaluation.execution.sandbox import Row


def same_set(gold: Sequence[Row], predicted: Sequence[Row]) -> bool:
    """EX: whether both results have the same rows, however often and in whatever order."""
    return set(gold) == set(predicted)


def soft_f1(gold: Sequence[Row], predicted: Sequence[Row]) -> float:
    """Soft F1, from 0 to 1: the values that rows at the same place share, once repeated rows are dropped."""
    if not gold or not predicted:
        return float(not gold and not predicted)
    shared = only_predicted = only_gold = 0.0
    for gold_row, predicted_row in zip_longest(dict.fromkeys(gold), dict.fromkeys(predicted)):
        if gold_row is None:
            only_predicted += 1
        elif predicted_row is None:
            only_gold += 1
        else:
            found = sum(value in gold_row for value in predicted_row)
            shared += found / len(gold_row)
            only_predicted += (len(predicted_row) - found) / len(gold_row)
            only_gold += sum(value not in predicted_row for value in gold_row) / len(gold_row)
    if not shared:
        return 0.0
    precision, recall = shared / (shared + only_predicted), shared / (shared + only_gold)
    return 2 * precision * recall / (precision + recall)
