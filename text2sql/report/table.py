"""Compares the arms on one test set: a Markdown page, a flat summary, pairs; and reads the loss histories."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from text2sql.errors import UserError
from text2sql.evaluation.scores import mcnemar, paired_bootstrap
from text2sql.report.markdown import ABSENT, percent, plain, with_interval
from text2sql.report.scores import LEVELS, OTHER_METRICS, ArmScores

REFERENCE = "baseline"
DIFFERENCE_NOTE = (
    "Difference: percentage points, with the 95 % interval of a bootstrap over questions, paired."
)
P_NOTE = "p: McNemar's exact test, two-sided, paired by question; not corrected for multiple comparisons."


@dataclass(frozen=True)
class Pair:
    """Two arms on the same questions: accuracy of `a` minus that of `b`, in percentage points.

    `ci95` is the 95 % interval of the difference (low and high ends), `mcnemar_p` the probability of a
    difference at least as large if both arms were equally good.
    """

    a: str
    b: str
    difference: float
    ci95: dict[str, float]
    mcnemar_p: float


Compared = Mapping[frozenset[str], Pair]  # by the names of the two arms


@dataclass(frozen=True)
class LossHistory:
    """First and last logged training loss of an arm (nats per token), and its number of steps."""

    arm: str
    steps: int
    first: float
    last: float


def read_losses(arms: Sequence[str], folder: Path) -> list[LossHistory]:
    """Read train_ARM.csv (step, loss, ...) of the arms that have one; the others were not trained.

    Raises:
        UserError: a file has no rows, or step or loss of a row is not a number.
    """
    paths = [(arm, folder / f"train_{arm}.csv") for arm in arms]
    return [_read_loss(arm, path) for arm, path in paths if path.is_file()]


def summary(scores: Sequence[ArmScores]) -> dict[str, float | None]:
    """Execution accuracy over all questions, in percent, by arm: few columns for `dvc exp show`."""
    return {arm.name: arm.ex["all"] for arm in scores}


def pairs(scores: Sequence[ArmScores]) -> list[Pair]:
    """Each pair of arms once, the earlier arm as `b`; the baseline counts as the first."""
    ordered = sorted(scores, key=lambda arm: arm.name != REFERENCE)  # stable: the others keep their order
    return [_pair(later, earlier) for earlier, later in combinations(ordered, 2)]


def by_names(compared: Sequence[Pair]) -> Compared:
    """The pairs by the names of their arms."""
    return {frozenset((pair.a, pair.b)): pair for pair in compared}


def page(scores: Sequence[ArmScores], losses: Sequence[LossHistory] = ()) -> str:
    """The Markdown page: accuracy by hardness, other metrics if any, pairs, slices and training."""
    compared = by_names(pairs(scores))
    parts = ["# Execution accuracy", "", *plain(_accuracy(scores, compared)), "", *_notes(scores)]
    if any(arm.others for arm in scores):
        parts += ["", "## Other metrics", "", *plain(_others(scores))]
        parts += ["", "Percent of all questions, with 95 % intervals."]
    if len(scores) > 1:
        parts += ["", "## McNemar p of each pair of arms", "", *plain(p_values(scores, compared))]
    if any(arm.slices for arm in scores):
        parts += ["", "## Accuracy by slice of the test set", "", *plain(_slices(scores))]
    if losses:
        parts += ["", "## Training", "", *plain(training(losses))]
    return "\n".join(parts) + "\n"


def p_values(scores: Sequence[ArmScores], compared: Compared) -> list[list[str]]:
    """The table with the p-value of each pair of arms."""
    rows = [["", *(arm.name for arm in scores[:-1])]]
    for index, arm in enumerate(scores[1:], 1):
        cells = [p_value(compared[frozenset((arm.name, other.name))]) for other in scores[:index]]
        rows.append([arm.name, *cells, *[""] * (len(scores) - 1 - index)])
    return rows


def training(losses: Sequence[LossHistory]) -> list[list[str]]:
    """The table with the loss of each trained arm."""
    cells = [[arm.arm, str(arm.steps), f"{arm.first:.4f}", f"{arm.last:.4f}"] for arm in losses]
    return [["arm", "steps", "first loss", "last loss"], *cells]


def interval(arm: ArmScores) -> str:
    """The 95 % interval of the accuracy over all questions."""
    ends = arm.ci95.get("all")
    return f"{ends['low']:.1f} to {ends['high']:.1f}" if ends else ABSENT


def difference(pair: Pair | None) -> str:
    """The difference of two arms with its interval."""
    if pair is None:
        return ABSENT
    return f"{pair.difference:+.1f} ({pair.ci95['low']:.1f} to {pair.ci95['high']:.1f})"


def p_value(pair: Pair | None) -> str:
    """The p-value of two arms, with four decimals."""
    if pair is None:
        return ABSENT
    return "< 0.0001" if pair.mcnemar_p < 0.0001 else f"{pair.mcnemar_p:.4f}"


def evaluator_note(arm: ArmScores) -> str:
    """The version and the settings of the evaluator."""
    return f"Evaluator: {', '.join(f'{key} {json.dumps(value)}' for key, value in arm.evaluator.items())}."


def without_gold_note(arm: ArmScores) -> str:
    """How many questions have no gold SQL."""
    return f"Not scored, because they have no gold SQL: {arm.without_gold} questions."


def doubtful_note(scores: Sequence[ArmScores]) -> str:
    """The second score of each arm: without the questions whose gold is doubtful."""
    first = scores[0]
    numbers = ", ".join(f"{arm.name} {percent(arm.reliable_ex['all'])}" for arm in scores if arm.reliable_ex)
    return (
        f"Without the {first.doubtful} questions with doubtful gold (docs/doubtful-gold.md), "
        f"n={first.reliable_n['all']}: {numbers}."
    )


def _pair(a: ArmScores, b: ArmScores) -> Pair:
    low, high = paired_bootstrap(a.verdicts, b.verdicts)
    return Pair(
        a=a.name,
        b=b.name,
        difference=_one_decimal(100 * (sum(a.verdicts) - sum(b.verdicts)) / len(a.verdicts)),
        ci95={"low": _one_decimal(low), "high": _one_decimal(high)},
        mcnemar_p=mcnemar(a.verdicts, b.verdicts),
    )


def _one_decimal(value: float) -> float:
    return round(value, 1) + 0.0  # the sum turns -0.0 into 0.0


def _read_loss(arm: str, path: Path) -> LossHistory:
    own = f"train@{arm} for an arm of section train"
    again = f"`dvc repro --force --single-item train_{arm}` ({own})"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise UserError(f"{path}: no loss was logged; {again}")
    try:
        first, last = float(rows[0]["loss"]), float(rows[-1]["loss"])
        return LossHistory(arm, int(rows[-1]["step"]), first, last)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}, line 2 or {len(rows) + 1}: step or loss is not a number; {again}"
        ) from error


def _accuracy(scores: Sequence[ArmScores], compared: Compared) -> list[list[str]]:
    heads = [f"{level} (n={scores[0].n.get(level, 0)})" for level in LEVELS]
    against = (f"difference to {REFERENCE}", f"p against {REFERENCE}")
    suites = any("ts" in arm.others for arm in scores)
    rows = [["arm", *heads, "95 % interval of all", *(["all, test suites"] if suites else []), *against]]
    for arm in scores:
        cells = [percent(arm.ex[level]) for level in LEVELS] + [interval(arm)]
        ts = arm.others.get("ts")
        cells += [percent(ts.percent if ts else None)] if suites else []
        pair = compared.get(frozenset((arm.name, REFERENCE)))
        rows.append([arm.name, *cells, difference(pair), p_value(pair)])
    return rows


def _notes(scores: Sequence[ArmScores]) -> Iterator[str]:
    first = scores[0]
    yield f"Percent of {first.n['all']} questions whose predicted SQL returns the same as the gold SQL."
    if any("ts" in arm.others for arm in scores):
        yield "Test suites: the same also holds on databases with other rows, see docs/suites.md."
    yield DIFFERENCE_NOTE
    yield P_NOTE
    if first.evaluator:
        yield evaluator_note(first)
    if first.unclassed:
        yield f"Without a hardness class, so only in the column all: test rows {_listed(first.unclassed)}."
    if first.unjudged:
        yield f"Not scored, because the gold SQL fails: test rows {_listed(first.unjudged)}."
    if first.without_gold:
        yield without_gold_note(first)
    if first.doubtful:
        yield doubtful_note(scores)


def _others(scores: Sequence[ArmScores]) -> list[list[str]]:
    metrics = [metric for metric in OTHER_METRICS if any(metric in arm.others for arm in scores)]
    rows = [["arm", *(OTHER_METRICS[metric] for metric in metrics)]]
    for arm in scores:
        rows.append([arm.name, *(with_interval(arm.others.get(m), arm.n["all"]) for m in metrics)])
    return rows


def _slices(scores: Sequence[ArmScores]) -> list[list[str]]:
    names = list(dict.fromkeys(name for arm in scores for name in arm.slices))
    rows = [["arm", *names]]
    for arm in scores:
        rows.append([arm.name, *(percent(arm.slices.get(name)) for name in names)])
    return rows


def _listed(rows: Sequence[int]) -> str:
    return ", ".join(map(str, rows))
