"""What `text2sql evaluate` prints and writes as JSON: the scores, and what they were measured on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from text2sql.commands.named_metrics import named_table, shown_percent
from text2sql.evaluation.settings import MEANS, JudgeSettings, Metric
from text2sql.evaluation.verdicts import NO_MATCH

if TYPE_CHECKING:
    from text2sql.evaluation.doubtful.scores import WithoutDoubtful
    from text2sql.evaluation.scores import Scores
    from text2sql.evaluation.used_databases import UsedDatabases
    from text2sql.evaluation.verdicts import Verdict

NAMES = {"ex": "execution", "em": "exact match"}
"""The metrics of the official evaluator, as it is printed."""

_SHOWN = 5  # rows of a note
_SHOWN_FAILURES = 20  # rows whose gold query fails
_MANY = 0.5  # of the predictions, with one error: something is wrong with the files
_SUITES = ("ts", "ts_plug")
_PLUGGED = ("ex_plug", "ts_plug")


_OTHER_FIELD = "or another field has the SQL (--field pred=NAME)"
_REASONS = {
    "no_such_table": "the rows of the two files may not belong together (name the field of their id: "
    f"--field pred.id=NAME), {_OTHER_FIELD}",
    "syntax": "there may be Markdown fences or other text around the SQL, which must be removed first, "
    f"{_OTHER_FIELD}",
}


def empty_scores(named: Sequence[Metric] = ()) -> Scores:
    """Scores of no verdicts yet; `named` are the metrics that --metric names, if any."""
    from text2sql.evaluation.scores import Scores

    return Scores(_right_by(named))


def _right_by(named: Sequence[Metric]) -> Metric:
    """The metric by which rows with a note are counted as right."""
    return next((metric for metric in named if metric != "em" and metric not in MEANS), "ex")


@dataclass(frozen=True)
class Found:
    """The scores, those of each class that the gold names, and the rows that have each note.

    `unmatched` are the rows without exact match by the reason; `reliable` are the scores without the rows
    whose gold is doubtful, if those are known.
    """

    reliable: WithoutDoubtful | None = None
    scores: Scores = field(default_factory=empty_scores)
    by_class: defaultdict[str, Scores] = field(default_factory=lambda: defaultdict(empty_scores))
    unmatched: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    noted: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def add(self, verdict: Verdict) -> None:
        """Count one verdict in all of them."""
        self.scores.add(verdict)
        if self.reliable:
            self.reliable.add(verdict)
        self.by_class[verdict.slice].add(verdict)
        for note in verdict.notes:
            self.noted[note].append(verdict.row)
        if verdict.em is None and not verdict.gold_failed and verdict.message:
            self.unmatched[verdict.message.rpartition(NO_MATCH)[2]].append(verdict.row)


@dataclass(frozen=True)
class Measured:
    """What the scores were measured on.

    `tables` is the file of foreign keys, and whether it was given; `named` are the metrics with a line of
    their own, if any.
    """

    settings: JudgeSettings
    databases: UsedDatabases
    tables: dict[str, Any] | None
    named: Sequence[Metric] = ()


def summary(found: Found, measured: Measured) -> dict[str, Any]:
    """The scores and what they were measured on, for --json."""
    table, settings = _asked(found.scores.table(), measured.settings), measured.settings
    for name, note in table.get("notes", {}).items():
        by = {"right_by": _right_by(measured.named)} if "right" in note else {}
        table["notes"][name] = {**note, **by, "rows": found.noted[name]}
    if "em" in settings.metrics:
        table["partial"] = found.scores.partial()
        table["tables"] = measured.tables
        table["em_undecided"] = dict(found.unmatched)
    if measured.named:
        table["measured"] = {metric: _measured_as(metric, measured.databases) for metric in measured.named}
    elif settings.executes:
        table["execution"] = "ts" if measured.databases.most > 1 else "ex"
    if found.reliable:
        table["without_doubtful"] = _asked(found.reliable.table(), settings)
    return {**table, "databases": measured.databases.as_json()}


def _asked(table: dict[str, Any], settings: JudgeSettings) -> dict[str, Any]:
    """The table without `ex`, which it has where no verdict has a metric, if that was not asked for."""
    unasked = () if "ex" in settings.metrics else ("ex", "ci95")
    return {name: value for name, value in table.items() if name not in unasked}


def _measured_as(metric: Metric, used: UsedDatabases) -> dict[str, Any]:
    """On how many databases a metric judges a question, and whether the gold's values are plugged in."""
    several = {"fewest": used.fewest, "most": used.most}
    databases = several if metric in _SUITES else None if metric == "em" else {"fewest": 1, "most": 1}
    return {"databases_per_question": databases, "plugged": metric in _PLUGGED}


def report(found: Found, measured: Measured) -> Iterator[str]:
    """Yield the lines to print on stdout."""
    from text2sql.evaluation.spider.hardness import HARDNESS

    table, classes, named = found.scores.table(), (*HARDNESS, "all"), measured.named
    yield from named_table(table, named) if named else _official_table(table, found, classes)
    if found.reliable:
        yield _second_score(found.reliable, named)
    yield from _notes(table)
    yield from _unmatched(found) if "em" in measured.settings.metrics else ()
    yield from _measured_on(measured)
    yield from _noted(table, found, named)
    yield from _partial(found.scores.partial(), classes)


def advice(found: Found) -> str:
    """What may be wrong with the files if most predictions fail in the same way; "" if they do not."""
    table = found.scores.table()
    n = table.get("n", {}).get("all", 0)
    for error, reason in _REASONS.items():
        count = table.get("errors", {}).get(error, 0)
        if n and count >= _MANY * n:
            return f"{count} of {n} predictions fail with {error}: {reason}"
    return ""


