"""What is judged, by which rules, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Case:
    """One prediction beside its gold query; `row` counts from 0."""

    row: int
    db_id: str
    gold: str
    predicted: str
    slice: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """What is compared and how far a query may go; the defaults are the official evaluator's.

    `timeout_s` is in seconds and for a whole prediction: all its plugged values, all databases.
    `max_rows` is the number of rows that a query may return. `execute` asks for execution accuracy,
    `plug_values` also for the one with the gold's values plugged in, `match` for exact set match.
    `keep_distinct` compares with DISTINCT, `keep_value` leaves the word "value" in predictions,
    which the official evaluator replaces by 1.
    """

    timeout_s: float = 10.0
    max_rows: int = 100_000
    execute: bool = True
    plug_values: bool = False
    match: bool = False
    keep_distinct: bool = False
    keep_value: bool = False


@dataclass(frozen=True, slots=True)
class PartCount:
    """One component of exact set match: how many items the gold has, the prediction has, and share."""

    gold: int
    predicted: int
    shared: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome for one case; what was not asked for, or could not be told, is null.

    `ex`: execution accuracy on the database db_id/db_id.sqlite; `ts`: on every database in its
    folder, where there are several. `ex_plug`, `ts_plug`: the same with the gold's values plugged
    in. `em`: exact set match, `parts` its components by their official names. `hardness` is null
    where the gold cannot be parsed. `error` is the class of the prediction's failure (see
    `sandbox.ErrorKind`) and `message` what SQLite said; an `error` that starts with "gold: " says
    that the gold itself failed, and then the case counts nowhere. `seconds`: time for the prediction.
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
    parts: Mapping[str, PartCount] | None = None
    error: str | None = None
    message: str | None = None
    seconds: float = 0.0

    @property
    def gold_failed(self) -> bool:
        """Whether the gold query gave no result, so that nothing can be said of the prediction."""
        return self.error is not None and self.error.startswith("gold: ")


def as_row(verdict: Verdict) -> dict[str, Any]:
    """Return the verdict as a JSON row without `seconds` and `parts`: the same on every machine."""
    row = asdict(verdict)
    del row["seconds"], row["parts"]
    return row
