"""`text2sql evaluate`: reads the official evaluator's files, writes verdicts and scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from text2sql.commands.evaluate_summary import NAMES, Found, Measured, report, summary
from text2sql.commands.named_metrics import NOISY, asked_metrics, without_suites
from text2sql.commands.options import check_outputs, setting
from text2sql.errors import UserError
from text2sql.evaluation.settings import METRICS, JudgeSettings, Metric
from text2sql.files import write_json, write_jsonl
from text2sql.progress import Progress
from text2sql.schema.database_files import find_database
from text2sql.settings import checked

if TYPE_CHECKING:
    from text2sql.evaluation.doubtful.scores import WithoutDoubtful
    from text2sql.evaluation.verdicts import Case, Verdict

_ETYPES: dict[str, list[Metric]] = {"exec": ["ex", "ts"], "match": ["em"], "all": ["ex", "ts", "em"]}
_PLUGGED: list[Metric] = ["ex_plug", "ts_plug"]


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
@click.option(
    "--doubtful",
    type=click.Path(path_type=Path),
    help="What `audit-gold --out` wrote: adds the score without rows whose gold is doubtful.",
)
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
        {"--gold": gold, "--pred": pred, "--db": db, "--table": tables, **_named_files(options)},
        {"--out": out, "--json": options["summary"]},
    )
    cases = read_cases(gold, pred, FieldNames.chosen(options["fields"]))
    _require_a_database(cases, gold, db)
    reliable = _without_doubtful(options["doubtful"], len(cases))
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
    found = Found(reliable)
    judged = judged if named else (as_official(verdict, settings) for verdict in judged)
    metrics = settings.metrics if named else [name for name in settings.metrics if name in NAMES]
    rows = _watched(judged, metrics, found, len(cases), gold)
    if out:
        write_jsonl(out, rows)
    else:
        for _ in rows:
            pass
    measured = _measured(cases, db, settings, tables, options)
    if options["summary"]:
        write_json(options["summary"], {**summary(found, measured), "evaluator": describe(settings)})
    click.echo("\n".join(report(found, measured, settings.metrics if named else [])))


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


def _named_files(options: dict[str, Any]) -> dict[str, Path | None]:
    """The input files of options that may be left out, by the options' names."""
    return {"--suite": options["suite"], "--doubtful": options["doubtful"]}


def _require_a_database(cases: Iterable[Case], gold: Path, databases: Path) -> None:
    """Check that there is a database of the cases, before any query runs.

    Raises:
        UserError: there is none.
    """
    needed = [find_database(databases, db_id) for db_id in dict.fromkeys(case.db_id for case in cases)]
    if not any(path.is_file() for path in needed):
        raise UserError(f"{needed[0]}: not found, and no other database of {gold} either; correct --db")


def _without_doubtful(file: Path | None, total: int) -> WithoutDoubtful | None:
    """The second score, without the rows that the file lists as doubtful.

    Raises:
        UserError: the file cannot be read, or was written for more gold queries than there are.
    """
    from text2sql.evaluation.doubtful.scores import WithoutDoubtful, read_doubtful

    if file is None:
        return None
    doubtful = read_doubtful(file)
    last = max(doubtful, default=-1)
    if last >= total:
        again = "write it with `text2sql audit-gold` from the same --gold"
        raise UserError(f"{file}: has row {last}, but there are {total} gold queries; {again}")
    return WithoutDoubtful(doubtful)


def _measured(
    cases: Iterable[Case],
    databases: Path,
    settings: JudgeSettings,
    tables: Path | None,
    options: dict[str, Any],
) -> Measured:
    from text2sql.evaluation.execution.suite import Suite
    from text2sql.evaluation.used_databases import used_databases

    made = Suite.read(options["suite"], databases) if options["suite"] else None
    used = used_databases(databases, ((c.db_id, c.gold) for c in cases), settings.uses_suites, made)
    keys = {"path": str(tables), "given": options["table"] is not None}
    return Measured(settings, used, keys if tables and "em" in settings.metrics else None)


# -- output --


def _watched(
    verdicts: Iterable[Verdict], metrics: Sequence[str], found: Found, total: int, gold: Path
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
