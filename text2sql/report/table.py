"""The arms side by side: one table for people, one flat summary and one plot file for tools.

What is read here was written by the evaluation; nothing is scored again. All arms must have been
judged on the same test questions, because a paired test between different ones means nothing.
Not covered: that metrics/ARM.json was made from these very verdicts, beyond their number.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from text2sql.evaluation.scores import mcnemar
from text2sql.records import UserError, read_json, read_jsonl, replacing

LEVELS = ("easy", "medium", "hard", "extra", "all")
REFERENCE = "baseline"


@dataclass(frozen=True)
class ArmScores:
    """One arm: execution accuracy in percent by hardness and by slice, and a verdict a question.

    `ex`, `n` (number of questions) and `ci95` (low and high ends in percent) are keyed by hardness,
    `slices` by slice. `rows` are the judged questions in the order of `verdicts` (True: right),
    `unjudged` those whose gold SQL fails, which are in no score. `evaluator` says what judged.
    """

    name: str
    ex: dict[str, float | None]
    n: dict[str, int]
    ci95: dict[str, Any]
    slices: dict[str, float | None]
    rows: tuple[int, ...]
    verdicts: tuple[bool, ...]
    unjudged: tuple[int, ...]
    evaluator: dict[str, Any]


@dataclass(frozen=True)
class LossHistory:
    """First and last logged training loss of an arm (nats a token), and its number of steps."""

    arm: str
    steps: int
    first: float
    last: float


def read_scores(arms: Sequence[str], metrics: Path, verdicts: Path) -> list[ArmScores]:
    """Read metrics/ARM.json and verdicts/ARM.jsonl of every arm, in the order given.

    UserError: a file is missing or lacks a field, or two arms were judged on different questions
    or by different evaluators.
    """
    scores = [_read_arm(arm, metrics / f"{arm}.json", verdicts / f"{arm}.jsonl") for arm in arms]
    for other in scores[1:]:
        again = f"`dvc repro --force --single-item evaluate@{scores[0].name} evaluate@{other.name}`"
        if other.rows != scores[0].rows:
            path = verdicts / f"{other.name}.jsonl"
            raise UserError(f"{path}: judges {_difference(other, scores[0])}; {again}")
        if other.evaluator != scores[0].evaluator:
            path = metrics / f"{other.name}.json"
            raise UserError(f"{path}: another evaluator than {scores[0].name}'s; {again}")
    return scores


def read_losses(arms: Sequence[str], folder: Path) -> list[LossHistory]:
    """Read train_ARM.csv (step, loss, ...) of the arms that have one; the others were not trained.

    UserError: a file has no rows, or a row without a number for step or loss.
    """
    paths = [(arm, folder / f"train_{arm}.csv") for arm in arms]
    return [_read_loss(arm, path) for arm, path in paths if path.is_file()]


def summary(scores: Sequence[ArmScores]) -> dict[str, float | None]:
    """Execution accuracy over all questions, in percent, by arm: few columns for `dvc exp show`."""
    return {arm.name: arm.ex["all"] for arm in scores}


def write_accuracy_by_hardness(path: Path, scores: Sequence[ArmScores]) -> None:
    """Write arm, hardness, ex (percent) and the bar's name for every level that has questions.

    DVC's bar template takes one column for the names of the bars, so `bar` joins arm and hardness.
    """
    with replacing(path) as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["arm", "hardness", "ex", "bar"])
        for arm in scores:
            rows.writerows(
                [arm.name, level, ex, f"{arm.name}: {level}"]
                for level in LEVELS
                if (ex := arm.ex.get(level)) is not None
            )


def page(scores: Sequence[ArmScores], losses: Sequence[LossHistory] = ()) -> str:
    """The Markdown page: accuracy by hardness, McNemar's test, then slices and training if any."""
    parts = ["# Execution accuracy", "", *_accuracy(scores), "", *_notes(scores)]
    if len(scores) > 1:
        parts += ["", "## McNemar p of every two arms", "", *_pairs(scores)]
    if any(arm.slices for arm in scores):
        parts += ["", "## By slice of the test", "", *_slices(scores)]
    if losses:
        parts += ["", "## Training", "", *_training(losses)]
    return "\n".join(parts) + "\n"


