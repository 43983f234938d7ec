"""`text2sql evaluate`: reads the official evaluator's files, writes verdicts and scores."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from text2sql.commands.options import check_outputs, setting
from text2sql.databases import database_path
from text2sql.errors import UserError
from text2sql.evaluation.settings import JudgeSettings
from text2sql.files import require_writable, write_json, write_jsonl, writing
from text2sql.processes import stopped_by_signals
from text2sql.progress import Progress
from text2sql.settings import checked

if TYPE_CHECKING:
    from text2sql.evaluation.scores import Scores
    from text2sql.evaluation.verdicts import Case, Verdict

_ETYPES = {
    "exec": {"execute": True, "match": False},
    "match": {"execute": False, "match": True},
    "all": {"execute": True, "match": True},
}
_NAMES = {"ex": "execution", "em": "exact match"}
_GOLD_FORM = "write one gold query per line: its SQL, a tab, its db_id"
_PREDICTIONS_FORM = "write one prediction per line, and an empty line for a missing one"


def _show_version(context: click.Context, parameter: click.Parameter, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        from text2sql.evaluation.judge import EVALUATOR_VERSION

        click.echo(f"text2sql {version('text2sql-qwen3')}, evaluator {EVALUATOR_VERSION}")
        context.exit()


@click.command()
@click.option("--gold", required=True, type=click.Path(path_type=Path), help="Each line: SQL, tab, db_id.")
@click.option(
    "--pred",
    required=True,
    type=click.Path(path_type=Path),
    help='One prediction per line, or .jsonl with {"sql": ...}.',
)
@click.option("--db", required=True, type=click.Path(path_type=Path), help="Folder of ID/ID.sqlite.")
@click.option(
    "--table",
    type=click.Path(path_type=Path),
    help="Spider's tables.json; default: beside or in --db.",
)
@click.option("--etype", default="exec", show_default=True, metavar="exec|match|all", help="What to compare.")
@setting(JudgeSettings, "plug_values", "--plug-value", "--plug_value")
@setting(JudgeSettings, "keep_distinct", "--keep-distinct", "--keep_distinct")
@setting(JudgeSettings, "keep_value")
@setting(JudgeSettings, "timeout_s", "--timeout")
@setting(JudgeSettings, "max_rows")
@setting(JudgeSettings, "memory_mb", "--memory")
@setting(JudgeSettings, "spill_mb", "--spill")
@click.option("--workers", type=click.IntRange(min=1), help="Processes; default: one per core.")
@setting(JudgeSettings, "executor")
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
def evaluate(gold: Path, pred: Path, db: Path, out: Path | None, **options: Any) -> None:
    """Score predicted SQL as the official Spider and test-suite evaluators do."""
    from text2sql.evaluation.judge import describe, judge
    from text2sql.evaluation.resume import Resumed, resuming
    from text2sql.evaluation.scores import Scores

    settings = _settings(options)
    tables = _tables(options["table"], db)
    check_outputs(
        {"--gold": gold, "--pred": pred, "--db": db, "--table": tables},
        {"--out": out, "--json": options["summary"]},
    )
    for output in filter(None, (out, options["summary"])):
        require_writable(output)
    total = _check(gold, pred, db)
    say = _silent if options["quiet"] else _say
    _say_ignored(db, read_cases(gold, pred), say)
    keys = tables if settings.match else None
    if keys and not keys.is_file():
        raise UserError(f"{keys}: no such file; correct --table")
    judged = partial(judge, databases=db, settings=settings, tables=keys, workers=options["workers"])
    scores = Scores()
    keeps = out or options["summary"]
    begun = resuming(read_cases(gold, pred), db, settings, keys, say) if keeps else nullcontext(Resumed())
    with begun as kept:
        if kept.found and not options["quiet"]:
            taken = f"{len(kept.found)} of {total} verdicts are taken from an earlier run, which was stopped"
            click.echo(taken, err=True)
        verdicts = kept.judge(read_cases(gold, pred), judged)
        rows = _watched(verdicts, settings, scores, total, gold, say)
        if out:
            write_jsonl(out, rows, writing)
        else:
            for _ in rows:
                pass
        if options["summary"]:
            parts = {"partial": scores.partial()} if settings.match else {}
            summary = {**scores.table(), **parts, "evaluator": describe(settings)}
            write_json(options["summary"], summary, writing)
    _end(scores, gold, options["fail_on_gold"])


# -- settings --


def _settings(options: dict[str, Any]) -> JudgeSettings:
    if options["etype"] not in _ETYPES:
        raise UserError(f"--etype {options['etype']}: unknown; choose one of {', '.join(_ETYPES)}")
    values = {name: options[name] for name in JudgeSettings.model_fields if name in options}
    return checked(JudgeSettings, values | _ETYPES[options["etype"]], "the command line")


def _tables(named: Path | None, databases: Path) -> Path | None:
    """Return the file of foreign keys: the given one, or the one that is where Spider keeps it."""
    if named:
        return named
    places = (databases.parent / "tables.json", databases / "tables.json")
    return next((place for place in places if place.is_file()), None)


def _check(gold: Path, pred: Path, databases: Path) -> int:
    """Read both files to the end before any query runs; return the number of predictions.

    Raises:
        UserError: a file or a line cannot be read, the files do not fit, or there is no database.
    """
    predictions = Counter(case.db_id for case in read_cases(gold, pred))
    if not predictions:
        raise UserError(f"{gold}: no gold queries; {_GOLD_FORM}")
    needed = [database_path(databases, db_id) for db_id in predictions]
    if not any(path.is_file() for path in needed):
        raise UserError(f"{needed[0]}: not found, and no other database of {gold} either; correct --db")
    return predictions.total()


def _say(warning: str) -> None:
    click.echo(f"warning: {warning}", err=True)


def _silent(warning: str) -> None:
    """Say nothing: --quiet."""


def _say_ignored(databases: Path, cases: Iterable[Case], say: Callable[[str], None]) -> None:
    from text2sql.evaluation.execution.databases import warning_of_ignored

    if warning := warning_of_ignored(databases, (case.db_id for case in cases)):
        say(warning)


# -- input files --


def read_cases(gold: Path, pred: Path) -> Iterator[Case]:
    """Yield a case for each gold query, rows counted from 0, with the prediction of the same line.

    Gold lines are SQL, tab, db_id; a blank line separates two sessions, and the predictions must have it
    in the same place. A prediction is the text before the first tab of its line, as in
    the official evaluator; a blank line is an empty prediction. A .jsonl file has objects with the
    field `sql`, in the order of the gold queries and without lines between sessions. Lines end as
    in Python's universal newlines.

    Raises:
        UserError: the files do not fit, or a line cannot be read.
    """
    from text2sql.evaluation.verdicts import Case

    golds, predictions = _read_gold(gold), _read_lines(pred)
    objects = pred.suffix == ".jsonl"
    if objects:
        golds, predictions = (found for found in golds if found), _read_jsonl(pred)
    row = 0
    for number, found in enumerate(golds, 1):
        sql = next(predictions, None)
        if sql is None:
            raise UserError(f"{pred}: {number - 1} lines, but {gold} has more; {_PREDICTIONS_FORM}")
        if found:
            yield Case(row, found[1], found[0], sql)
            row += 1
        elif sql:
            fix = "separate the sessions in the same places as the gold file"
            raise UserError(f"{pred}, line {number}: not blank, but {gold} is blank there; {fix}")
    if any(sql or objects for sql in predictions):
        raise UserError(f"{pred}: more lines than {gold}; {_PREDICTIONS_FORM}")


def _read_gold(path: Path) -> Iterator[tuple[str, str] | None]:
    """Yield SQL and db_id, or None for a blank line between two sessions; not for those at the end."""
    blanks = 0
    for number, line in enumerate(_open_lines(path, "--gold", "surrogateescape"), 1):
        if not line:
            blanks += 1
            continue
        yield from [None] * blanks
        blanks = 0
        yield _split_gold(f"{path}, line {number}", line)


def _split_gold(place: str, line: str) -> tuple[str, str]:
    if any("\udc80" <= character <= "\udcff" for character in line):
        raise UserError(f"{place}: not UTF-8 text; save the file as UTF-8")
    fields = line.split("\t")
    if len(fields) != 2:
        raise UserError(f"{place}: {len(fields) - 1} tabs instead of one; {_GOLD_FORM}")
    return fields[0], fields[1]


def _read_lines(path: Path) -> Iterator[str]:
    for line in _open_lines(path, "--pred", "replace"):
        yield line.split("\t")[0]


def _read_jsonl(path: Path) -> Iterator[str]:
    for number, line in enumerate(_open_lines(path, "--pred", "replace"), 1):
        if line:
            yield _sql_of(f"{path}, line {number}", line)


def _sql_of(place: str, line: str) -> str:
    fix = 'write an object like {"sql": "SELECT 1"} in each line'
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{place}: not JSON ({error}); {fix}") from error
    sql = row.get("sql") if isinstance(row, dict) else None
    if not isinstance(sql, str):
        raise UserError(f"{place}: no text in the field `sql`; {fix}")
    return sql.strip()


def _open_lines(path: Path, option: str, errors: str) -> Iterator[str]:
    """Yield the lines without surrounding white space; `errors` is how to decode what is not UTF-8."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; correct {option}")
    with open(path, encoding="utf-8-sig", errors=errors) as file:
        for line in file:
            yield line.strip()


