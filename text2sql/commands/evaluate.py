"""`text2sql evaluate`: reads the official evaluator's files, writes verdicts and scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from text2sql.commands.evaluate_summary import NAMES, Found, Measured, advice, empty_scores, report, summary
from text2sql.commands.named_metrics import NOISY, asked_metrics, without_suites
from text2sql.commands.options import check_outputs, field_option, setting
from text2sql.errors import UserError
from text2sql.evaluation.settings import METRICS, JudgeSettings, Metric
from text2sql.files import require_writable, write_json, write_jsonl, writing
from text2sql.processes import Stopped, stopped_by_signals
from text2sql.progress import Progress
from text2sql.schema.database_files import find_database
from text2sql.settings import checked

if TYPE_CHECKING:
    from text2sql.evaluation.doubtful.scores import WithoutDoubtful
    from text2sql.evaluation.resume import Resumed
    from text2sql.evaluation.verdicts import Case, Verdict

_ETYPES: dict[str, list[Metric]] = {"exec": ["ex", "ts"], "match": ["em"], "all": ["ex", "ts", "em"]}
_SHOWN = 5  # names in a message
_PLUGGED: list[Metric] = ["ex_plug", "ts_plug"]


def _show_version(context: click.Context, parameter: click.Parameter, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        from text2sql.evaluation.judge import EVALUATOR_VERSION

        click.echo(f"text2sql {version('text2sql-qwen3')}, evaluator {EVALUATOR_VERSION}")
        context.exit()


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
@field_option("gold, pred, db_id or id (in one file: gold.id or pred.id)")
@click.option(
    "--db",
    type=click.Path(path_type=Path),
    help="Folder of ID/ID.sqlite or ID.sqlite; not needed for exact match alone with --table.",
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
@setting(JudgeSettings, "memory_mb", "--memory")
@setting(JudgeSettings, "spill_mb", "--spill")
@click.option("--workers", type=click.IntRange(min=1), help="Processes; default: one per core.")
@setting(JudgeSettings, "executor")
@click.option(
    "--doubtful",
    type=click.Path(path_type=Path),
    help="What `audit-gold --out` wrote: adds the score without rows whose gold is doubtful.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Verdicts, one JSON object per prediction.")
@click.option("--json", "summary", type=click.Path(path_type=Path), help="Scores as JSON.")
@click.option("--fail-on-gold", is_flag=True, help="Exit status 1 if any gold query fails.")
@click.option("--quiet", is_flag=True, help="Neither progress nor warnings on stderr.")
@click.option("--progress_bar_for_each_datapoint", is_flag=True, hidden=True, expose_value=False)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the versions of the package and of the evaluator.",
)
@stopped_by_signals()
def evaluate(gold: Path, pred: Path, db: Path | None, out: Path | None, **options: Any) -> None:
    """Score predicted SQL as the official Spider and test-suite evaluators do."""
    from text2sql.evaluation.inputs.cases import FieldNames, read_cases

    named = asked_metrics(click.get_current_context(), options["named"])
    settings = _settings(options, named)
    tables = _tables(options["table"], db)
    check_outputs(
        {"--gold": gold, "--pred": pred, "--db": db, "--table": tables, **_named_files(options)},
        {"--out": out, "--json": options["summary"]},
    )
    for output in filter(None, (out, options["summary"])):
        require_writable(output)
    say = _silent if options["quiet"] else _say
    cases = read_cases(gold, pred, FieldNames.chosen(options["fields"]), say)
    _require_databases(db, settings, options)
    if db:
        _require_a_database(cases, gold, db)
    keys = _require_tables(tables) if "em" in settings.metrics else None
    found = Found(_without_doubtful(options["doubtful"], gold, cases), empty_scores(named))
    if named and db and not options["suite"]:
        settings = settings.replace(metrics=without_suites(named, db, {case.db_id for case in cases}, say))
    for warning in _warnings(cases, db, settings, options["suite"]) if db else ():
        say(warning)
    task = _Task(cases, gold, db, settings, keys, options, settings.metrics if named else [])
    measured = _judge(task, found, out, say)
    _end(found, measured, gold, say, options["fail_on_gold"])


@dataclass(frozen=True)
class _Task:
    """What is to be judged, and how; `keys` is the file of foreign keys, `named` what --metric names."""

    cases: Sequence[Case]
    gold: Path
    db: Path | None
    settings: JudgeSettings
    keys: Path | None
    options: dict[str, Any]
    named: Sequence[Metric]


def _judge(task: _Task, found: Found, out: Path | None, say: Callable[[str], None]) -> Measured:
    """Judge the cases, add the verdicts to `found`, and write what was asked for."""
    from text2sql.evaluation.judge import judge
    from text2sql.evaluation.resume import Resumed, resuming

    options, settings, suite = task.options, task.settings, task.options["suite"]
    judged = partial(
        judge,
        databases=task.db,
        settings=settings,
        tables=task.keys,
        suite=suite,
        workers=options["workers"],
    )
    keeps = out or options["summary"]
    resumed = resuming(task.cases, task.db, settings, task.keys, suite, say)
    with resumed if keeps else nullcontext(Resumed()) as kept, _saying_what_is_kept(kept):
        if kept.found and not options["quiet"]:
            found_before = f"{len(kept.found)} of {len(task.cases)} verdicts"
            click.echo(f"{found_before} are taken from an earlier run, which was stopped", err=True)
        verdicts = kept.judge(task.cases, judged)
        verdicts = verdicts if task.named else (as_official(verdict, settings) for verdict in verdicts)
        _write(out, _watched(task, verdicts, found, say))
        measured = _measured(task)
        if options["summary"]:
            table = {**summary(found, measured), "evaluator": _evaluator(task)}
            write_json(options["summary"], table, writing)
    return measured


@contextmanager
def _saying_what_is_kept(kept: Resumed) -> Iterator[None]:
    """Where a stop keeps nothing, have the command say so."""
    try:
        yield
    except (KeyboardInterrupt, Stopped) as stop:
        if not kept.keeps:
            stop.add_note(
                "nothing was kept, so the same command begins anew; with --out or --json it goes on"
            )
        raise


def _evaluator(task: _Task) -> dict[str, Any]:
    """What the scores depend on; whether values are plugged in is said of each metric that has a name."""
    from text2sql.evaluation.judge import describe

    hidden = {"plug_values"} if task.named else set()
    return {name: value for name, value in describe(task.settings).items() if name not in hidden}


# -- settings --


def _settings(options: dict[str, Any], named: list[Metric]) -> JudgeSettings:
    if options["etype"] not in _ETYPES:
        raise UserError(f"--etype {options['etype']}: unknown; choose one of {', '.join(_ETYPES)}")
    official = _ETYPES[options["etype"]]
    plugged = _PLUGGED if options["plug_values"] and "ex" in official else []
    values = {name: options[name] for name in JudgeSettings.model_fields if name in options}
    return checked(JudgeSettings, values | {"metrics": named or official + plugged}, "the command line")


def _tables(named: Path | None, databases: Path | None) -> Path | None:
    """Return the file of foreign keys: the given one, or the one that is where Spider keeps it."""
    if named or databases is None:
        return named
    places = (databases.parent / "tables.json", databases / "tables.json")
    return next((place for place in places if place.is_file()), None)


def _named_files(options: dict[str, Any]) -> dict[str, Path | None]:
    """The input files of options that may be left out, by the options' names."""
    return {"--suite": options["suite"], "--doubtful": options["doubtful"]}


