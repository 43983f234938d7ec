"""`text2sql evaluate`: reads the official evaluator's files, writes verdicts and scores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from text2sql.commands.named_metrics import NOISY, asked_metrics, named_table, without_suites
from text2sql.commands.options import check_outputs, setting
from text2sql.errors import UserError
from text2sql.evaluation.settings import METRICS, JudgeSettings, Metric
from text2sql.files import write_json, write_jsonl
from text2sql.progress import Progress
from text2sql.schema.database_files import find_database
from text2sql.settings import checked

if TYPE_CHECKING:
    from text2sql.evaluation.scores import Scores
    from text2sql.evaluation.used_databases import UsedDatabases
    from text2sql.evaluation.verdicts import Case, Verdict

_ETYPES: dict[str, list[Metric]] = {"exec": ["ex", "ts"], "match": ["em"], "all": ["ex", "ts", "em"]}
_PLUGGED: list[Metric] = ["ex_plug", "ts_plug"]
_NAMES = {"ex": "execution", "em": "exact match"}
_SHOWN = 5  # rows of a note


@click.command()
@click.option(
    "--gold",
    required=True,
    type=click.Path(path_type=Path),
    help="Gold SQL and db_id: lines (SQL, tab, db_id), JSON, JSON lines, CSV or TSV, also .gz; -: stdin.",
)
@click.option(
    "--pred",
    required=True,
    type=click.Path(path_type=Path),
    help="One prediction per line, or JSON (also BIRD's), JSON lines, CSV or TSV, also .gz; -: stdin.",
)
@click.option(
    "--field",
    "fields",
    multiple=True,
    metavar="ROLE=NAME",
    help="The field for gold, pred, db_id or id, where it has no usual name; can be repeated.",
)
@click.option(
    "--db", required=True, type=click.Path(path_type=Path), help="Folder of ID/ID.sqlite or ID.sqlite."
)
@click.option(
    "--table",
    type=click.Path(path_type=Path),
    help="Spider's tables.json; default: beside or in --db.",
)
@click.option("--suite", type=click.Path(path_type=Path), help="Databases of `text2sql make-suite`, too.")
@click.option("--etype", default="exec", show_default=True, metavar="exec|match|all", help="What to compare.")
@click.option(
    "--plug-value",
    "--plug_value",
    "plug_values",
    is_flag=True,
    help="Plug the gold query's values into the predictions before they run.",
)
@click.option(
    "--metric",
    "named",
    multiple=True,
    metavar="|".join(METRICS) + "|all",
    help="In place of --etype: a metric by its own name, see docs/metrics.md; may be repeated. "
    "r_ves measures time and is noisy.",
)
@setting(JudgeSettings, "ves_runs")
@setting(JudgeSettings, "keep_distinct", "--keep-distinct", "--keep_distinct")
@setting(JudgeSettings, "keep_value")
@setting(JudgeSettings, "timeout_s", "--timeout")
@setting(JudgeSettings, "max_rows")
@click.option("--workers", type=click.IntRange(min=1), help="Processes; default: one per core.")
@setting(JudgeSettings, "executor")
@click.option("--out", type=click.Path(path_type=Path), help="Verdicts, one JSON object per prediction.")
@click.option("--json", "summary", type=click.Path(path_type=Path), help="Scores as JSON.")
def evaluate(gold: Path, pred: Path, db: Path, out: Path | None, **options: Any) -> None:
    """Score predicted SQL as the official Spider and test-suite evaluators do."""
    from text2sql.evaluation.inputs.cases import FieldNames, read_cases
    from text2sql.evaluation.judge import describe, judge

    named = asked_metrics(click.get_current_context(), options["named"])
    settings = _settings(options, named)
    tables = _tables(options["table"], db)
    check_outputs(
        {"--gold": gold, "--pred": pred, "--db": db, "--table": tables, "--suite": options["suite"]},
        {"--out": out, "--json": options["summary"]},
    )
    cases = read_cases(gold, pred, FieldNames.chosen(options["fields"]))
    _require_a_database(cases, gold, db)
    if named and not options["suite"]:
        settings = settings.replace(metrics=without_suites(named, db, {case.db_id for case in cases}))
    if "r_ves" in settings.metrics:
        click.echo(NOISY, err=True)
    judged = judge(
        cases,
        db,
        settings,
        tables=tables if "em" in settings.metrics else None,
        suite=options["suite"],
        workers=options["workers"],
    )
    found = _Found()
    judged = judged if named else (as_official(verdict, settings) for verdict in judged)
    metrics = settings.metrics if named else [name for name in settings.metrics if name in _NAMES]
    rows = _watched(judged, metrics, found, len(cases), gold)
    if out:
        write_jsonl(out, rows)
    else:
        for _ in rows:
            pass
    measured = _measured(cases, db, settings, tables, options)
    if options["summary"]:
        write_json(options["summary"], {**_summary(found, measured), "evaluator": describe(settings)})
    click.echo("\n".join(_report(found, measured, settings.metrics if named else [])))


# -- settings --


def _settings(options: dict[str, Any], named: list[Metric]) -> JudgeSettings:
    if options["etype"] not in _ETYPES:
        raise UserError(f"--etype {options['etype']}: unknown; choose one of {', '.join(_ETYPES)}")
    official = _ETYPES[options["etype"]]
    plugged = _PLUGGED if options["plug_values"] and "ex" in official else []
    values = {name: options[name] for name in JudgeSettings.model_fields if name in options}
    return checked(JudgeSettings, values | {"metrics": named or official + plugged}, "the command line")


def _tables(named: Path | None, databases: Path) -> Path | None:
    """Return the file of foreign keys: the given one, or the one that is where Spider keeps it."""
    if named:
        return named
    places = (databases.parent / "tables.json", databases / "tables.json")
    return next((place for place in places if place.is_file()), None)


def _require_a_database(cases: Iterable[Case], gold: Path, databases: Path) -> None:
    """Check that there is a database of the cases, before any query runs.

    Raises:
        UserError: there is none.
    """
    needed = [find_database(databases, db_id) for db_id in dict.fromkeys(case.db_id for case in cases)]
    if not any(path.is_file() for path in needed):
        raise UserError(f"{needed[0]}: not found, and no other database of {gold} either; correct --db")


def _measured(
    cases: Iterable[Case],
    databases: Path,
    settings: JudgeSettings,
    tables: Path | None,
    options: dict[str, Any],
) -> _Measured:
    from text2sql.evaluation.execution.suite import Suite
    from text2sql.evaluation.used_databases import used_databases

    made = Suite.read(options["suite"], databases) if options["suite"] else None
    used = used_databases(databases, ((c.db_id, c.gold) for c in cases), settings.uses_suites, made)
    keys = {"path": str(tables), "given": options["table"] is not None}
    return _Measured(settings, used, keys if tables and "em" in settings.metrics else None)


# -- output --


def _found_scores() -> Scores:
    from text2sql.evaluation.scores import Scores

    return Scores()


@dataclass(frozen=True)
class _Found:
    """The scores, those of each class that the gold names, and the rows that have each note."""

    scores: Scores = field(default_factory=_found_scores)
    by_class: defaultdict[str, Scores] = field(default_factory=lambda: defaultdict(_found_scores))
    noted: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def add(self, verdict: Verdict) -> None:
        self.scores.add(verdict)
        self.by_class[verdict.slice].add(verdict)
        for note in verdict.notes:
            self.noted[note].append(verdict.row)


@dataclass(frozen=True)
class _Measured:
    """What the scores were measured on; `tables` is the file of foreign keys, and whether it was given."""

    settings: JudgeSettings
    databases: UsedDatabases
    tables: dict[str, Any] | None


def _watched(
    verdicts: Iterable[Verdict], metrics: Sequence[str], found: _Found, total: int, gold: Path
) -> Iterator[dict[str, Any]]:
    """Count each verdict and yield its row; print progress and failing gold queries on stderr."""
    progress = Progress(total, "predictions", "evaluate")
    for verdict in verdicts:
        if verdict.gold_failed:
            what = f"{gold}, row {verdict.row} (database {verdict.db_id})"
            click.echo(f"warning: {what}: left out, {verdict.error}: {verdict.message}", err=True)
        found.add(verdict)
        progress.advance()
        yield _row(verdict, metrics)


def as_official(verdict: Verdict, settings: JudgeSettings) -> Verdict:
    """Return the verdict with the `ex` of the official evaluator under the same settings.

    That is: with plugged values if `plug_values` is set, and on all databases if the folder has several.
    """
    one, all_of_them = verdict.ex, verdict.ts
    if settings.plugs_values:
        one, all_of_them = verdict.ex_plug, verdict.ts_plug
    ex = one if all_of_them is None else all_of_them
    return replace(verdict, ex=ex, ex_plug=None, ts=None, ts_plug=None)


def _row(verdict: Verdict, metrics: Sequence[str]) -> dict[str, Any]:
    names = ["row", "db_id", "hardness", *metrics, "error", "message", "notes", "seconds"]
    return {name: getattr(verdict, name) for name in names}


def _summary(found: _Found, measured: _Measured) -> dict[str, Any]:
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
    return {**table, "databases": measured.databases.as_json()}


def _report(found: _Found, measured: _Measured, named: Sequence[str]) -> Iterator[str]:
    """Yield the lines to print on stdout; `named` are the metrics to show under their own names, if any."""
    from text2sql.evaluation.spider.hardness import HARDNESS

    table, classes = found.scores.table(), (*HARDNESS, "all")
    yield from named_table(table, named) if named else _official_table(table, found, classes)
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


def _official_table(table: dict[str, Any], found: _Found, classes: Sequence[str]) -> Iterator[str]:
    metrics = [name for name in _NAMES if name in table]
    groups = {name or "none": scores.table() for name, scores in found.by_class.items()}
    width = max(8, *(len(name) + 1 for name in groups))
    head = "".join(f"{_NAMES[name]:>14}  95 % interval" for name in metrics)
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


def _measured_on(measured: _Measured) -> Iterator[str]:
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


def _noted(table: dict[str, Any], found: _Found) -> Iterator[str]:
    """A line for each note, with the first rows that have it."""
    from text2sql.evaluation.notes import NOTES

    for name, counts in table.get("notes", {}).items():
        rows = found.noted[name]
        right = f", {counts['right']} right by execution" if "right" in counts else ""
        listed = ", ".join(map(str, rows[:_SHOWN])) + (", ..." if len(rows) > _SHOWN else "")
        yield f"{name}: {counts['n']}{right}; {NOTES[name]}: rows {listed}"
