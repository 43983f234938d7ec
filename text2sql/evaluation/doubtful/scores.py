"""Scores without the rows whose gold is doubtful."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any, get_args

from text2sql.errors import UserError
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


def read_doubtful(path: Path, gold: Path, golds: Sequence[tuple[str, str]]) -> dict[int, tuple[Reason, ...]]:
    """Read the rows with doubtful gold from a file that `text2sql audit-gold --out` wrote.

    `golds` are SQL and db_id of each row of the file `gold`; each row of `path` must be the same, blanks
    aside.

    Raises:
        UserError: the file cannot be read, is another one, or was written for other gold queries.
    """
    from text2sql.evaluation.inputs.layout import read_content

    again = f"write it with `text2sql audit-gold --gold {gold} --db DIR --out FILE.jsonl`"
    if not path.is_file():
        raise UserError(f"{path}: no such file; {again}")
    found: dict[int, tuple[Reason, ...]] = {}
    for entry in read_content(path, "--doubtful", (("reasons",),), lenient=False).entries:
        place, line = f"{path}, {entry.where}", entry.value if isinstance(entry.value, dict) else {}
        if isinstance(line.get("reasons"), dict):
            raise UserError(f"{path}: the summary of audit-gold --json, which names no rows; {again}")
        row, reasons = line.get("row"), line.get("reasons")
        known = isinstance(reasons, list) and all(reason in get_args(Reason) for reason in reasons)
        if type(row) is not int or row < 0 or not known:
            raise UserError(f"{place}: not a row of audit-gold; {again}")
        difference = _difference(row, line, golds)
        if difference:
            raise UserError(f"{place}: {difference} {gold}; {again}")
        if reasons:
            found[row] = tuple(reasons)
    return found


def _difference(row: int, line: Mapping[str, Any], golds: Sequence[tuple[str, str]]) -> str:
    """How a row of audit-gold differs from the gold query of its number; "" if it does not."""
    if row >= len(golds):
        return f"has row {row}, but there are {len(golds)} gold queries in"
    sql, db_id = golds[row]
    named, text = line.get("db_id"), str(line.get("gold"))
    if named != db_id:
        return f"row {row} has the database {named}, but {db_id} in"
    if text.split() != sql.split():
        return f"row {row} has the gold query {shorten(text, 80)!r}, but {shorten(sql, 80)!r} in"
    return ""
