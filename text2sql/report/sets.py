"""Compares the arms on every test set: with one set as `table` does, with several by set."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from textwrap import wrap
from typing import Any

from text2sql.files import replacing
from text2sql.report import table
from text2sql.report.markdown import padded, percent, with_interval
from text2sql.report.scores import LEVELS, OTHER_METRICS, ArmScores, ScoredSet
from text2sql.report.table import REFERENCE, LossHistory

_WIDTH = 120  # columns of a terminal, which `make reproduce` should not exceed
_SLICE_WIDTH = 36  # characters for the names of slices in the table by arm
_SHOWN_ROWS = 10


def summary(sets: Sequence[ScoredSet]) -> dict[str, Any]:
    """Execution accuracy in percent by arm, with several sets by arm and set; null if nothing is scored.

    The arm comes first, because an experiment changes one arm: `dvc metrics diff` then lists what happened to
    it on all sets.
    """
    if len(sets) == 1:
        return dict(table.summary(sets[0].arms))
    return {arm.name: {each.name: each.arms[at].ex["all"] for each in sets} for at, arm in _arms(sets)}


def pairs(sets: Sequence[ScoredSet]) -> list[dict[str, Any]]:
    """Each pair of arms on each set that is scored, with the field `test_set` if there are several sets."""
    return [
        {"test_set": each.name, **asdict(pair)} if len(sets) > 1 else asdict(pair)
        for each in sets
        if each.scored
        for pair in table.pairs(each.arms)
    ]


def write_accuracy_by_hardness(path: Path, sets: Sequence[ScoredSet]) -> None:
    """Write arm, hardness, ex (percent) and the name of the bar for every level that has questions.

    With several sets the first column is `test_set`. DVC's bar template has one column for the names of the
    bars, so `bar` joins set, arm and hardness.
    """
    several = len(sets) > 1
    with replacing(path) as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow([*(["test_set"] if several else []), "arm", "hardness", "ex", "bar"])
        for each in sets:
            for arm, level, ex in _bars(each):
                name = f"{each.name}, {arm}: {level}" if several else f"{arm}: {level}"
                rows.writerow([*([each.name] if several else []), arm, level, ex, name])


def page(sets: Sequence[ScoredSet], losses: Sequence[LossHistory] = ()) -> str:
    """The Markdown page: with several sets an overview and a section for each of them."""
    if len(sets) == 1 and sets[0].scored:
        return table.page(sets[0].arms, losses)
    scored = [each for each in sets if each.scored]
    parts = ["# Execution accuracy"]
    if scored:
        parts += ["", *padded(_overview(sets)), "", *_general_notes(scored[0].arms[0])]
    for each in sets:
        parts += ["", *([f"## {each.name}", ""] if len(sets) > 1 else []), *_section(each)]
    if losses:
        parts += ["", "## Training", "", *padded(table.training(losses))]
    return "\n".join(parts) + "\n"


def _arms(sets: Sequence[ScoredSet]) -> Iterator[tuple[int, ArmScores]]:
    return enumerate(sets[0].arms)


def _bars(scored: ScoredSet) -> Iterator[tuple[str, str, float]]:
    for arm in scored.arms:
        for level in LEVELS:
            if (ex := arm.ex.get(level)) is not None:
                yield arm.name, level, ex


def _overview(sets: Sequence[ScoredSet]) -> list[list[str]]:
    rows = [["test set", "questions", *(arm.name for _, arm in _arms(sets))]]
    for each in sets:
        cells = [percent(arm.ex["all"]) for arm in each.arms]
        rows.append([each.name, str(len(each.arms[0].rows)), *cells])
    return rows


def _general_notes(arm: ArmScores) -> Iterator[str]:
    yield "Percent of the scored questions whose predicted SQL returns the same as the gold SQL."
    yield table.DIFFERENCE_NOTE
    yield table.P_NOTE
    if arm.evaluator:
        yield from wrap(table.evaluator_note(arm), _WIDTH)


def _section(scored: ScoredSet) -> Iterator[str]:
    """What the page says about one of several sets."""
    arms, first = scored.arms, scored.arms[0]
    if not scored.scored:
        yield from wrap(_nothing_scored(first), _WIDTH)
        return
    compared = table.by_names(table.pairs(arms))
    columns = _columns(first)
    yield from padded(_accuracy(arms, columns, compared))
    for note in _notes(arms):
        yield from ("", *wrap(note, _WIDTH))
    if any(arm.others for arm in arms):
        yield from ("", "### Other metrics", "", *_others(arms))
    if len(arms) > 1:
        yield from ("", "### McNemar p of each pair of arms", "", *padded(table.p_values(arms, compared)))
    if first.slices and not set(first.slices) <= set(columns):
        yield from ("", "### Accuracy by slice of the test set", "", *padded(_slices(arms)))


def _nothing_scored(arm: ArmScores) -> str:
    """A sentence on a set without a judged question."""
    if not arm.unjudged:
        return f"No question has gold SQL: {arm.without_gold} questions are predicted, and nothing is scored."
    rest = f"; {arm.without_gold} more have none" if arm.without_gold else ""
    return f"Nothing is scored, because the gold SQL of all {len(arm.unjudged)} questions fails{rest}."


def _columns(arm: ArmScores) -> dict[str, int]:
    """The classes of the table by arm, with their numbers of questions.

    Levels of hardness; or slices, if they fit and no gold query has a hardness.
    """
    total = {"all": len(arm.rows)}
    if len(arm.unclassed) < len(arm.rows):
        return {level: arm.n.get(level, 0) for level in LEVELS[:-1]} | total
    fit = arm.slices and sum(map(len, arm.slices)) <= _SLICE_WIDTH
    return ({name: arm.slice_n[name] for name in arm.slices} if fit else {}) | total


def _accuracy(
    arms: Sequence[ArmScores], columns: dict[str, int], compared: table.Compared
) -> list[list[str]]:
    rows = [["arm", *columns, "95 % interval", f"difference to {REFERENCE}", "p"]]
    rows.append(["(questions)", *map(str, columns.values()), "", "", ""])
    for arm in arms:
        cells = [percent({**arm.slices, **arm.ex}.get(name)) for name in columns]
        pair = compared.get(frozenset((arm.name, REFERENCE)))
        rows.append([arm.name, *cells, table.interval(arm), table.difference(pair), table.p_value(pair)])
    return rows


def _notes(arms: Sequence[ArmScores]) -> Iterator[str]:
    arm = arms[0]
    if len(arm.unclassed) == len(arm.rows):
        yield "No gold query can be parsed by Spider's rules, so there is no hardness."
    elif arm.unclassed:
        yield f"Without a hardness class, so only in the column all: {_listed(arm.unclassed)}."
    if arm.unjudged:
        yield f"Not scored, because the gold SQL fails: {_listed(arm.unjudged)}."
    if arm.without_gold:
        yield table.without_gold_note(arm)
    if arm.doubtful:
        yield table.doubtful_note(arms)


def _others(arms: Sequence[ArmScores]) -> Iterator[str]:
    metrics = [metric for metric in OTHER_METRICS if any(metric in arm.others for arm in arms)]
    rows = [["arm", *metrics]]
    for arm in arms:
        rows.append([arm.name, *(with_interval(arm.others.get(m), len(arm.rows)) for m in metrics)])
    yield from padded(rows)
    meanings = "; ".join(f"{metric}: {OTHER_METRICS[metric]}" for metric in metrics)
    yield from ("", *wrap(f"Percent of all questions, with 95 % intervals. {meanings}.", _WIDTH))


def _slices(arms: Sequence[ArmScores]) -> list[list[str]]:
    """A row for each slice: there may be many slices, but there are few arms."""
    rows = [["slice", "questions", *(arm.name for arm in arms)]]
    for name in dict.fromkeys(name for arm in arms for name in arm.slices):
        rows.append([name, str(arms[0].slice_n[name]), *(percent(arm.slices.get(name)) for arm in arms)])
    return rows


def _listed(rows: Sequence[int]) -> str:
    shown = ", ".join(map(str, rows[:_SHOWN_ROWS]))
    rest = f" and {len(rows) - _SHOWN_ROWS} others" if len(rows) > _SHOWN_ROWS else ""
    return f"{len(rows)} questions, test rows {shown}{rest}"
