"""Compares the arms: a Markdown page for readers; a flat summary, pairs and a plot file for tools.

The scores and verdicts are those of the evaluation; nothing is scored again. All arms must have been judged
on the same test questions, because a paired test needs the same questions.
Not covered: whether metrics/ARM.json belongs to these verdicts; only their number is checked.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from text2sql.errors import UserError
from text2sql.evaluation.scores import mcnemar, paired_bootstrap
from text2sql.files import read_json, read_jsonl, replacing

LEVELS = ("easy", "medium", "hard", "extra", "all")
REFERENCE = "baseline"
OTHER_METRICS = {
    "ex_plug": "execution accuracy, gold's values plugged in",
    "ts": "test-suite accuracy",
    "ts_plug": "test-suite accuracy, gold's values plugged in",
    "em": "exact set match",
}


@dataclass(frozen=True)
class Share:
    """Percent of n questions, with the low and high ends of its 95 % interval."""

    percent: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class ArmScores:
    """One arm: execution accuracy in percent by hardness and by slice, and one verdict per question.

    The keys of `ex`, `n` (number of questions) and `ci95` (low and high ends in percent) are hardness
    classes, those of `slices` slices, those of `others` (over all questions) metrics. `rows` are the judged
    questions in the order of `verdicts` (True: right), `unjudged` those whose gold SQL fails, which are in no
    score, `unclassed` those without a hardness. `evaluator` has the version and settings of the evaluator.
    """

    name: str
    ex: dict[str, float | None]
    n: dict[str, int]
    ci95: dict[str, Any]
    others: dict[str, Share]
    slices: dict[str, float]
    rows: tuple[int, ...]
    verdicts: tuple[bool, ...]
    unjudged: tuple[int, ...]
    unclassed: tuple[int, ...]
    evaluator: dict[str, Any]


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


def read_scores(arms: Sequence[str], metrics: Path, verdicts: Path) -> list[ArmScores]:
    """Read metrics/ARM.json and verdicts/ARM.jsonl of every arm, in the order given.

    Raises:
        UserError: a file or a field is missing, no question was judged, or two arms were judged on different
            questions or by different evaluators.
    """
    scores = [_read_arm(arm, metrics / f"{arm}.json", verdicts / f"{arm}.jsonl") for arm in arms]
    for other in scores[1:]:
        again = f"`dvc repro --force --single-item evaluate@{scores[0].name} evaluate@{other.name}`"
        if other.rows != scores[0].rows:
            path = verdicts / f"{other.name}.jsonl"
            raise UserError(f"{path}: the verdicts are for {_disagreement(other, scores[0])}; {again}")
        if other.evaluator != scores[0].evaluator:
            path = metrics / f"{other.name}.json"
            raise UserError(f"{path}: not judged by the same evaluator as {scores[0].name}; {again}")
    return scores


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


def write_accuracy_by_hardness(path: Path, scores: Sequence[ArmScores]) -> None:
    """Write arm, hardness, ex (percent) and the name of the bar for every level that has questions.

    DVC's bar template has one column for the names of the bars, so `bar` joins arm and hardness.
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
    """The Markdown page: accuracy by hardness, other metrics if any, pairs, slices and training."""
    compared = {frozenset((pair.a, pair.b)): pair for pair in pairs(scores)}
    parts = ["# Execution accuracy", "", *_accuracy(scores, compared), "", *_notes(scores)]
    if any(arm.others for arm in scores):
        parts += ["", "## Other metrics", "", *_others(scores)]
    if len(scores) > 1:
        parts += ["", "## McNemar p of each pair of arms", "", *_p_values(scores, compared)]
    if any(arm.slices for arm in scores):
        parts += ["", "## Accuracy by slice of the test set", "", *_slices(scores)]
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
        scores = _arm_scores(arm, values, rows)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{metrics} or {verdicts}: missing or malformed field {error}; {again}") from error
    if len(scores.rows) != scores.n.get("all"):
        counts = f"{len(scores.rows)} verdicts, but {metrics} counts {scores.n.get('all')}"
        raise UserError(f"{verdicts}: {counts}; {again}")
    if not scores.rows:
        raise UserError(
            f"{verdicts}: no question was judged; fix the gold SQL or the databases, then {again}"
        )
    return scores


