"""Turns verdicts into percentages with confidence intervals, and compares arms."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from text2sql.evaluation.settings import MEANS, METRICS, Metric
from text2sql.evaluation.spider.hardness import HARDNESS
from text2sql.evaluation.verdicts import PartCount, Verdict

CLASSES: tuple[str, ...] = ("all", *HARDNESS)

_Z95 = 1.959963984540054  # 97.5 % point of the normal distribution


class Scores:
    """Adds up the verdicts of one arm, one at a time.

    Memory does not grow with their number, except for rows whose gold query fails (row number and message)
    and rows without a hardness (row number). `right_by` is the metric by which rows with a note are right.
    """

    def __init__(self, right_by: Metric = "ex") -> None:
        self._right_by = right_by
        self._rows: Counter[str] = Counter()
        self._metrics: dict[tuple[str, str], _Tally | _Mean] = {}
        self._slices: dict[tuple[str, str], _Tally | _Mean] = {}
        self._parts: defaultdict[tuple[str, str], _Part] = defaultdict(_Part)
        self._errors: Counter[str] = Counter()
        self._notes: defaultdict[str, _Tally] = defaultdict(_Tally)
        self._without_gold = 0
        self._gold_failures: list[int] = []
        self._gold_messages: Counter[str] = Counter()
        self._no_hardness: list[int] = []

    def add(self, verdict: Verdict) -> None:
        """Count one verdict; of one without gold only the number, if its gold query failed only its row."""
        if verdict.without_gold:
            self._without_gold += 1
            return
        if verdict.gold_failed:
            self._gold_failures.append(verdict.row)
            self._gold_messages[str(verdict.message or verdict.error)] += 1
            return
        self._add_to_class("all", verdict)
        if verdict.hardness is None:
            self._no_hardness.append(verdict.row)
        else:
            self._add_to_class(verdict.hardness, verdict)
        if verdict.error is not None:
            self._errors[verdict.error] += 1
        for note in verdict.notes:
            self._notes[note].count(bool(getattr(verdict, self._right_by)))
        self._count(self._slices, verdict, verdict.slice)

    @property
    def without_gold(self) -> int:
        """The number of questions without a gold query."""
        return self._without_gold

    @property
    def with_gold(self) -> int:
        """The number of questions with a gold query, including those whose gold query fails."""
        return self._rows["all"] + len(self._gold_failures)

    def gold_messages(self) -> list[tuple[str, int]]:
        """Return the messages of failing gold queries with their numbers, the commonest first."""
        return self._gold_messages.most_common()

    def table(self) -> dict[str, Any]:
        """Return the scores of the arm, in percent to one decimal.

        By class (all, easy, medium, hard, extra; null where n is 0):
        - `n`, the number of verdicts whose gold query did not fail;
        - of the metrics (`METRICS`, see `Verdict`) those that at least one verdict has, or `ex` if there
          are none;
        - `ci95`, the 95 % interval of ex, and `ex_plug_ci95`, ... of the others: Wilson's, or for `MEANS`
          the normal approximation;
        - `em_n`, ..., the number of verdicts that have a metric, if it is below `n`.

        In addition:
        - `errors` of predictions by kind;
        - if there are several slices, `slices`, ex by slice, and `ex_plug_slices`, ... of the others;
        - `notes`, if there are any, by name (see `notes.NOTES`) `n`, the number of verdicts that have it, and
          `right`, how many of these are right by the metric `right_by`, if that was asked for;
        - `gold_failures`, the rows whose gold query fails, which are in no other number;
        - `no_hardness`, if there are any, the rows that are only in the class all;
        - `without_gold`, if there are any, the number of questions without gold, which are in no other
          number; without other questions the table has only this.
        """
        if self._without_gold and not self.with_gold:
            return {"without_gold": self._without_gold}
        metrics = [metric for metric in METRICS if (metric, "all") in self._metrics] or ["ex"]
        table: dict[str, Any] = {metric: self._percent(metric) for metric in metrics}
        table["n"] = {name: self._rows[name] for name in CLASSES}
        for metric in metrics:
            table["ci95" if metric == "ex" else f"{metric}_ci95"] = self._intervals(metric)
            counts = {name: self._tally(metric, name).n for name in CLASSES}
            if counts != table["n"]:
                table[f"{metric}_n"] = counts
        table["errors"] = dict(sorted(self._errors.items()))
        for metric in metrics:
            tallies = {name: tally for (kind, name), tally in self._slices.items() if kind == metric}
            if len(tallies) > 1:
                shares = {name: tallies[name].percent() for name in sorted(tallies)}
                table["slices" if metric == "ex" else f"{metric}_slices"] = shares
        if self._notes:
            counted = (self._right_by, "all") in self._metrics
            table["notes"] = {name: self._notes[name].counts(counted) for name in sorted(self._notes)}
        table["gold_failures"] = list(self._gold_failures)
        if self._no_hardness:
            table["no_hardness"] = list(self._no_hardness)
        if self._without_gold:
            table["without_gold"] = self._without_gold
        return table

    def partial(self) -> dict[str, dict[str, dict[str, float | None]]]:
        """Return exact set match by component: accuracy, recall and f1, each by component and class.

        Percent to one decimal, null if no verdict of the class has the component; empty without exact set
        match. Counted as in the official script (https://github.com/taoyds/test-suite-sql-eval): a
        component is right as a whole or not at all; accuracy is over the predictions that have it,
        recall over the gold queries that have it, 0 if there are none; f1 is 100 if both are 0.
        """
        components = dict.fromkeys(component for component, _ in self._parts)
        if not components:
            return {}
        return {
            measure: {
                component: {name: self._part(component, name, measure) for name in CLASSES}
                for component in components
            }
            for measure in ("accuracy", "recall", "f1")
        }

    def _add_to_class(self, name: str, verdict: Verdict) -> None:
        self._rows[name] += 1
        self._count(self._metrics, verdict, name)
        for component, count in (verdict.parts or {}).items():
            self._parts[component, name].count(count)

    @staticmethod
    def _count(tallies: dict[tuple[str, str], _Tally | _Mean], verdict: Verdict, name: str) -> None:
        for metric in METRICS:
            value = getattr(verdict, metric)
            if value is not None:
                tallies.setdefault((metric, name), _empty(metric)).count(value)

    def _tally(self, metric: str, name: str) -> _Tally | _Mean:
        return self._metrics.get((metric, name), _empty(metric))

    def _percent(self, metric: str) -> dict[str, float | None]:
        return {name: self._tally(metric, name).percent() for name in CLASSES}

    def _intervals(self, metric: str) -> dict[str, dict[str, float] | None]:
        return {name: self._tally(metric, name).interval() for name in CLASSES}

    def _part(self, component: str, name: str, measure: str) -> float | None:
        part = self._parts.get((component, name))
        return None if part is None else round(100 * part.shares()[measure], 1)


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """Return the 95 % score interval of a proportion, in percent.

    Source: Wilson 1927, without continuity correction (method 3 in Newcombe 1998,
    https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E).

    Raises:
        ValueError: n is 0, or the successes are below 0 or above n.
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

    If the arms are equally good, each pair that differs favours either arm with probability 1/2
    (McNemar 1947, https://doi.org/10.1007/BF02295996).

    Raises:
        ValueError: the numbers of verdicts differ.
    """
    pairs = Counter(zip(a, b, strict=True))
    fewer, more = sorted((pairs[True, False], pairs[False, True]))
    tail = sum(math.comb(fewer + more, k) for k in range(fewer + 1))
    return min(1.0, 2 * tail / 2 ** (fewer + more))


def paired_bootstrap(
    a: Iterable[bool], b: Iterable[bool], resamples: int = 10_000, seed: int = 20_180_924
) -> tuple[float, float]:
    """Return the 95 % percentile interval of the accuracy of `a` less that of `b`, in percentage points.

    The questions are resampled, each with its verdicts on both arms (Efron and Tibshirani 1993,
    "An Introduction to the Bootstrap", chapter 13). Only two counts of a resample matter, the
    questions that one arm alone answers correctly, and they have a multinomial distribution, which is
    sampled directly. The same seed always gives the same interval. Not covered: arms that
    never differ give an interval of width 0, however few questions there are.

    Raises:
        ValueError: the numbers of verdicts differ, or there are no verdicts or no resamples.
    """
    pairs = Counter(zip(a, b, strict=True))
    n = pairs.total()
    if n == 0 or resamples < 1:
        raise ValueError(f"{resamples} resamples of {n} verdicts have no interval")
    only_a, only_b = pairs[True, False], pairs[False, True]
    shares = np.array([only_a, only_b, n - only_a - only_b]) / n
    drawn = np.random.default_rng(seed).multinomial(n, shares, size=resamples)
    low, high = np.quantile(100 * (drawn[:, 0] - drawn[:, 1]) / n, [0.025, 0.975])
    return float(low), float(high)


@dataclass(slots=True)
class _Tally:
    """How many of n are right."""

    right: int = 0
    n: int = 0

    def count(self, right: bool) -> None:
        self.right += right
        self.n += 1

    def counts(self, with_right: bool) -> dict[str, int]:
        return {"n": self.n, "right": self.right} if with_right else {"n": self.n}

    def percent(self) -> float | None:
        return round(100 * self.right / self.n, 1) if self.n else None

    def interval(self) -> dict[str, float] | None:
        if not self.n:
            return None
        low, high = wilson_interval(self.right, self.n)
        return {"low": round(low, 1), "high": round(high, 1)}


@dataclass(slots=True)
class _Mean:
    """The mean of n numbers from 0 to `most` percent."""

    most: float
    n: int = 0
    mean: float = 0.0
    squares: float = 0.0  # of the distances from the mean, added up

    def count(self, value: float) -> None:
        # Welford 1962, https://doi.org/10.1080/00401706.1962.10490022
        self.n += 1
        distance = 100 * value - self.mean
        self.mean += distance / self.n
        self.squares += distance * (100 * value - self.mean)

    def percent(self) -> float | None:
        return round(self.mean, 1) if self.n else None

    def interval(self) -> dict[str, float] | None:
        """The normal approximation, cut off at the ends of the range; of one number the whole range.

        Not covered: a few numbers, for which it is too narrow; equal ones, for which its width is 0.
        """
        if not self.n:
            return None
        half = _Z95 * math.sqrt(self.squares / (self.n - 1) / self.n) if self.n > 1 else self.most
        low, high = max(0.0, self.mean - half), min(self.most, self.mean + half)
        return {"low": round(low, 1), "high": round(high, 1)}


def _empty(metric: str) -> _Tally | _Mean:
    return _Mean(MEANS[metric]) if metric in MEANS else _Tally()


@dataclass(slots=True)
class _Part:
    """How often one component is right, of the predictions and of the golds that have it."""

    predicted: _Tally = field(default_factory=_Tally)
    gold: _Tally = field(default_factory=_Tally)

    def count(self, part: PartCount) -> None:
        right = part.gold == part.predicted == part.shared
        if part.predicted:
            self.predicted.count(right)
        if part.gold:
            self.gold.count(right)

    def shares(self) -> dict[str, float]:
        # max: if nothing was counted, nothing is right, and the share is 0
        accuracy = self.predicted.right / max(1, self.predicted.n)
        recall = self.gold.right / max(1, self.gold.n)
        f1 = 2 * accuracy * recall / (accuracy + recall) if accuracy + recall else 1.0
        return {"accuracy": accuracy, "recall": recall, "f1": f1}