def _require_tables(tables: Path | None) -> Path | None:
    """The file of foreign keys, if one is named.

    Raises:
        UserError: it does not exist.
    """
    if tables and not tables.is_file():
        raise UserError(f"{tables}: no such file; correct --table")
    return tables


def _require_databases(databases: Path | None, settings: JudgeSettings, options: dict[str, Any]) -> None:
    """Check that what has to be read is named.

    Raises:
        UserError: a metric needs databases, or exact match has neither them nor a file of tables.
    """
    if databases:
        return
    running = [metric for metric in settings.metrics if metric != "em"]
    if running or options["suite"]:
        needed = f"{', '.join(running)} cannot do without" if running else "--suite adds to it"
        raise UserError(f"--db is missing, and {needed}; name the folder of the databases with --db DIR")
    if not options["table"]:
        raise UserError("--db is missing; name the databases with --db DIR, or tables.json with --table FILE")


def _require_a_database(cases: Iterable[Case], gold: Path, databases: Path) -> None:
    """Check that there is a database of the cases, before any query runs.

    Raises:
        UserError: there is none.
    """
    needed = [find_database(databases, db_id) for db_id in dict.fromkeys(case.db_id for case in cases)]
    if not any(path.is_file() for path in needed):
        raise UserError(f"{needed[0]}: not found, and no other database of {gold} either; correct --db")


