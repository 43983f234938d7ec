"""`text2sql audit-gold`: lists the gold queries whose result cannot be relied on, with the reasons."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from text2sql.commands.options import check_outputs, field_option, setting
from text2sql.errors import UserError
from text2sql.evaluation.settings import EvaluationSettings
from text2sql.files import require_writable, write_json, write_jsonl, writing
from text2sql.processes import Stopped, stopped_by_signals
from text2sql.progress import Progress
from text2sql.schema.database_files import find_database
from text2sql.settings import checked

if TYPE_CHECKING:
    from text2sql.evaluation.doubtful.audit import Audited
    from text2sql.evaluation.doubtful.questions import Gold
    from text2sql.evaluation.doubtful.reasons import Reason

_FIRST_ROWS = 5  # of a reason, in the table
_OF_QUESTIONS: Reason = "paraphrase_disagrees"
_BY_SIGNAL = 128  # the exit status of a shell is this and the number of the signal


@click.command("audit-gold")
@click.option(
    "--gold",
    required=True,
    type=click.Path(path_type=Path),
    help="Gold SQL and db_id: lines (SQL, tab, db_id), JSON, JSON lines, CSV or TSV, also .gz; -: stdin.",
)
@field_option("gold, db_id or question")
@click.option(
    "--db",
    type=click.Path(path_type=Path),
    help="Folder of ID/ID.sqlite or ID.sqlite; without: the text only.",
)
@setting(
    EvaluationSettings,
    "timeout_s",
    "--timeout",
    text="Seconds for one gold query, and again for all queries that it is compared with.",
)
@setting(EvaluationSettings, "max_rows")
@click.option("--workers", type=click.IntRange(min=1), help="Processes; default: one per core.")
@click.option("--out", type=click.Path(path_type=Path), help="Rows with a finding, one JSON object a line.")
@click.option("--json", "summary", type=click.Path(path_type=Path), help="Counts by reason as JSON.")
def audit_gold(gold: Path, db: Path | None, out: Path | None, summary: Path | None, **options: Any) -> None:
    """List gold queries whose result cannot be relied on, with the reasons.

    The file is one that evaluate reads; rows without a gold query are left out. A row has its question, if
    it has one, under question, input or SpiderSynQuestion. With --db the queries are run, and each finding
    says whether it changes the result on that database.
    """
    from text2sql.evaluation.doubtful.audit import audit, number_of_queries
    from text2sql.evaluation.inputs.cases import FieldNames, read_golds

    check_outputs({"--gold": gold, "--db": db}, {"--out": out, "--json": summary})
    for output in filter(None, (out, summary)):
        require_writable(output)
    values = {name: options[name] for name in EvaluationSettings.model_fields if name in options}
    settings = checked(EvaluationSettings, values, "the command line")
    golds = read_golds(gold, FieldNames.chosen(options["fields"], "question"), partial=True)
    if db:
        _check_databases(gold, golds, db)
    progress = Progress(number_of_queries(golds), "queries", "audit-gold")
    with _nothing_kept():
        found = audit(golds, db, settings, workers=options["workers"], advance=progress.advance)
    if out:
        write_jsonl(out, (_row(each) for each in found if each.findings or each.unchecked), writing)
    if summary:
        write_json(summary, _summary(found), writing)
    for line in _unchecked(found):
        click.echo(f"warning: {line}", err=True)
    click.echo("\n".join(_report(found, ran=db is not None)))


# -- input --


@contextmanager
def _nothing_kept() -> Iterator[None]:
    """Have Ctrl-C and signals in the block end the command, which says that the next run begins anew."""
    try:
        with stopped_by_signals():
            yield
    except (KeyboardInterrupt, Stopped) as stop:
        number = stop.number if isinstance(stop, Stopped) else signal.SIGINT
        click.echo("stopped; nothing is kept: the same command begins again with the first query", err=True)
        raise click.exceptions.Exit(_BY_SIGNAL + number) from None


def _check_databases(path: Path, golds: Sequence[Gold], databases: Path) -> None:
    needed = [find_database(databases, db_id) for db_id in dict.fromkeys(gold.db_id for gold in golds)]
    if not any(file.is_file() for file in needed):
        raise UserError(f"{needed[0]}: not found, and no other database of {path} either; correct --db")


# -- output --


def _row(audited: Audited) -> dict[str, Any]:
    from text2sql.evaluation.doubtful.reasons import doubtful_reasons

    row = {**asdict(audited.gold), "reasons": doubtful_reasons(audited.findings)}
    return {**row, "findings": list(map(asdict, audited.findings)), "unchecked": audited.unchecked}


def _by_effect(found: Sequence[Audited]) -> dict[Reason, dict[bool | None, list[int]]]:
    """For each reason the rows with an effect (True), with none (False), and those not checked (None)."""
    from text2sql.evaluation.doubtful.reasons import MEANINGS

    table: dict[Reason, dict[bool | None, list[int]]] = {
        reason: {True: [], None: [], False: []} for reason in MEANINGS
    }
    for each in found:
        for reason in dict.fromkeys(finding.reason for finding in each.findings):
            effects = {finding.effect for finding in each.findings if finding.reason == reason}
            strongest = next(effect for effect in (True, None, False) if effect in effects)
            table[reason][strongest].append(each.gold.row)
    return table


def _summary(found: Sequence[Audited]) -> dict[str, Any]:
    names = {True: "doubtful", None: "not_checked", False: "no_effect"}
    reasons: dict[Reason, dict[str, int | None]] = {
        reason: {names[effect]: len(rows) for effect, rows in effects.items()}
        for reason, effects in _by_effect(found).items()
    }
    if not _has_questions(found):
        reasons[_OF_QUESTIONS] = dict.fromkeys(names.values())
    return {"rows": len(found), "doubtful": len(_doubtful(found)), "reasons": reasons}


def _has_questions(found: Sequence[Audited]) -> bool:
    return any(each.gold.question for each in found)


def _doubtful(found: Sequence[Audited]) -> list[int]:
    from text2sql.evaluation.doubtful.reasons import doubtful_reasons

    return [each.gold.row for each in found if doubtful_reasons(each.findings)]


def _unchecked(found: Sequence[Audited]) -> Iterator[str]:
    """Yield what could not be checked: each message once, with the number of rows and the first of them."""
    counts = Counter(each.unchecked for each in found if each.unchecked)
    for message, count in counts.items():
        first = next(each.gold for each in found if each.unchecked == message)
        yield f"{count} rows, first row {first.row} (database {first.db_id}), not fully checked: {message}"


def _report(found: Sequence[Audited], ran: bool) -> Iterator[str]:
    """Yield the lines for stdout."""
    from text2sql.evaluation.doubtful.reasons import MEANINGS

    yield f"{'reason':<22}{'doubtful':>9}{'not checked':>13}{'no effect':>11}  first rows"
    for reason, effects in _by_effect(found).items():
        if reason == _OF_QUESTIONS and not _has_questions(found):
            yield f"{reason:<22}  not checked: no questions in the file"
            continue
        counts = f"{len(effects[True]):>9}{len(effects[None]):>13}{len(effects[False]):>11}"
        rows = effects[True] or effects[None] or effects[False]
        yield f"{reason:<22}{counts}  {', '.join(map(str, rows[:_FIRST_ROWS]))}".rstrip()
    yield ""
    yield f"{len(_doubtful(found))} of {len(found)} rows have doubtful gold"
    if not ran:
        yield "only the text was examined; --db DIR runs the queries, too"
    yield from (f"{reason}: {meaning}" for reason, meaning in MEANINGS.items())