def _arm_scores(arm: str, values: dict[str, Any], rows: Sequence[dict[str, Any]]) -> ArmScores:
    judged = [row for row in rows if row["ex"] is not None]
    return ArmScores(
        name=arm,
        ex={level: values["ex"].get(level) for level in LEVELS},
        n=values["n"],
        ci95=values["ci95"],
        others={metric: _share(metric, values) for metric in OTHER_METRICS if metric in values},
        slices=values.get("slices") or {},
        rows=tuple(row["row"] for row in judged),
        verdicts=tuple(row["ex"] for row in judged),
        unjudged=tuple(row["row"] for row in rows if row["ex"] is None),
        unclassed=tuple(row["row"] for row in judged if row["hardness"] is None),
        evaluator=values["evaluator"],
    )


def _share(metric: str, values: dict[str, Any]) -> Share:
    n = values.get(f"{metric}_n", values["n"])["all"]
    return Share(values[metric]["all"], **values[f"{metric}_ci95"]["all"], n=n)


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


def _disagreement(other: ArmScores, first: ArmScores) -> str:
    rows = sorted(set(other.rows) ^ set(first.rows))
    if not rows:
        return f"the test questions of {first.name} in another order"
    return f"other test questions than those of {first.name} (row {rows[0]}; {len(rows)} rows in all)"


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
        raise UserError(
            f"{path}, line 2 or {len(rows) + 1}: step or loss is not a number; {again}"
        ) from error


def _accuracy(scores: Sequence[ArmScores], compared: Compared) -> Iterator[str]:
    heads = [f"{level} (n={scores[0].n.get(level, 0)})" for level in LEVELS]
    against = (f"difference to {REFERENCE}", f"p against {REFERENCE}")
    yield from _header("arm", *heads, "95 % interval of all", *against)
    for arm in scores:
        cells = [_percent(arm.ex[level]) for level in LEVELS]
        pair = compared.get(frozenset((arm.name, REFERENCE)))
        yield _row(arm.name, *cells, _interval(arm), _difference(pair), _p_value(pair))


def _notes(scores: Sequence[ArmScores]) -> Iterator[str]:
    first = scores[0]
    yield f"Percent of {first.n['all']} questions whose predicted SQL returns the same as the gold SQL."
    yield "Difference: percentage points, with the 95 % interval of a bootstrap over questions, paired."
    yield "p: McNemar's exact test, two-sided, paired by question; not corrected for multiple comparisons."
    if first.evaluator:
        settings = (f"{key} {json.dumps(value)}" for key, value in first.evaluator.items())
        yield f"Evaluator: {', '.join(settings)}."
    if first.unclassed:
        yield f"Without a hardness class, so only in the column all: test rows {_listed(first.unclassed)}."
    if first.unjudged:
        yield f"Not scored, because the gold SQL fails: test rows {_listed(first.unjudged)}."


def _others(scores: Sequence[ArmScores]) -> Iterator[str]:
    metrics = [metric for metric in OTHER_METRICS if any(metric in arm.others for arm in scores)]
    yield from _header("arm", *(OTHER_METRICS[metric] for metric in metrics))
    for arm in scores:
        yield _row(arm.name, *(_with_interval(arm.others.get(metric), arm.n["all"]) for metric in metrics))
    yield ""
    yield "Percent of all questions, with 95 % intervals."


def _p_values(scores: Sequence[ArmScores], compared: Compared) -> Iterator[str]:
    yield from _header("", *(arm.name for arm in scores[:-1]))
    for index, arm in enumerate(scores[1:], 1):
        cells = [_p_value(compared[frozenset((arm.name, other.name))]) for other in scores[:index]]
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


def _with_interval(share: Share | None, n: int) -> str:
    if share is None:
        return "–"
    count = "" if share.n == n else f", n={share.n}"
    return f"{share.percent:.1f} ({share.low:.1f} to {share.high:.1f}{count})"


def _difference(pair: Pair | None) -> str:
    if pair is None:
        return "–"
    return f"{pair.difference:+.1f} ({pair.ci95['low']:.1f} to {pair.ci95['high']:.1f})"


def _p_value(pair: Pair | None) -> str:
    if pair is None:
        return "–"
    return "< 0.0001" if pair.mcnemar_p < 0.0001 else f"{pair.mcnemar_p:.4f}"


def _listed(rows: Sequence[int]) -> str:
    return ", ".join(map(str, rows))