def _without_doubtful(file: Path | None, gold: Path, cases: Iterable[Case]) -> WithoutDoubtful | None:
    """The second score, without the rows that the file lists as doubtful.

    Raises:
        UserError: the file cannot be read, or was written for other gold queries.
    """
    from text2sql.evaluation.doubtful.read import read_doubtful
    from text2sql.evaluation.doubtful.scores import WithoutDoubtful

    if file is None:
        return None
    return WithoutDoubtful(read_doubtful(file, gold, [(case.gold, case.db_id) for case in cases]))


def _measured(task: _Task) -> Measured:
    from text2sql.evaluation.execution.suite import Suite
    from text2sql.evaluation.used_databases import used_databases

    suite, settings = task.options["suite"], task.settings
    made = Suite.read(suite, task.db) if suite and task.db else None
    used = used_databases(task.db, ((c.db_id, c.gold) for c in task.cases), settings.uses_suites, made)
    tables = {"path": str(task.keys), "given": task.options["table"] is not None}
    shown = tables if task.keys and "em" in settings.metrics else None
    return Measured(settings, used, shown, task.named)


def _say(warning: str) -> None:
    click.echo(f"warning: {warning}", err=True)


def _silent(warning: str) -> None:
    """Say nothing: --quiet."""


def _warnings(
    cases: Sequence[Case], databases: Path, settings: JudgeSettings, suite: Path | None
) -> Iterator[str]:
    """Yield what to say before queries run.

    Raises:
        UserError: the suite has none of the databases.
    """
    from text2sql.evaluation.execution.databases import warning_of_ignored

    if "r_ves" in settings.metrics:
        yield NOISY
    if missing := _missing(cases, databases):
        rows = f"{missing.total()} of {len(cases)} rows are left out"
        listed = _few([f"{db_id} ({count} rows)" for db_id, count in missing.most_common()])
        first = find_database(databases, next(iter(missing)))
        fix = "correct --db, or put them there as ID/ID.sqlite"
        yield f"{first}: no such file; {len(missing)} databases are missing, so {rows}: {listed}; {fix}"
    if ignored := warning_of_ignored(databases, (case.db_id for case in cases)):
        yield ignored
    if suite and not settings.uses_suites:
        asked = ", ".join(settings.metrics)
        yield f"--suite {suite}: not used, because {asked} do not need it; add --metric ts to use it"
    elif suite and (lacking := _without_suite(cases, databases, suite)):
        yield lacking


def _missing(cases: Iterable[Case], databases: Path) -> Counter[str]:
    """The number of rows of each database that there is not."""
    asked = Counter(case.db_id for case in cases)
    return Counter({name: n for name, n in asked.items() if not find_database(databases, name).is_file()})


