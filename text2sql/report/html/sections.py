"""The tables and charts of the page that need no script: scores, errors, training, data, provenance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from text2sql.evaluation.verdicts import Verdict
from text2sql.records import ConvertedQuestion
from text2sql.report import table
from text2sql.report.answers import Explained
from text2sql.report.differences import KINDS
from text2sql.report.html import charts
from text2sql.report.html.charts import Chart, Points
from text2sql.report.markdown import ABSENT, percent, with_interval
from text2sql.report.scores import LEVELS, OTHER_METRICS, ArmScores, ScoredSet
from text2sql.report.table import REFERENCE

SIGNIFICANT = 0.05
"""Below this p-value of McNemar's test the page says that an arm is better than another."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table: `share` (0 to 1) shades it, `strong` sets it in bold, `note` is a second line."""

    text: str
    share: float | None = None
    strong: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a caption; the first cell of each row is its head."""

    caption: str
    head: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a section under its own heading: sentences, charts and tables."""

    title: str
    texts: Sequence[str] = ()
    charts: Sequence[Chart] = ()
    tables: Sequence[Table] = ()


@dataclass(frozen=True)
class Histories:
    """Values by step and by the name of the trained model; the axis of `speed` is named by its unit."""

    loss: Points = field(default_factory=dict)
    validation_loss: Points = field(default_factory=dict)
    validation_accuracy: Points = field(default_factory=dict)
    speed: Mapping[str, Points] = field(default_factory=dict)


def score_parts(sets: Sequence[ScoredSet]) -> list[Part]:
    """A part for each test set: accuracy with intervals and by hardness, and who beats whom."""
    return [_score_part(each, several=len(sets) > 1) for each in sets]


def _score_part(scored: ScoredSet, several: bool) -> Part:
    title = scored.name if several else "Execution accuracy"
    if not scored.scored:
        return Part(title, [_nothing_scored(scored.arms[0])])
    compared = table.by_names(table.pairs(scored.arms))
    texts = [*_lead(scored, compared), *_left_out(scored.arms[0])]
    tables = [_accuracy(scored, compared)]
    if len(scored.arms) > 1:
        tables.append(_against(scored, compared))
    tables += [each(scored) for each in (_others, _slices) if _has(scored, each)]
    return Part(title, texts, [charts.accuracy(scored)], tables)


def _nothing_scored(arm: ArmScores) -> str:
    reasons = [f"{arm.without_gold:,} questions have no gold SQL"] if arm.without_gold else []
    reasons += [f"the gold SQL of {len(arm.unjudged):,} questions fails"] if arm.unjudged else []
    return f"No question is scored: {' and '.join(reasons)}."


def _has(scored: ScoredSet, maker: Any) -> bool:
    return any((arm.others if maker is _others else arm.slices) for arm in scored.arms)


def _lead(scored: ScoredSet, compared: table.Compared) -> list[str]:
    """The best arm, and which arms it beats beyond noise."""
    best = max(scored.arms, key=lambda arm: arm.ex["all"] or 0.0)
    lead = f"Most accurate: {best.name} with {percent(best.ex['all'])} % ({table.interval(best)})"
    others = [arm.name for arm in scored.arms if arm is not best]
    beaten = [name for name in others if _p(compared, best.name, name) < SIGNIFICANT]
    if not others:
        return [f"One arm, {best.name}: {percent(best.ex['all'])} % ({table.interval(best)})."]
    if len(beaten) == len(others):
        return [f"{lead}, better than every other arm (p < {SIGNIFICANT})."]
    rest = [name for name in others if name not in beaten]
    return [f"{lead}. Its lead over {_listed(rest)} is within noise (p of {SIGNIFICANT} or more)."]


def _p(compared: table.Compared, one: str, other: str) -> float:
    return compared[frozenset((one, other))].mcnemar_p


def _left_out(arm: ArmScores) -> list[str]:
    texts = []
    if arm.unjudged:
        texts.append(f"{len(arm.unjudged):,} questions are not scored, because their gold SQL fails.")
    if arm.without_gold:
        texts.append(f"{arm.without_gold:,} questions are not scored, because they have no gold SQL.")
    if arm.doubtful:
        texts.append(
            f"The gold SQL of {arm.doubtful:,} questions is doubtful, as docs/doubtful-gold.md explains: the "
            "result can change, or says nothing. The second number leaves them out."
        )
    return texts