def _read_arm(arm: str, metrics: Path, verdicts: Path) -> ArmScores:
    again = f"`dvc repro evaluate@{arm}`"
    for path in (metrics, verdicts):
        if not path.is_file():
            raise UserError(f"{path}: no such file; {again}")
    values, rows = read_json(metrics), list(read_jsonl(verdicts))
    try:
        judged = [row for row in rows if row["ex"] is not None]
        scores = ArmScores(
            name=arm,
            ex={level: values["ex"].get(level) for level in LEVELS},
            n=values["n"],
            ci95=values["ci95"],
            slices=values.get("slices") or {},
            rows=tuple(row["row"] for row in judged),
            verdicts=tuple(row["ex"] for row in judged),
            unjudged=tuple(row["row"] for row in rows if row["ex"] is None),
            evaluator=values["evaluator"],
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{metrics} or {verdicts}: missing or malformed field {error}; {again}") from error
    if len(judged) != scores.n.get("all"):
        counts = f"{len(judged)} verdicts, but {metrics} counts {scores.n.get('all')}"
        raise UserError(f"{verdicts}: {counts}; {again}")
    return scores


def _difference(other: ArmScores, first: ArmScores) -> str:
    rows = sorted(set(other.rows) ^ set(first.rows))
    if not rows:
        return f"the test questions in another order than {first.name}'s"
    return f"other test questions than {first.name}'s (row {rows[0]}, {len(rows)} in all)"


def _read_loss(arm: str, path: Path) -> LossHistory:
    again = f"`dvc repro --force --single-item train_{arm}`"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise UserError(f"{path}: no loss was logged; {again}")
    try:
        first, last = float(rows[0]["loss"]), float(rows[-1]["loss"])
        return LossHistory(arm, int(rows[-1]["step"]), first, last)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}, line 2 or {len(rows) + 1}: no number for step or loss; {again}") from error


def _accuracy(scores: Sequence[ArmScores]) -> Iterator[str]:
    counts = scores[0].n
    heads = [f"{level} (n={counts.get(level, 0)})" for level in LEVELS]
    yield from _header("arm", *heads, "95 % interval of all", f"p against {REFERENCE}")
    reference = next((arm for arm in scores if arm.name == REFERENCE), None)
    for arm in scores:
        cells = [_percent(arm.ex[level]) for level in LEVELS]
        yield _row(arm.name, *cells, _interval(arm), _p_value(arm, reference))


def _notes(scores: Sequence[ArmScores]) -> Iterator[str]:
    first = scores[0]
    yield f"Percent of {first.n['all']} questions whose predicted SQL returns what the gold does."
    yield "p: McNemar's exact test, two-sided, paired by question; not corrected for many arms."
    if first.evaluator:
        settings = (f"{key} {json.dumps(value)}" for key, value in first.evaluator.items())
        yield f"Evaluator: {', '.join(settings)}."
    if first.unjudged:
        rows = ", ".join(str(row) for row in first.unjudged)
        yield f"Not scored, because the gold SQL itself fails: test rows {rows}."


def _pairs(scores: Sequence[ArmScores]) -> Iterator[str]:
    yield from _header("", *(arm.name for arm in scores[:-1]))
    for index, arm in enumerate(scores[1:], 1):
        cells = [_p_value(arm, other) for other in scores[:index]]
        yield _row(arm.name, *cells, *[""] * (len(scores) - 1 - index))


def _slices(scores: Sequence[ArmScores]) -> Iterator[str]:
    names = list(dict.fromkeys(name for arm in scores for name in arm.slices))
    yield from _header("arm", *names)
    for arm in scores:
        yield _row(arm.name, *(_percent(arm.slices.get(name)) for name in names))


def _training(losses: Sequence[LossHistory]) -> Iterator[str]:
    yield from _header("arm", "steps", "first loss", "last loss")
    for arm in losses:
        yield _row(arm.arm, str(arm.steps), f"{arm.first:.4f}", f"{arm.last:.4f}")


def _header(*cells: str) -> list[str]:
    return [_row(*cells), _row("---", *["---:"] * (len(cells) - 1))]


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _interval(arm: ArmScores) -> str:
    ends = arm.ci95.get("all")
    return f"{ends['low']:.1f} to {ends['high']:.1f}" if ends else "–"


def _p_value(arm: ArmScores, other: ArmScores | None) -> str:
    if other is None or other is arm:
        return "–"
    p = mcnemar(other.verdicts, arm.verdicts)
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}"