def _without_suite(cases: Sequence[Case], databases: Path, suite: Path) -> str:
    """A sentence about the databases that are not in the suite; "" if all are.

    Raises:
        UserError: none is.
    """
    from text2sql.evaluation.execution.suite import Suite

    made = Suite.read(suite, databases).manifest.databases
    asked = Counter(case.db_id for case in cases)
    missing = [db_id for db_id in asked if not (db_id in made and made[db_id].files)]
    fix = "make one for them: text2sql make-suite --gold FILE --db DIR --out SUITE"
    if len(missing) == len(asked):
        raise UserError(f"{suite}: the suite has none of the databases of the gold queries; {fix}")
    if not missing:
        return ""
    rows = sum(asked[db_id] for db_id in missing)
    some = f"{len(missing)} of {len(asked)} databases ({_few(missing)}; {rows} rows)"
    return f"{suite}: the suite lacks {some}, which are judged on their own files alone; {fix}"


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


# -- output --


def _write(out: Path | None, rows: Iterable[dict[str, Any]]) -> None:
    if out:
        write_jsonl(out, rows, writing)
    else:
        for _ in rows:
            pass


def _watched(
    task: _Task, verdicts: Iterable[Verdict], found: Found, say: Callable[[str], None]
) -> Iterator[dict[str, Any]]:
    """Count each verdict and yield its row; show progress, failing gold queries and missing schemas."""
    total, metrics = len(task.cases), task.settings.metrics
    shown = task.named or [name for name in metrics if name in NAMES]
    progress = None if say is _silent else Progress(total, "predictions", "evaluate")
    said = set(_missing(task.cases, task.db)) if task.db else set()  # databases of which a warning was given
    for verdict in verdicts:
        if warning := _warning(verdict, task.gold, said):
            say(warning)
        found.add(verdict)
        if progress:
            progress.advance()
        yield _row(verdict, task.cases[verdict.row].question_id, shown)


def _warning(verdict: Verdict, gold: Path, said: set[str]) -> str:
    """What to say of a gold query that fails, and of a database without exact match; "" for others.

    `said` are the databases of which a warning was given.
    """
    from text2sql.evaluation.verdicts import GOLD_UNREADABLE, NO_MATCH

    place, message = (
        f"{gold}, row {verdict.row} (counted from 0; database {verdict.db_id})",
        verdict.message or "",
    )
    if verdict.gold_failed and verdict.error != "gold: database":
        return f"{place}: left out, {verdict.error}: {message}"
    no_match = NO_MATCH in message and not message.endswith(GOLD_UNREADABLE)
    if not (verdict.gold_failed or no_match) or verdict.db_id in said:
        return ""
    said.add(verdict.db_id)
    what = f"left out, {message}" if verdict.gold_failed else message[message.index(NO_MATCH) :]
    return f"{place} and others of this database: {what}"


def _end(
    found: Found, measured: Measured, gold: Path, say: Callable[[str], None], fail_on_gold: bool
) -> None:
    """Print the scores, and what may be wrong with the files.

    Raises:
        UserError: every gold query fails, or one does and `fail_on_gold` is set.
    """
    messages, total = found.scores.gold_messages(), found.scores.with_gold
    failed = sum(count for _, count in messages)
    if failed < total:
        click.echo("\n".join(report(found, measured)))
        if hint := advice(found):
            say(hint)
    if failed and (fail_on_gold or failed == total):
        often = f"{failed} of {total} gold queries fail, most often ({messages[0][1]} times)"
        raise UserError(f"{gold}: {often} because of: {messages[0][0]}; correct the queries, --gold or --db")


def as_official(verdict: Verdict, settings: JudgeSettings) -> Verdict:
    """Return the verdict with the `ex` of the official evaluator under the same settings.

    That is: with plugged values if `plug_values` is set, and on all databases if the folder has several.
    """
    one, all_of_them = verdict.ex, verdict.ts
    if settings.plugs_values:
        one, all_of_them = verdict.ex_plug, verdict.ts_plug
    ex = one if all_of_them is None else all_of_them
    return replace(verdict, ex=ex, ex_plug=None, ts=None, ts_plug=None)


def _row(verdict: Verdict, question_id: str | int | None, metrics: Sequence[str]) -> dict[str, Any]:
    names = ["db_id", "hardness", *metrics, "error", "message", "notes", "seconds"]
    own = {} if question_id is None else {"question_id": question_id}
    return {"row": verdict.row, **own, **{name: getattr(verdict, name) for name in names}}
