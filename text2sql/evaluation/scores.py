"""From verdicts to percentages, with what says how far to trust them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from text2sql.evaluation.hardness import HARDNESS

CLASSES: tuple[str, ...] = ("all", *HARDNESS)

_Z95 = 1.959963984540054  # 97.5 % point of the normal distribution


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome for one test question.

    `ex` says whether the prediction's result is the gold's; `error` is the class of the
    prediction's failure (see `sandbox.ErrorKind`) or null. If the gold itself fails, `ex` and
    `hardness` are null and `error` is "gold: " and the class of its failure.
    """

    row: int
    db_id: str
    slice: str
    hardness: str | None
    ex: bool | None
    error: str | None


def score_table(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Return the scores of one arm, in percent to one decimal.

    Keys: `ex`, `n` and `ci95` by class (all, easy, medium, hard, extra; null where n is 0),
    `errors` of predictions by kind, `slices` (execution accuracy, only if there are several slices)
    and `gold_failures`, the rows whose gold fails. Those are in no other number.
    """
    judged = [verdict for verdict in verdicts if verdict.ex is not None]
    groups = {name: _right(judged, name) for name in CLASSES}
    table: dict[str, Any] = {
        "ex": {name: _percent(right) for name, right in groups.items()},
        "n": {name: len(right) for name, right in groups.items()},
        "ci95": {name: _interval(right) for name, right in groups.items()},
        "errors": dict(sorted(Counter(v.error for v in judged if v.error).items())),
    }
    slices = sorted({verdict.slice for verdict in verdicts})
    if len(slices) > 1:
        table["slices"] = {name: _percent(_right_of_slice(judged, name)) for name in slices}
    table["gold_failures"] = [verdict.row for verdict in verdicts if verdict.ex is None]
    return table


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """Return the 95 % score interval of a proportion, in percent.

    Source: Wilson 1927, without continuity correction (method 3 in Newcombe 1998,
    https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E).
    ValueError: n is 0, or there are fewer than 0 or more than n successes.
    """
    if n <= 0 or not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n} have no interval")
    share, z2 = successes / n, _Z95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    # Rounding must not push the ends past the proportion or past 0 and 100.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return 100 * low, 100 * high


def mcnemar(a: Iterable[bool], b: Iterable[bool]) -> float:
    """Return the p-value of McNemar's exact two-sided test on paired verdicts of two arms.

    Under the hypothesis that the arms are equally good, each pair that differs is a fair coin
    (McNemar 1947, https://doi.org/10.1007/BF02295996). ValueError: the numbers of verdicts differ.
    """
    pairs = Counter(zip(a, b, strict=True))
    fewer, more = sorted((pairs[True, False], pairs[False, True]))
    tail = sum(math.comb(fewer + more, k) for k in range(fewer + 1))
    return min(1.0, 2 * tail / 2 ** (fewer + more))


def _right(verdicts: Iterable[Verdict], name: str) -> list[bool]:
    return [bool(v.ex) for v in verdicts if name in ("all", v.hardness)]


def _right_of_slice(verdicts: Iterable[Verdict], name: str) -> list[bool]:
    return [bool(v.ex) for v in verdicts if v.slice == name]


def _percent(right: list[bool]) -> float | None:
    return round(100 * sum(right) / len(right), 1) if right else None


def _interval(right: list[bool]) -> dict[str, float] | None:
    if not right:
        return None
    low, high = wilson_interval(sum(right), len(right))
    return {"low": round(low, 1), "high": round(high, 1)}
