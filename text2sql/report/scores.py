"""Reads the scores and verdicts of the arms, by test set.

They are those of the evaluation; nothing is scored again. All arms must have been judged on the same test
questions, because a paired test needs the same questions.
Not covered: whether metrics/ARM.json belongs to these verdicts; only their numbers are checked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from text2sql.errors import UserError
from text2sql.evaluation.verdicts import NO_GOLD
from text2sql.files import read_json, read_jsonl

LEVELS = ("easy", "medium", "hard", "extra", "all")
OTHER_METRICS = {
    "ex_plug": "execution accuracy, gold's values plugged in",
    "ts": "test-suite accuracy",
    "ts_plug": "test-suite accuracy, gold's values plugged in",
    "em": "exact set match",
    "bird_ex": "BIRD's execution accuracy",
    "soft_f1": "BIRD's Soft F1 (mean)",
    "r_ves": "BIRD's R-VES (mean, noisy)",
    "strict": "strict execution accuracy",
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
    classes, those of `slices` and `slice_n` slices, those of `others` (over all questions) metrics.
    `rows` are the judged questions in the order of `verdicts` (True: right), `unjudged` those whose gold SQL
    fails, which are in no score, `unclassed` those without a hardness. `without_gold` is the number of
    questions without gold SQL, also in no score; without other questions all tables are empty. `evaluator`
    has the version and settings of the evaluator. `reliable_ex` and `reliable_n` are `ex` and `n` without the
    questions whose gold is doubtful, empty if there are none.
    """

    name: str
    ex: dict[str, float | None]
    n: dict[str, int]
    ci95: dict[str, Any]
    others: dict[str, Share]
    slices: dict[str, float]
    slice_n: dict[str, int]
    rows: tuple[int, ...]
    verdicts: tuple[bool, ...]
    unjudged: tuple[int, ...]
    unclassed: tuple[int, ...]
    without_gold: int
    evaluator: dict[str, Any]
    reliable_ex: dict[str, float | None] = field(default_factory=dict)
    reliable_n: dict[str, int] = field(default_factory=dict)

    @property
    def doubtful(self) -> int:
        """The number of questions with doubtful gold."""
        return len(self.rows) - self.reliable_n["all"] if self.reliable_n else 0


@dataclass(frozen=True)
class ScoredSet:
    """One test set: `name` is "" if there is no other; `arms` are the scores of each arm on it."""

    name: str
    arms: tuple[ArmScores, ...]

    @property
    def scored(self) -> bool:
        """Whether any question was judged."""
        return bool(self.arms[0].rows)


def read_sets(arms: Sequence[str], metrics: Path, verdicts: Path) -> list[ScoredSet]:
    """Read metrics/ARM.json and verdicts/ARM.jsonl of every arm, in the order given, by test set.

    Raises:
        UserError: a file or a field is missing, no question was judged although there is gold SQL, or two
            arms were judged on different questions or by different evaluators.
    """
    by_arm = {arm: _read_arm(arm, metrics / f"{arm}.json", verdicts / f"{arm}.jsonl") for arm in arms}
    first, *others = by_arm
    for other in others:
        _check_comparable(by_arm[other], by_arm[first], metrics, verdicts)
    return [ScoredSet(name, tuple(scores[name] for scores in by_arm.values())) for name in by_arm[first]]


def _check_comparable(
    other: Mapping[str, ArmScores], first: Mapping[str, ArmScores], metrics: Path, verdicts: Path
) -> None:
    names = [next(iter(scores.values())).name for scores in (first, other)]
    again = f"`dvc repro --force --single-item evaluate@{names[0]} evaluate@{names[1]}`"
    if list(other) != list(first):
        sets = f"{_listed_sets(other)}, but {names[0]} on {_listed_sets(first)}"
        raise UserError(f"{metrics / f'{names[1]}.json'}: judged on {sets}; {again}")
    for name in first:
        if other[name].rows != first[name].rows:
            path = verdicts / f"{names[1]}.jsonl"
            raise UserError(
                f"{path}: the verdicts are for {_disagreement(other[name], first[name])}; {again}"
            )
        if other[name].evaluator != first[name].evaluator:
            path = metrics / f"{names[1]}.json"
            raise UserError(f"{path}: not judged by the same evaluator as {names[0]}; {again}")


