"""What `text2sql evaluate` prints and writes as JSON: the scores, and what they were measured on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from text2sql.commands.named_metrics import named_table
from text2sql.evaluation.settings import JudgeSettings

if TYPE_CHECKING:
    from text2sql.evaluation.doubtful.scores import WithoutDoubtful
    from text2sql.evaluation.scores import Scores
    from text2sql.evaluation.used_databases import UsedDatabases
    from text2sql.evaluation.verdicts import Verdict

NAMES = {"ex": "execution", "em": "exact match"}
"""The metrics of the official evaluator, as it is printed."""

_SHOWN = 5  # rows of a note


def _found_scores() -> Scores:
    from text2sql.evaluation.scores import Scores

    return Scores()


@dataclass(frozen=True)
class Found:
    """The scores, those of each class that the gold names, and the rows that have each note.

    `reliable` are the scores without the rows whose gold is doubtful, if those are known.
    """

    reliable: WithoutDoubtful | None = None
    scores: Scores = field(default_factory=_found_scores)
    by_class: defaultdict[str, Scores] = field(default_factory=lambda: defaultdict(_found_scores))
    noted: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def add(self, verdict: Verdict) -> None:
        """Count one verdict in all of them."""
        self.scores.add(verdict)
        if self.reliable:
            self.reliable.add(verdict)
        self.by_class[verdict.slice].add(verdict)
        for note in verdict.notes:
            self.noted[note].append(verdict.row)


@dataclass(frozen=True)
class Measured:
    """What the scores were measured on; `tables` is the file of foreign keys, and whether it was given."""

    settings: JudgeSettings
    databases: UsedDatabases
    tables: dict[str, Any] | None


def summary(found: Found, measured: Measured) -> dict[str, Any]:
    """The scores and what they were measured on, for --json."""
    table, settings = found.scores.table(), measured.settings
    if found.noted:
        table["notes"] = {
            name: {**table["notes"][name], "rows": found.noted[name]} for name in table["notes"]
        }
    if "em" in settings.metrics:
        table["partial"] = found.scores.partial()
        table["tables"] = measured.tables
    if settings.executes:
        table["execution"] = "ts" if measured.databases.most > 1 else "ex"
    if found.reliable:
        table["without_doubtful"] = found.reliable.table()
    return {**table, "databases": measured.databases.as_json()}


def report(found: Found, measured: Measured, named: Sequence[str]) -> Iterator[str]:
    """Yield the lines to print on stdout; `named` are the metrics to show under their own names, if any."""
    from text2sql.evaluation.spider.hardness import HARDNESS

    table, classes = found.scores.table(), (*HARDNESS, "all")
    yield from named_table(table, named) if named else _official_table(table, found, classes)
    if found.reliable:
        yield _second_score(found.reliable)
    yield from _notes(table)
    yield from _measured_on(measured)
    yield from _noted(table, found)
    yield from _partial(found.scores.partial(), classes)


def _line(table: dict[str, Any], metrics: Iterable[str], name: str) -> str:
    return f"{table['n'][name]:>8}" + "".join(_share(table, metric, name) for metric in metrics)


def _partial(partial: dict[str, dict[str, dict[str, float | None]]], classes: Iterable[str]) -> Iterator[str]:
    for measure, components in partial.items():
        yield ""
        yield f"{'partial match: ' + measure:<26}" + "".join(f"{name:>8}" for name in classes)
        for component, percents in components.items():
            yield f"{component:<26}" + "".join(f"{_number(percents[name]):>8}" for name in classes)


def _official_table(table: dict[str, Any], found: Found, classes: Sequence[str]) -> Iterator[str]:
    metrics = [name for name in NAMES if name in table]
    groups = {name or "none": scores.table() for name, scores in found.by_class.items()}
    width = max(8, *(len(name) + 1 for name in groups))
    head = "".join(f"{NAMES[name]:>14}  95 % interval" for name in metrics)
    yield f"{'':<{width}}{'n':>8}{head}"
    for name in classes:
        yield f"{name:<{width}}{_line(table, metrics, name)}"
    for name, group in groups.items() if list(groups) != ["none"] else ():
        yield f"{name:<{width}}{_line(group, metrics, 'all')}"


def _share(table: dict[str, Any], metric: str, hardness: str) -> str:
    if metric not in table:  # no verdict of this class has it
        return f"{'–':>14}  {'–':>13}"
    interval = table["ci95" if metric == "ex" else f"{metric}_ci95"][hardness]
    span = f"{interval['low']} to {interval['high']}" if interval else "–"
    return f"{_number(table[metric][hardness]):>14}  {span:>13}"


def _number(percent: float | None) -> str:
    return "–" if percent is None else f"{percent:.1f}"


def _notes(table: dict[str, Any]) -> Iterator[str]:
    errors = ", ".join(f"{kind} {count}" for kind, count in table["errors"].items())
    yield f"errors of predictions: {errors or 'none'}"
    for key, what in (
        ("gold_failures", "left out, because the gold query fails"),
        ("no_hardness", "only in class all, because the gold query has no hardness"),
    ):
        if table.get(key):
            yield f"{what}: rows {', '.join(map(str, table[key]))}"
    if "em_n" in table:
        yield f"exact match was decided for {table['em_n']['all']} predictions"


def _measured_on(measured: Measured) -> Iterator[str]:
    used = measured.databases
    if measured.settings.executes:
        metric = "test-suite accuracy (TS)" if used.most > 1 else "official EX"
        yield f"execution: {metric} on {used.per_question()} a question"
    yield f"database files: {used.files}, SHA-256 {used.sha256}"
    if "em" in measured.settings.metrics:
        yield f"exact match: {_foreign_keys(measured.tables)}"


def _foreign_keys(tables: dict[str, Any] | None) -> str:
    if tables is None:
        return "foreign keys of the SQLite files, because there is no tables.json"
    return f"foreign keys of {tables['path']} ({'given' if tables['given'] else 'found'})"


def _noted(table: dict[str, Any], found: Found) -> Iterator[str]:
    """A line for each note, with the first rows that have it."""
    from text2sql.evaluation.notes import NOTES

    for name, counts in table.get("notes", {}).items():
        rows = found.noted[name]
        right = f", {counts['right']} right by execution" if "right" in counts else ""
        listed = ", ".join(map(str, rows[:_SHOWN])) + (", ..." if len(rows) > _SHOWN else "")
        yield f"{name}: {counts['n']}{right}; {NOTES[name]}: rows {listed}"


def _second_score(reliable: WithoutDoubtful) -> str:
    table = reliable.table()
    shares = ", ".join(f"{NAMES[name]} {_number(table[name]['all'])}" for name in NAMES if name in table)
    return f"without the {reliable.left_out} rows with doubtful gold: {shares} (n {table['n']['all']})"