# -- output --


def _watched(
    verdicts: Iterable[Verdict],
    settings: JudgeSettings,
    scores: Scores,
    total: int,
    gold: Path,
    say: Callable[[str], None],
) -> Iterator[dict[str, Any]]:
    """Count each verdict and yield its row; show progress, failing gold queries and missing schemas."""
    progress = None if say is _silent else Progress(total, "predictions", "evaluate")
    unread: set[str] = set()  # databases without exact match
    for verdict in verdicts:
        if warning := _warning(verdict, gold, unread):
            say(warning)
        verdict = as_official(verdict, settings)
        scores.add(verdict)
        if progress:
            progress.advance()
        yield _row(verdict, settings)


def _warning(verdict: Verdict, gold: Path, unread: set[str]) -> str:
    """What to say of a gold query that fails, and of a database without exact match; "" for others.

    The databases of which it was said are `unread`.
    """
    place = f"{gold}, row {verdict.row} (counted from 0; database {verdict.db_id})"
    if verdict.gold_failed:
        return f"{place}: left out, {verdict.error}: {verdict.message}"
    no_match = verdict.em is None and (verdict.message or "").startswith("no exact match")
    if no_match and verdict.db_id not in unread:
        unread.add(verdict.db_id)
        return f"{place} and others of this database: {verdict.message}"
    return ""


