"""`text2sql audit-gold`: lists the gold queries whose result cannot be relied on, with the reasons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from text2sql.commands.options import check_outputs, setting
from text2sql.databases import database_path
from text2sql.errors import UserError
from text2sql.evaluation.settings import EvaluationSettings
from text2sql.files import write_json, write_jsonl
from text2sql.progress import Progress
from text2sql.settings import checked

if TYPE_CHECKING:
    from text2sql.evaluation.doubtful.audit import Audited
    from text2sql.evaluation.doubtful.questions import Gold
    from text2sql.evaluation.doubtful.reasons import Reason

# The keys of a row's SQL and question: the first of these with text.
_SQL = ("gold", "query", "SQL", "sql", "output")
_QUESTION = ("question", "SpiderSynQuestion", "input")
_JSON = (".json", ".jsonl")
_FIRST_ROWS = 5  # of a reason, in the table


@click.command("audit-gold")
@click.option(
    "--gold",
    required=True,
    type=click.Path(path_type=Path),
    help="Lines of SQL, tab, db_id; or a JSON list, or JSON lines.",
)
@click.option("--db", type=click.Path(path_type=Path), help="Folder of ID/ID.sqlite; without: the text only.")
@setting(EvaluationSettings, "timeout_s", "--timeout")
@setting(EvaluationSettings, "max_rows")
@click.option("--workers", type=click.IntRange(min=1), help="Processes; default: one per core.")
@click.option("--out", type=click.Path(path_type=Path), help="Rows with a finding, one JSON object a line.")
@click.option("--json", "summary", type=click.Path(path_type=Path), help="Counts by reason as JSON.")
def audit_gold(gold: Path, db: Path | None, out: Path | None, summary: Path | None, **options: Any) -> None:
    """List gold queries whose result cannot be relied on, with the reasons.

    A row of a JSON file has its SQL under gold, query, SQL, sql or output; its question under question or
    input; its database under db_id, or at the beginning of DB-GPT's prose under instruction. With --db the
    queries are run, and each finding says whether it changes the result on that database.
    """
    from text2sql.evaluation.doubtful.audit import audit, number_of_queries

    check_outputs({"--gold": gold, "--db": db}, {"--out": out, "--json": summary})
    workers = options.pop("workers")
    settings = checked(EvaluationSettings, options, "the command line")
    golds = read_golds(gold)
    if db:
        _check_databases(gold, golds, db)
    progress = Progress(number_of_queries(golds), "queries", "audit-gold")
    found = audit(golds, db, settings, workers=workers, advance=progress.advance)
    if out:
        write_jsonl(out, (_row(each) for each in found if each.findings or each.unchecked))
    if summary:
        write_json(summary, _summary(found))
    for line in _unchecked(found):
        click.echo(f"warning: {line}", err=True)
    click.echo("\n".join(_report(found, ran=db is not None)))


# -- input --


def read_golds(path: Path) -> list[Gold]:
    """Read the gold queries of a file; rows are counted from 0, and rows without a gold query are left out.

    Raises:
        UserError: the file cannot be read, a row has no database, or there is no gold query.
    """
    golds = list(_json_golds(path) if path.suffix in _JSON else _line_golds(path))
    if not golds:
        raise UserError(f"{path}: no gold queries; write one per line: its SQL, a tab, its db_id")
    return golds


def _line_golds(path: Path) -> Iterator[Gold]:
    from text2sql.evaluation.doubtful.questions import Gold
    from text2sql.evaluation.inputs.cases import read_golds as read_gold_lines

    found = read_gold_lines(path)
    for row, (sql, db_id) in enumerate(found):
        yield Gold(row, db_id, sql)


def _json_golds(path: Path) -> Iterator[Gold]:
    from text2sql.evaluation.doubtful.questions import Gold
    from text2sql.preparation.sources import read_chunks

    if not path.is_file():
        raise UserError(f"{path}: no such file; correct --gold")
    for chunk in read_chunks(path, strict=True):
        for row, (_, value) in enumerate(chunk.rows, chunk.first):
            if not isinstance(value, dict):
                raise UserError(f"{path}, row {row}: not a JSON object; fix it or take it out")
            sql = _text(value, _SQL)
            if sql:
                yield Gold(row, _database(path, row, value), sql, _text(value, _QUESTION))


def _text(value: Mapping[str, Any], keys: Sequence[str]) -> str:
    """The text under the first of the keys that has one; Spider has a tree under `sql`."""
    return next((value[key].strip() for key in keys if isinstance(value.get(key), str)), "")


def _database(path: Path, row: int, value: Mapping[str, Any]) -> str:
    from text2sql.schema.prose import is_prose, prose_database

    db_id, prose = _text(value, ("db_id",)), _text(value, ("instruction",))
    if not db_id and is_prose(prose):
        db_id = prose_database(prose)
    if not db_id:
        raise UserError(f"{path}, row {row}: no database; name it under db_id")
    return db_id


def _check_databases(path: Path, golds: Sequence[Gold], databases: Path) -> None:
    needed = [database_path(databases, db_id) for db_id in dict.fromkeys(gold.db_id for gold in golds)]
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
    reasons = {
        reason: {names[effect]: len(rows) for effect, rows in effects.items()}
        for reason, effects in _by_effect(found).items()
    }
    return {"rows": len(found), "doubtful": len(_doubtful(found)), "reasons": reasons}


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
        counts = f"{len(effects[True]):>9}{len(effects[None]):>13}{len(effects[False]):>11}"
        rows = effects[True] or effects[None] or effects[False]
        yield f"{reason:<22}{counts}  {', '.join(map(str, rows[:_FIRST_ROWS]))}".rstrip()
    yield ""
    yield f"{len(_doubtful(found))} of {len(found)} rows have doubtful gold"
    if not ran:
        yield "only the text was examined; --db DIR runs the queries, too"
    yield from (f"{reason}: {meaning}" for reason, meaning in MEANINGS.items())