def _line(table: dict[str, Any], metrics: Iterable[str], name: str, own: Collection[str] = ()) -> str:
    """n and the shares of a class; the metrics in `own` have an n of their own."""
    line = f"{table['n'][name]:>8}"
    for metric in metrics:
        n = table.get(f"{metric}_n", table["n"])[name] if metric in table else 0
        line += (f"{n:>8}" if metric in own else "") + _share(table, metric, name)
    return line


def _partial(partial: dict[str, dict[str, dict[str, float | None]]], classes: Iterable[str]) -> Iterator[str]:
    for measure, components in partial.items():
        yield ""
        yield f"{'partial match: ' + measure:<26}" + "".join(f"{name:>8}" for name in classes)
        for component, percents in components.items():
            yield f"{component:<26}" + "".join(f"{shown_percent(percents[name]):>8}" for name in classes)


def _official_table(table: dict[str, Any], found: Found, classes: Sequence[str]) -> Iterator[str]:
    metrics = [name for name in NAMES if name in table]
    groups = {name or "none": scores.table() for name, scores in found.by_class.items()}
    width = max(8, *(len(name) + 1 for name in groups))
    own = [name for name in metrics if f"{name}_n" in table]
    starts = {name: f"{'n':>8}" if name in own else "" for name in metrics}
    head = "".join(f"{starts[name]}{NAMES[name]:>14}  95 % interval" for name in metrics)
    yield f"{'':<{width}}{'n':>8}{head}"
    for name in classes:
        yield f"{name:<{width}}{_line(table, metrics, name, own)}"
    for name, group in groups.items() if len(groups) > 1 else ():
        yield f"{name:<{width}}{_line(group, metrics, 'all', own)}"


def _share(table: dict[str, Any], metric: str, hardness: str) -> str:
    if metric not in table:  # no verdict of this class has it
        return f"{'–':>14}  {'–':>13}"
    interval = table["ci95" if metric == "ex" else f"{metric}_ci95"][hardness]
    span = f"{interval['low']} to {interval['high']}" if interval else "–"
    return f"{shown_percent(table[metric][hardness]):>14}  {span:>13}"


def _notes(table: dict[str, Any]) -> Iterator[str]:
    errors = ", ".join(f"{kind} {count}" for kind, count in table["errors"].items())
    yield f"errors of predictions: {errors or 'none'}"
    for key, what in (
        ("gold_failures", "left out, because the gold query fails or its database is missing"),
        ("no_hardness", "only in class all, because the gold query has no hardness"),
    ):
        if table.get(key):
            rows = table[key]
            total = f" ({len(rows)} in all)" if len(rows) > _SHOWN_FAILURES else ""
            yield f"{what}: rows {_first(rows, _SHOWN_FAILURES)}{total}"


def _unmatched(found: Found) -> Iterator[str]:
    for reason, rows in found.unmatched.items():
        yield f"exact match not decided: {len(rows)}, {reason}: rows {_first(rows, _SHOWN)}"


def _measured_on(measured: Measured) -> Iterator[str]:
    used = measured.databases
    if measured.named:
        yield from _each_measured_on(measured)
    elif measured.settings.executes:
        metric = "test-suite accuracy (TS)" if used.most > 1 else "official EX"
        yield f"execution: {metric} on {used.per_question()} a question"
    yield f"database files: {used.files}, SHA-256 {used.sha256}" if used.files else "database files: none"
    if "em" in measured.settings.metrics:
        yield f"exact match: {_foreign_keys(measured.tables)}"


def _each_measured_on(measured: Measured) -> Iterator[str]:
    """A line for the named metrics that were measured in the same way."""
    same: defaultdict[str, list[str]] = defaultdict(list)
    for metric in measured.named:
        number = measured.databases.per_question() if metric in _SUITES else "1 database"
        plugged = ", with the gold query's values plugged in" if metric in _PLUGGED else ""
        if metric != "em":
            same[f"on {number} a question{plugged}"].append(metric)
    yield from (f"{', '.join(metrics)}: {how}" for how, metrics in same.items())


def _foreign_keys(tables: dict[str, Any] | None) -> str:
    if tables is None:
        return "foreign keys of the SQLite files, because there is no tables.json"
    return f"foreign keys of {tables['path']} ({'given' if tables['given'] else 'found'})"


def _noted(table: dict[str, Any], found: Found, named: Sequence[Metric]) -> Iterator[str]:
    """A line for each note, with the first rows that have it."""
    from text2sql.evaluation.notes import NOTES

    by = _right_by(named) if named else NAMES["ex"]
    for name, counts in table.get("notes", {}).items():
        right = f", {counts['right']} right by {by}" if "right" in counts else ""
        yield f"{name}: {counts['n']}{right}; {NOTES[name]}: rows {_first(found.noted[name], _SHOWN)}"


def _first(rows: Sequence[int], shown: int) -> str:
    return ", ".join(map(str, rows[:shown])) + (", ..." if len(rows) > shown else "")


def _second_score(reliable: WithoutDoubtful, named: Sequence[Metric]) -> str:
    table = reliable.table()
    official = {name: shown for name, shown in NAMES.items() if name in table}
    metrics: dict[str, str] = {name: name for name in named} or official
    shares = ", ".join(f"{shown} {_share_of_all(table, name)}" for name, shown in metrics.items())
    return f"without the {reliable.left_out} rows with doubtful gold: {shares} (n {table['n']['all']})"


def _share_of_all(table: dict[str, Any], metric: str) -> str:
    """Percent of all, with n where it is not that of the other metrics."""
    percent = shown_percent(table[metric]["all"] if metric in table else None)
    own = table.get(f"{metric}_n")
    return f"{percent} (n {own['all']})" if own else percent
