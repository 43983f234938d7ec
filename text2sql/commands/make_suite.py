"""`text2sql make-suite`: makes databases that tell gold queries from their near-misses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from text2sql.commands.options import check_outputs, field_option, setting
from text2sql.cpu import allowed_cores
from text2sql.errors import UserError
from text2sql.files import require_writable, write_json, writing
from text2sql.progress import showing_progress
from text2sql.settings import checked
from text2sql.suites.settings import SuiteSettings

if TYPE_CHECKING:
    from text2sql.suites.make import GoldQuality

_HEADS = {
    "database": -28,
    "golds": 7,
    "near-misses": 13,
    "told apart": 12,
    "by original": 13,
    "equal": 7,
    "open": 6,
}


@click.command("make-suite")
@click.option("--gold", required=True, type=click.Path(path_type=Path), help="As of `text2sql evaluate`.")
@field_option("gold or db_id")
@click.option(
    "--db", required=True, type=click.Path(path_type=Path), help="Folder of ID/ID.sqlite or ID.sqlite."
)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of the suite: a new or empty one, or one with a suite only, which is replaced.",
)
@setting(SuiteSettings, "databases")
@setting(SuiteSettings, "seed")
@click.option("--workers", type=click.IntRange(min=1), help="Processes; default: one per core.")
@click.option("--json", "summary", type=click.Path(path_type=Path), help="Quality of the suite as JSON.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def make_suite(gold: Path, db: Path, out: Path, **options: Any) -> None:
    """Make further databases for each original one, on which a query that is nearly right shows.

    `text2sql evaluate --suite OUT` then judges predictions on all of them. A killed run resumes.
    """
    from text2sql.evaluation.inputs.cases import FieldNames, read_golds
    from text2sql.suites.make import make_suites, summary
    from text2sql.suites.output import require_replaceable

    values = {name: options[name] for name in SuiteSettings.model_fields}
    settings, figures = checked(SuiteSettings, values, "the command line"), options["summary"]
    if not settings.databases:
        raise UserError("--databases 0: makes nothing; give a number of 1 or more")
    check_outputs({"--gold": gold, "--db": db}, {"--out": out, "--json": figures})
    require_replaceable(out)
    if figures:
        require_writable(figures)
    golds: defaultdict[str, list[str]] = defaultdict(list)
    for row in read_golds(gold, FieldNames.chosen(options["fields"])):
        golds[row.db_id].append(row.gold)
    processes = options["workers"] or allowed_cores()
    with showing_progress(options["quiet"]):
        quality = make_suites(golds, db, out, settings, processes=processes)
    if figures:
        write_json(figures, summary(quality), writing)
    click.echo("\n".join(_report(quality, out)))


def _report(quality: Sequence[GoldQuality], out: Path) -> Iterator[str]:
    from text2sql.suites.make import summary

    yield "".join(f"{head:<28}" if width < 0 else f"{head:>{width}}" for head, width in _HEADS.items())
    by_database: defaultdict[str, list[GoldQuality]] = defaultdict(list)
    for row in quality:
        by_database[row.db_id].append(row)
    for db_id, rows in sorted(by_database.items()):
        yield _line(db_id, rows)
    yield _line("all", quality)
    yield _line("all, kinds held out", quality, held_out=True)
    figures = summary(quality)
    for name, key in (("near-misses", "used_kinds"), ("kinds held out", "held_out_kinds")):
        told, original = figures[key]["told"], figures[key]["told_by_original"]
        yield f"{name}: {told} % of those not proved equal are told apart, by the originals {original} %"
    yield f"written: {out} ({_megabytes(out):.1f} MB); next: text2sql evaluate ... --suite {out}"


def _line(name: str, rows: Sequence[GoldQuality], held_out: bool = False) -> str:
    from text2sql.suites.make import Counts

    n = sum((row.counts(held_out) for row in rows), Counts())
    left = n.near_misses - n.told - n.equal
    numbers = (len(rows), n.near_misses, n.told, n.by_original, n.equal, left)
    widths = list(_HEADS.values())[1:]
    return f"{name:<28}" + "".join(f"{n:>{width}}" for n, width in zip(numbers, widths, strict=True))


def _megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
