"""`text2sql evaluate`: the official evaluator's files in, verdicts and scores out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from text2sql.errors import UserError
from text2sql.files import write_json, write_jsonl
from text2sql.progress import Progress

if TYPE_CHECKING:
    from text2sql.evaluation.scores import Scores
    from text2sql.evaluation.verdicts import Case, Rules, Verdict

_ETYPES = {"exec": (True, False), "match": (False, True), "all": (True, True)}  # execute, match
_NAMES = {"ex": "execution", "em": "exact match"}
_GOLD_FORM = "write a gold query a line: its SQL, a tab, its db_id"
_PREDICTIONS_FORM = "write one prediction a line, and an empty line where there is none"


@click.command()
@click.option("--gold", required=True, type=click.Path(path_type=Path), help="A line: SQL, tab, db_id.")
@click.option(
    "--pred",
    required=True,
    type=click.Path(path_type=Path),
    help='One prediction a line, or .jsonl with {"sql": ...}.',
)
@click.option("--db", required=True, type=click.Path(path_type=Path), help="Folder of ID/ID.sqlite.")
@click.option(
    "--table", type=click.Path(path_type=Path), help="Spider's tables.json; looked for beside --db."
)
@click.option("--etype", default="exec", show_default=True, metavar="exec|match|all", help="What to compare.")
@click.option("--plug-value", "--plug_value", is_flag=True, help="Put the gold's values into predictions.")
@click.option("--keep-distinct", "--keep_distinct", is_flag=True, help="Compare with DISTINCT.")
@click.option("--keep-value", is_flag=True, help='Leave the word "value", which otherwise becomes 1.')
@click.option(
    "--timeout",
    default=10.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Seconds a prediction.",
)
@click.option(
    "--max-rows",
    default=100_000,
    show_default=True,
    type=click.IntRange(min=1),
    help="Rows a result may have.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Processes; default: one a core.")
@click.option("--executor", default="processes", type=click.Choice(["processes", "ray"]))
@click.option("--out", type=click.Path(path_type=Path), help="Verdicts, one JSON object a prediction.")
@click.option("--json", "summary", type=click.Path(path_type=Path), help="Scores as JSON.")
def evaluate(gold: Path, pred: Path, db: Path, out: Path | None, **options: Any) -> None:
    """Score predicted SQL as the official Spider and test-suite evaluators do."""
    from text2sql.evaluation.judge import describe, judge
    from text2sql.evaluation.scores import Scores

    rules = _rules(options)
    total = _check(gold, pred, db)
    judged = judge(
        read_cases(gold, pred),
        db,
        rules,
        tables=_tables(options["table"], db) if rules.match else None,
        workers=options["workers"],
        executor=options["executor"],
    )
    scores = Scores()
    rows = _watched(judged, rules, scores, total, gold)
    if out:
        write_jsonl(out, rows)
    else:
        for _ in rows:
            pass
    if options["summary"]:
        partial = {"partial": scores.partial()} if rules.match else {}
        write_json(options["summary"], {**scores.table(), **partial, "evaluator": describe(rules)})
    click.echo("\n".join(_report(scores)))


# -- what is asked --


def _rules(options: dict[str, Any]) -> Rules:
    from text2sql.evaluation.verdicts import Rules

    if options["etype"] not in _ETYPES:
        raise UserError(f"--etype {options['etype']}: not known; say {', '.join(_ETYPES)}")
    execute, match = _ETYPES[options["etype"]]
    return Rules(
        timeout_s=options["timeout"],
        max_rows=options["max_rows"],
        execute=execute,
        match=match,
        plug_values=options["plug_value"],
        keep_distinct=options["keep_distinct"],
        keep_value=options["keep_value"],
    )


def _tables(named: Path | None, databases: Path) -> Path | None:
    """Return the file of foreign keys: the one that is named, or the one where Spider keeps it."""
    if named:
        return named
    places = (databases.parent / "tables.json", databases / "tables.json")
    return next((place for place in places if place.is_file()), None)


def _check(gold: Path, pred: Path, databases: Path) -> int:
    """Read both files once, so that no query runs on wrong ones; return the number of predictions."""
    from text2sql.evaluation.execution.databases import database_path

    predictions = Counter(case.db_id for case in read_cases(gold, pred))
    if not predictions:
        raise UserError(f"{gold}: holds no gold queries; {_GOLD_FORM}")
    needed = [database_path(databases, db_id) for db_id in predictions]
    if not any(path.is_file() for path in needed):
        raise UserError(f"{needed[0]}: no such file, nor any other database of {gold}; mend --db")
    return predictions.total()


# -- the two files --


def read_cases(gold: Path, pred: Path) -> Iterator[Case]:
    """Yield a case for each gold query, rows counted from 0, with the prediction of the same line.

    Gold lines are SQL, tab, db_id; a blank line parts two sessions, and the predictions must have it
    in the same place. Of a line of predictions what stands before the first tab counts, as in
    the official evaluator; a blank one is an empty prediction. A .jsonl file has objects with the
    field `sql`, in the order of the gold queries and without lines between sessions. Lines end as
    Python's universal newlines say. UserError: the files do not fit, or a line cannot be read.
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
            raise UserError(f"{pred}: {number - 1} lines, but {gold} goes on; {_PREDICTIONS_FORM}")
        if found:
            yield Case(row, found[1], found[0], sql)
            row += 1
        elif sql:
            cure = "part the sessions where the gold file does"
            raise UserError(f"{pred}, line {number}: not blank, as it is in {gold}; {cure}")
    if any(sql or objects for sql in predictions):
        raise UserError(f"{pred}: more lines than {gold}; {_PREDICTIONS_FORM}")


