"""The option --metric of `text2sql evaluate`: which metrics, and their table, each under its own name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from text2sql.errors import UserError
from text2sql.evaluation.settings import METRICS, Metric

ALL = "all"
NOISY = (
    "r_ves measures time and is noisy: two runs of it differ, and other load on the machine changes "
    "it; compare only numbers of one machine and one run (docs/metrics.md)"
)
_OTHERS = ("etype", "plug_values")  # options that say what to compare, too
_CLASSES = ("easy", "medium", "hard", "extra", "all")


def asked_metrics(context: click.Context, options: Sequence[str]) -> list[Metric]:
    """The metrics that --metric names, in the order of `METRICS`; none if it is not given.

    Each of `options` may be a list with commas.

    Raises:
        UserError: a name is unknown, or another option says something else.
    """
    names = [name.strip() for option in options for name in option.split(",")]
    unknown = [name for name in names if name not in (*METRICS, ALL)]
    if unknown:
        raise UserError(f"--metric {unknown[0]}: unknown; choose from {', '.join((*METRICS, ALL))}")
    for option in _OTHERS if names else ():
        if context.get_parameter_source(option) is not ParameterSource.DEFAULT:
            spelling = f"--{option.replace('_', '-').removesuffix('s')}"
            fix = f"leave out {spelling} and name all metrics that you want, such as --metric ex_plug"
            raise UserError(f"{spelling} and --metric both say what to compare; {fix}")
    return [metric for metric in METRICS if metric in names or ALL in names]


def without_suites(
    metrics: list[Metric], databases: Path, db_ids: Iterable[str], say: Callable[[str], object]
) -> list[Metric]:
    """`metrics` without those of test suites if no database has one; `say` is called with a warning then.

    Raises:
        UserError: none is left.
    """
    from text2sql.evaluation.execution.databases import database_files
    from text2sql.schema.database_files import find_database

    left: list[Metric] = [metric for metric in metrics if metric not in ("ts", "ts_plug")]
    present = (db_id for db_id in db_ids if find_database(databases, db_id).is_file())
    if left == metrics or any(len(database_files(databases, db_id)) > 1 for db_id in present):
        return metrics
    asked = ", ".join(metric for metric in metrics if metric not in left)
    why = f"no database in {databases} has several files, so there is no test suite"
    if not left:
        fix = "make one with text2sql make-suite and name it with --suite, or choose --metric ex"
        raise UserError(f"--metric {asked}: {why}; {fix}")
    say(f"{asked}: left out, {why}")
    return left


def named_table(table: dict[str, Any], metrics: Sequence[str]) -> Iterator[str]:
    """Yield the lines of a table with a metric in each line; `table` is that of `Scores`."""
    yield f"{'percent':<8}{'n':>8}" + "".join(f"{name:>8}" for name in _CLASSES) + "  95 % interval of all"
    counts = "".join(f"{table['n'][name]:>8}" for name in _CLASSES)
    yield f"{'n':<16}{counts}"
    for metric in metrics:
        if metric not in table:
            yield f"{metric:<8}{0:>8}" + "".join(f"{'–':>8}" for _ in _CLASSES)
            continue
        n = table.get(f"{metric}_n", table["n"])["all"]
        shares = "".join(f"{shown_percent(table[metric][name]):>8}" for name in _CLASSES)
        ends = table["ci95" if metric == "ex" else f"{metric}_ci95"]["all"]
        span = f"{ends['low']} to {ends['high']}" if ends else "–"
        yield f"{metric:<8}{n:>8}{shares}  {span}"


def shown_percent(value: float | None) -> str:
    """A percentage with one decimal; a dash where there is none."""
    return "–" if value is None else f"{value:.1f}"