def _end(scores: Scores, gold: Path, fail_on_gold: bool) -> None:
    """Print the scores.

    Raises:
        UserError: every gold query fails, or one does and `fail_on_gold` is set.
    """
    messages = scores.gold_messages()
    failed = sum(count for _, count in messages)
    error = ""
    if failed:
        often = f"{failed} of {scores.with_gold} gold queries fail, most often ({messages[0][1]} times)"
        error = f"{gold}: {often} because of: {messages[0][0]}; correct the queries, --gold or --db"
    if failed < scores.with_gold:
        click.echo("\n".join(_report(scores)))
    if failed and (fail_on_gold or failed == scores.with_gold):
        raise UserError(error)


def as_official(verdict: Verdict, settings: JudgeSettings) -> Verdict:
    """Return the verdict with the `ex` of the official evaluator under the same settings.

    That is: with plugged values if `plug_values` is set, and on all databases if the folder has several.
    """
    one, all_of_them = verdict.ex, verdict.ts
    if settings.plug_values:
        one, all_of_them = verdict.ex_plug, verdict.ts_plug
    ex = one if all_of_them is None else all_of_them
    return replace(verdict, ex=ex, ex_plug=None, ts=None, ts_plug=None)


def _row(verdict: Verdict, settings: JudgeSettings) -> dict[str, Any]:
    metrics = [name for name, on in (("ex", settings.execute), ("em", settings.match)) if on]
    names = ["row", "db_id", "hardness", *metrics, "error", "message", "seconds"]
    return {name: getattr(verdict, name) for name in names}


def _report(scores: Scores) -> Iterator[str]:
    """Yield the lines to print on stdout."""
    from text2sql.evaluation.spider.hardness import HARDNESS

    table, classes = scores.table(), (*HARDNESS, "all")
    metrics = [name for name in _NAMES if name in table]
    head = "".join(f"{_NAMES[name]:>14}  95 % interval" for name in metrics)
    yield f"{'':<8}{'n':>8}{head}"
    for hardness in classes:
        shares = "".join(_share(table, name, hardness) for name in metrics)
        yield f"{hardness:<8}{table['n'][hardness]:>8}{shares}"
    yield from _notes(table)
    for measure, components in scores.partial().items():
        yield ""
        yield f"{'partial match: ' + measure:<26}" + "".join(f"{name:>8}" for name in classes)
        for component, percents in components.items():
            yield f"{component:<26}" + "".join(f"{_number(percents[name]):>8}" for name in classes)


def _share(table: dict[str, Any], metric: str, hardness: str) -> str:
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
            yield f"{what}: rows {', '.join(map(str, table[key]))} (counted from 0)"
    if "em_n" in table:
        yield f"exact match was decided for {table['em_n']['all']} predictions"