def _accuracy(scored: ScoredSet, compared: table.Compared) -> Table:
    heads = [f"{level} (n={scored.arms[0].n.get(level, 0):,})" for level in ("all", *LEVELS[:-1])]
    several = len(scored.arms) > 1 and any(arm.name == REFERENCE for arm in scored.arms)
    rows = []
    for arm in scored.arms:
        cells = [Cell(percent(arm.ex["all"]), _share(arm.ex["all"]), strong=True, note=_below(arm))]
        cells += [Cell(percent(arm.ex[level]), _share(arm.ex[level])) for level in LEVELS[:-1]]
        if several:
            cells.append(Cell(table.difference(compared.get(frozenset((arm.name, REFERENCE))))))
        rows.append((arm.name, cells))
    head = ["arm", *heads, *([f"difference to {REFERENCE}"] if several else [])]
    return Table(
        "Execution accuracy in percent, by hardness; below it the 95 % interval. "
        "Differences in percentage points, with the 95 % interval of a paired bootstrap.",
        head,
        rows,
    )


def _below(arm: ArmScores) -> str:
    """What stands below the accuracy: its interval, and the accuracy without questions with doubtful gold."""
    second = percent(arm.reliable_ex["all"]) if arm.doubtful else ""
    return f"{table.interval(arm)}; {second} without doubtful gold" if second else table.interval(arm)


def _share(value: float | None) -> float | None:
    return None if value is None else value / 100


def _against(scored: ScoredSet, compared: table.Compared) -> Table:
    names = [arm.name for arm in scored.arms]
    return Table(
        "Who beats whom: the arm of the row minus that of the column, in percentage points, and p of "
        "McNemar's exact test (two-sided, paired, not corrected for multiple comparisons). "
        f"Bold: p < {SIGNIFICANT}.",
        ["arm", *names],
        [(name, [_duel(compared, name, other) for other in names]) for name in names],
    )


def _duel(compared: table.Compared, one: str, other: str) -> Cell:
    if one == other:
        return Cell(ABSENT)
    pair = compared[frozenset((one, other))]
    difference = pair.difference if pair.a == one else -pair.difference
    better = pair.mcnemar_p < SIGNIFICANT
    return Cell(f"{difference + 0.0:+.1f}", strong=better, note=f"p {_p_text(pair)}")


def _p_text(pair: table.Pair) -> str:
    text = table.p_value(pair)
    return text if text.startswith("<") else f"= {text}"


def _others(scored: ScoredSet) -> Table:
    metrics = [m for m in OTHER_METRICS if any(m in arm.others for arm in scored.arms)]
    rows = [
        (arm.name, [Cell(with_interval(arm.others.get(m), arm.n["all"])) for m in metrics])
        for arm in scored.arms
    ]
    head = ["arm", *(OTHER_METRICS[m] for m in metrics)]
    return Table("Other metrics in percent of all questions, with 95 % intervals.", head, rows)


def _slices(scored: ScoredSet) -> Table:
    names = list(dict.fromkeys(name for arm in scored.arms for name in arm.slices))
    first = scored.arms[0]
    rows = [
        (
            f"{name} (n={first.slice_n[name]:,})",
            [Cell(percent(arm.slices.get(name)), _share(arm.slices.get(name))) for arm in scored.arms],
        )
        for name in names
    ]
    head = ["slice", *(arm.name for arm in scored.arms)]
    return Table("Execution accuracy in percent by slice of the test set.", head, rows)


