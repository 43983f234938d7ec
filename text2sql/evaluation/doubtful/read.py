"""Reads the rows with doubtful gold from what `text2sql audit-gold` wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any, get_args

from text2sql.errors import UserError
from text2sql.evaluation.doubtful.reasons import Reason
from text2sql.evaluation.inputs.layout import read_content


def read_doubtful(path: Path, gold: Path, golds: Sequence[tuple[str, str]]) -> dict[int, tuple[Reason, ...]]:
    """Read the rows with doubtful gold from a file that `text2sql audit-gold --out` wrote.

    `golds` are SQL and db_id of each row of the file `gold`; each row of `path` must be the same, blanks
    aside.

    Raises:
        UserError: the file cannot be read, is another one, or was written for other gold queries.
    """
    again = f"write it with `text2sql audit-gold --gold {gold} --db DIR --out FILE.jsonl`"
    if not path.is_file():
        raise UserError(f"{path}: no such file; {again}")
    found: dict[int, tuple[Reason, ...]] = {}
    for entry in read_content(path, "--doubtful", (("reasons",),), lenient=False).entries:
        place, line = f"{path}, {entry.where}", entry.value if isinstance(entry.value, dict) else {}
        if isinstance(line.get("reasons"), dict):
            raise UserError(f"{path}: the summary of audit-gold --json, which names no rows; {again}")
        row, reasons = line.get("row"), line.get("reasons")
        known = isinstance(reasons, list) and all(reason in get_args(Reason) for reason in reasons)
        if type(row) is not int or row < 0 or not known:
            raise UserError(f"{place}: not a row of audit-gold; {again}")
        difference = _difference(row, line, golds)
        if difference:
            raise UserError(f"{place}: {difference} {gold}; {again}")
        if reasons:
            found[row] = tuple(reasons)
    return found


def _difference(row: int, line: Mapping[str, Any], golds: Sequence[tuple[str, str]]) -> str:
    """How a row of audit-gold differs from the gold query of its number; "" if it does not."""
    if row >= len(golds):
        return f"has row {row}, but there are {len(golds)} gold queries in"
    sql, db_id = golds[row]
    named, text = line.get("db_id"), str(line.get("gold"))
    if named != db_id:
        return f"row {row} has the database {named}, but {db_id} in"
    if text.split() != sql.split():
        return f"row {row} has the gold query {shorten(text, 80)!r}, but {shorten(sql, 80)!r} in"
    return ""