def _read_arm(arm: str, metrics: Path, verdicts: Path) -> dict[str, ArmScores]:
    """The scores of an arm by test set."""
    again = f"`dvc repro evaluate@{arm}`"
    for path in (metrics, verdicts):
        if not path.is_file():
            raise UserError(f"{path}: no such file; {again}")
    values, rows = read_json(metrics), list(read_jsonl(verdicts))
    try:
        tables = _tables(values)
        sets = Counter(row.get("test_set", "") for row in rows)
        of_set = {name: [row for row in rows if row.get("test_set", "") == name] for name in tables}
        scores = {name: _arm_scores(arm, table, of_set[name]) for name, table in tables.items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{metrics} or {verdicts}: missing or malformed field {error}; {again}") from error
    if sets.keys() - scores.keys():
        raise UserError(
            f"{verdicts}: {_listed_sets(sets)}, but {metrics} has {_listed_sets(scores)}; {again}"
        )
    for name, each in scores.items():
        _check_counts(each, of_set[name], metrics, verdicts, again)
    if not any(each.rows for each in scores.values()) and any(map(_needs_gold, scores.values())):
        raise UserError(
            f"{verdicts}: no question was judged; fix the gold SQL or the databases, then {again}"
        )
    return scores


def _tables(values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The tables of metrics/ARM.json by test set; of a single set the name is "" and not in the file."""
    if "other_sets" not in values:
        return {"": values}
    evaluator = {"evaluator": values["evaluator"]}
    return {values["test_set"]: values} | {
        name: table | evaluator for name, table in values["other_sets"].items()
    }


def _check_counts(
    scores: ArmScores, rows: Sequence[dict[str, Any]], metrics: Path, verdicts: Path, again: str
) -> None:
    without_gold = sum(row["error"] == NO_GOLD for row in rows if row["ex"] is None)
    for found, counted, what in (
        (len(scores.rows), scores.n.get("all"), "verdicts"),
        (without_gold, scores.without_gold, "questions without gold SQL"),
    ):
        if found != counted:
            raise UserError(f"{verdicts}: {found} {what}, but {metrics} counts {counted}; {again}")


def _needs_gold(scores: ArmScores) -> bool:
    """Whether there is nothing, or gold SQL that fails."""
    return bool(scores.unjudged) or not scores.without_gold


def _arm_scores(arm: str, values: dict[str, Any], rows: Sequence[dict[str, Any]]) -> ArmScores:
    judged = [row for row in rows if row["ex"] is not None]
    reliable = values.get("without_doubtful") or {}
    if "without_gold" in values and "ex" not in values:  # there are no other questions
        values = {"ex": {}, "n": {"all": 0}, "ci95": {}} | values
    return ArmScores(
        name=arm,
        ex={level: values["ex"].get(level) for level in LEVELS},
        n=values["n"],
        ci95=values["ci95"],
        others={metric: _share(metric, values) for metric in OTHER_METRICS if metric in values},
        slices=values.get("slices") or {},
        slice_n=Counter(row.get("slice", "") for row in judged),
        rows=tuple(row["row"] for row in judged),
        verdicts=tuple(row["ex"] for row in judged),
        unjudged=tuple(row["row"] for row in rows if row["ex"] is None and row["error"] != NO_GOLD),
        unclassed=tuple(row["row"] for row in judged if row["hardness"] is None),
        without_gold=values.get("without_gold", 0),
        evaluator=values["evaluator"],
        reliable_ex=reliable.get("ex", {}),
        reliable_n=reliable.get("n", {}),
    )


def _share(metric: str, values: dict[str, Any]) -> Share:
    n = values.get(f"{metric}_n", values["n"])["all"]
    return Share(values[metric]["all"], **values[f"{metric}_ci95"]["all"], n=n)


def _disagreement(other: ArmScores, first: ArmScores) -> str:
    rows = sorted(set(other.rows) ^ set(first.rows))
    if not rows:
        return f"the test questions of {first.name} in another order"
    return f"other test questions than those of {first.name} (row {rows[0]}; {len(rows)} rows in all)"


def _listed_sets(names: Mapping[str, object]) -> str:
    return "one test set" if list(names) == [""] else f"the test sets {', '.join(names)}"
