"""Scores without the rows whose gold is doubtful."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from text2sql.errors import UserError
from text2sql.evaluation.doubtful.reasons import Reason, in_order
from text2sql.evaluation.scores import METRICS, Scores
from text2sql.evaluation.verdicts import Verdict
from text2sql.files import read_jsonl

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
        """Percent by class of each metric but those of plugged values, `n`, and left-out rows by reason.

        A row with several reasons counts for each. Keys as in `Scores.table`.
        """
        table = self._scores.table()
        shown = [name for name in METRICS if name in table and not name.endswith("_plug")]
        rows = {reason: self._left_out[reason] for reason in in_order(self._left_out)}
        return {**{name: table[name] for name in shown}, "n": table["n"], "rows": rows}


def read_doubtful(path: Path) -> dict[int, tuple[Reason, ...]]:
    """Read the rows with doubtful gold from a file that `text2sql audit-gold --out` wrote.

    Raises:
        UserError: the file cannot be read, or is another one.
    """
    again = "write it with `text2sql audit-gold --gold FILE --db DIR --out FILE.jsonl`"
    found: dict[int, tuple[Reason, ...]] = {}
    for number, line in enumerate(read_jsonl(path), 1):
        row, reasons = line.get("row"), line.get("reasons")
        known = isinstance(reasons, list) and all(reason in get_args(Reason) for reason in reasons)
        if type(row) is not int or not known:
            raise UserError(f"{path}, record {number}: not a row of audit-gold; {again}")
        if reasons:
            found[row] = tuple(reasons)
    return found