def _read_gold(path: Path) -> Iterator[tuple[str, str] | None]:
    """Yield SQL and db_id, or None for the line between two sessions; none at the end of the file."""
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
    cure = 'write an object like {"sql": "SELECT 1"} in each line'
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{place}: not JSON ({error}); {cure}") from error
    sql = row.get("sql") if isinstance(row, dict) else None
    if not isinstance(sql, str):
        raise UserError(f"{place}: no text under `sql`; {cure}")
    return sql.strip()


def _open_lines(path: Path, option: str, errors: str) -> Iterator[str]:
    """Yield the lines without the blanks around them; `errors` says what bytes not of UTF-8 become."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; mend {option}")
    with open(path, encoding="utf-8-sig", errors=errors) as file:
        for line in file:
            yield line.strip()


# -- what came of it --


def _watched(
    verdicts: Iterable[Verdict], rules: Rules, scores: Scores, total: int, gold: Path
) -> Iterator[dict[str, Any]]:
    """Count each verdict, say on stderr how far it is and whose gold fails, and yield its row."""
    progress = Progress(total, "predictions", "evaluate")
    for verdict in verdicts:
        if verdict.gold_failed:
            what = f"{gold}, row {verdict.row} (database {verdict.db_id})"
            click.echo(f"warning: {what}: left out, {verdict.error}: {verdict.message}", err=True)
        verdict = as_official(verdict, rules)
        scores.add(verdict)
        progress.advance()
        yield _row(verdict, rules)


def as_official(verdict: Verdict, rules: Rules) -> Verdict:
    """Return the verdict with its `ex` as the official evaluator says it under these rules.

    That is: with values plugged in if they are, and on all databases of the folder if it has several.
    """
    one, all_of_them = verdict.ex, verdict.ts
    if rules.plug_values:
        one, all_of_them = verdict.ex_plug, verdict.ts_plug
    ex = one if all_of_them is None else all_of_them
    return replace(verdict, ex=ex, ex_plug=None, ts=None, ts_plug=None)


def _row(verdict: Verdict, rules: Rules) -> dict[str, Any]:
    asked = [name for name, told in (("ex", rules.execute), ("em", rules.match)) if told]
    names = ["row", "db_id", "hardness", *asked, "error", "message", "seconds"]
    return {name: getattr(verdict, name) for name in names}


def _report(scores: Scores) -> Iterator[str]:
    """Yield the lines that stdout shows."""
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
        ("gold_failures", "left out, because the gold fails"),
        ("no_hardness", "in no class but all, because the gold has no hardness"),
    ):
        if table.get(key):
            yield f"{what}: rows {', '.join(map(str, table[key]))}"
    if "em_n" in table:
        yield f"exact match could be told of {table['em_n']['all']} predictions"
