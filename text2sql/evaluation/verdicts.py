"""A case to judge, and the verdict on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from text2sql.evaluation.settings import METRICS, SPIDER_METRICS

NO_GOLD = "no_gold"
"""The `error` of a question without a gold query."""

NO_MATCH = "no exact match: "
"""Begins the part of a `message` that says why `em` is null."""

GOLD_UNREADABLE = NO_MATCH + "the gold query is outside its grammar"


@dataclass(frozen=True, slots=True)
class Case:
    """One prediction with its gold query; `row` counts from 0, `question_id` is what the input calls it."""

    row: int
    db_id: str
    gold: str
    predicted: str
    slice: str = ""
    question_id: str | int | None = None


@dataclass(frozen=True, slots=True)
class PartCount:
    """One component of exact set match: the number of items in the gold, in the prediction, in both."""

    gold: int
    predicted: int
    shared: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result for one case; a field is null if it was not asked for or cannot be decided.

    `ex`: execution accuracy on the database db_id/db_id.sqlite; `ts`: on every database in that folder
    and of a made suite, if there are others. `ex_plug`, `ts_plug`: the same with the gold's values plugged
    in. `em`: exact set match, `parts` its components by their official names. `bird_ex` and `soft_f1` (0 to
    1) are BIRD's, `r_ves` the square root of its reward for speed (0 to 1.118), `strict` is ours: these are
    of the queries as written, on db_id/db_id.sqlite. `hardness` is null if the gold cannot be parsed.
    `error` is the class of the prediction's failure (see `sandbox.ErrorKind`) and `message` is SQLite's
    message; it also says why `em` is null (from `NO_MATCH` on), or that time for plugging values in ran out,
    so that `ex_plug` or `ts_plug` is false. An error that starts with "gold: " means that the gold query
    itself failed: the case is then in no score. `no_gold` means that the question has no gold query, so that
    nothing was run. `seconds`: time for the prediction. `notes` are the names of what else is to be said,
    sorted (see `notes.NOTES`); they change no verdict.
    """

    row: int
    db_id: str
    slice: str
    hardness: str | None
    ex: bool | None = None
    ex_plug: bool | None = None
    ts: bool | None = None
    ts_plug: bool | None = None
    em: bool | None = None
    bird_ex: bool | None = None
    soft_f1: float | None = None
    r_ves: float | None = None
    strict: bool | None = None
    parts: Mapping[str, PartCount] | None = None
    error: str | None = None
    message: str | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def gold_failed(self) -> bool:
        """Whether the gold query failed, so that the prediction cannot be judged."""
        return self.error is not None and self.error.startswith("gold: ")

    @property
    def without_gold(self) -> bool:
        """Whether there is no gold query, so that the prediction was not run."""
        return self.error == NO_GOLD


def without_gold(row: int, db_id: str, slice: str = "") -> Verdict:
    """Return the verdict on a question that has no gold query."""
    return Verdict(row, db_id, slice, None, error=NO_GOLD)


def as_row(verdict: Verdict) -> dict[str, Any]:
    """Return the verdict as a JSON row without `seconds` and `parts`.

    It is the same on every machine, but for `r_ves`. Of the metrics that are not Spider's the row has those
    that were computed.
    """
    row = asdict(verdict)
    del row["seconds"], row["parts"]
    optional = set(METRICS) - set(SPIDER_METRICS)
    return {name: value for name, value in row.items() if value is not None or name not in optional}
