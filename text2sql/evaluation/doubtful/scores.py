"""Scores without the rows whose gold is doubtful."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from text2sql.evaluation.doubtful.reasons import Reason, in_order
from text2sql.evaluation.scores import METRICS, Scores
from text2sql.evaluation.verdicts import Verdict

Doubtful = Mapping[int, Sequence[Reason]]
"""The reasons of each row with doubtful gold."""


class WithoutDoubtful:
    """Adds up the verdicts of rows that are not in `doubtful`, one at a time."""

    def __init__(self, doubtful: Doubtful) -> None:
        self._doubtful = doubtful
        self._scores = Scores()
        self._left_out: Counter[Reason] = Counter()
        self._rows = 0

    @property
    def left_out(self) -> int:
        """The number of verdicts that are in the first score, and not in this one."""
        return self._rows

    def add(self, verdict: Verdict) -> None:
        """Count one verdict; one that is in no score at all counts here neither."""
        if verdict.without_gold or verdict.gold_failed:
            return
        reasons = self._doubtful.get(verdict.row, ())
        if not reasons:
            self._scores.add(verdict)
            return
        self._rows += 1
        self._left_out.update(reasons)

    def table(self) -> dict[str, Any]:
        """Percent by class of each metric with n and interval, and the left-out rows by reason.

        A row with several reasons counts for each. Keys as in `Scores.table`.
        """
        table = self._scores.table()
        keys = [
            *METRICS,
            *("ci95" if metric == "ex" else f"{metric}_ci95" for metric in METRICS),
            *("n", *(f"{metric}_n" for metric in METRICS)),
        ]
        rows = {reason: self._left_out[reason] for reason in in_order(self._left_out)}
        return {**{key: table[key] for key in keys if key in table}, "rows": rows}