def error_part(names: Sequence[str], answers: Iterable[tuple[str, Verdict, Explained]]) -> Part:
    """The taxonomy: in how many wrong answers of each arm each kind of difference is."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in names}
    wrong: Counter[str] = Counter()
    for name, verdict, explained in answers:
        if verdict.ex is False:
            wrong[name] += 1
            counts[name].update(explained.differences.kinds)
    seen = [kind for kind in KINDS if any(counts[name][kind] for name in names)]
    rows = [(KINDS[k], [_counted(counts[name][k], wrong[name]) for name in names]) for k in seen]
    if not seen:
        return Part("What is wrong with wrong answers", ["No answer is wrong."])
    rows.insert(0, ("wrong answers", [Cell(f"{wrong[name]:,}", strong=True) for name in names]))
    caption = (
        "Wrong answers of each arm by what differs from the gold query. An answer can be in several rows."
    )
    return Part("What is wrong with wrong answers", tables=[Table(caption, ["kind", *names], rows)])


def _counted(count: int, of: int) -> Cell:
    return Cell(f"{count:,}" if count else ABSENT, count / of if of and count else None)


def training_parts(histories: Histories) -> list[Part]:
    """Loss, validation and speed of the trained models; nothing for what was not measured."""
    parts = []
    drawn = [charts.lines("Training loss", histories.loss, "Loss (nats per token)")] if histories.loss else []
    if any(histories.validation_loss.values()):
        found = _nonempty(histories.validation_loss)
        drawn.append(charts.lines("Loss on held-out rows", found, "Loss (nats per token)"))
    if any(histories.validation_accuracy.values()):
        found = _nonempty(histories.validation_accuracy)
        title = "Execution accuracy on held-out rows"
        drawn.append(charts.lines(title, found, "Execution accuracy (percent)"))
    tables = [_losses(histories.loss)] if histories.loss else []
    texts = [] if drawn else ["No arm of this comparison was trained here."]
    parts.append(Part("Training", texts, drawn, tables))
    for unit, points in histories.speed.items():
        found = _nonempty(points)
        if found:
            chart = charts.lines("Speed of training", found, unit)
            parts.append(Part("Speed", [], [chart], [_speeds(found, unit)]))
    return parts


def _nonempty(points: Points) -> Points:
    return {name: pairs for name, pairs in points.items() if pairs}


def _losses(points: Points) -> Table:
    rows = [
        (name, [Cell(f"{pairs[-1][0]:,.0f}"), Cell(f"{pairs[0][1]:.4f}"), Cell(f"{pairs[-1][1]:.4f}")])
        for name, pairs in points.items()
        if pairs
    ]
    return Table("Training loss in nats per token.", ["model", "steps", "first loss", "last loss"], rows)


def _speeds(points: Points, unit: str) -> Table:
    rows = []
    for name, pairs in points.items():
        values = sorted(value for _, value in pairs)
        cells = [values[len(values) // 2], values[0], values[-1]]
        rows.append((name, [Cell(f"{value:,.4g}" if value < 100 else f"{value:,.0f}") for value in cells]))
    return Table(f"{unit}, over the logged steps.", ["model", "median", "lowest", "highest"], rows)


def data_parts(
    figures: Mapping[str, Any],
    retrieval: Mapping[str, Sequence[float]],
    questions: Sequence[ConvertedQuestion],
) -> list[Part]:
    """Contamination, schema conversion and retrieval, as far as there are figures.

    `figures` are the contents of metrics/NAME.json by name, `retrieval` the score of the best example of
    each question, by arm.
    """
    parts = []
    if figures.get("dedupe_test"):
        parts.append(_contamination(figures["dedupe_test"]))
    if figures.get("convert_schema"):
        parts.append(_conversion(figures["convert_schema"], questions))
    if any(retrieval.values()):
        parts.append(_retrieval({name: scores for name, scores in retrieval.items() if scores}))
    return parts


def _contamination(found: Mapping[str, Any]) -> Part:
    rules = found.get("removed_by_rule", {})
    removed_of = f"Of {found['rows']:,} training rows {found['removed']:,} were removed"
    texts = [f"{removed_of}, because they leak test questions."]
    removed = Table(
        "Removed training rows by rule.",
        ["rule", "rows"],
        [(name, [Cell(f"{n:,}")]) for name, n in rules.items()],
    )
    shares = [
        (name, [Cell(f"{each[key]:,}") for key in ("questions", "before", "after")])
        for name, each in found.get("test_sets", {}).items()
    ]
    caption = "Test questions that the training rows leak, in percent, before the removal and after it."
    leaked = Table(caption, ["test set", "questions", "before", "after"], shares)
    return Part(
        "Training rows that leak test questions",
        texts,
        tables=[each for each in (removed, leaked) if each.rows],
    )


def _conversion(found: Mapping[str, Any], questions: Sequence[ConvertedQuestion]) -> Part:
    texts = [
        f"Of {found['schemas']:,} test schemas {found['valid']:,} became CREATE TABLE statements without a "
        f"problem; {found['rows_with_problems']:,} of {found['rows']:,} questions have a schema with one."
    ]
    ways = [(name, [Cell(f"{n:,}")]) for name, n in found.get("backends", {}).items()]
    tables = [Table("Schemas by the way they were converted.", ["backend", "schemas"], ways)] if ways else []
    problems = Counter(problem for question in questions for problem in set(question.problems))
    if problems:
        rows = [(problem[:200], [Cell(f"{n:,}")]) for problem, n in problems.most_common(10)]
        tables.append(Table("The commonest problems.", ["problem", "questions"], rows))
    return Part("Schema conversion", texts, tables=tables)


def _retrieval(scores: Mapping[str, Sequence[float]]) -> Part:
    rows = []
    for name, found in scores.items():
        ordered = sorted(found)
        cells = [ordered[len(ordered) // 2], ordered[0], ordered[-1]]
        rows.append((name, [Cell(f"{len(found):,}"), *(Cell(f"{value:.3f}") for value in cells)]))
    head = ["arm", "questions", "median", "lowest", "highest"]
    chart = charts.histogram("Score of the best example", scores, "Score")
    caption = "Score of the best example: a cosine, the reranker's, or the likeness of its SQL to the draft."
    return Part("Retrieved examples", [], [chart], [Table(caption, head, rows)])


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
