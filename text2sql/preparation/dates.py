"""Dates in SQL of other dialects, written with SQLite's own functions.

sqlglot leaves parts of dates (YEAR, EXTRACT), truncated dates, intervals and NOW as they are, which SQLite
does not have.
Not covered: parts and units that SQLite has nothing for (epoch, quarter, week), and intervals whose length is
in a column; they are left as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from sqlglot import exp

_PARTS = {
    "YEAR": "%Y",
    "MONTH": "%m",
    "DAY": "%d",
    "HOUR": "%H",
    "MINUTE": "%M",
    "SECOND": "%S",
    "DOW": "%w",
    "DOY": "%j",
}
_STARTS = {"YEAR": "start of year", "MONTH": "start of month", "DAY": "start of day"}
# SQLite's unit for each unit of an interval, and how many of them it is
_UNITS = {
    **{name: (name, 1) for name in ("YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND")},
    "WEEK": ("DAY", 7),
    "QUARTER": ("MONTH", 3),
}
_TIMES = ("HOUR", "MINUTE", "SECOND")
_PART_OF: dict[type[exp.Expr], str] = {
    exp.Year: "YEAR",
    exp.Month: "MONTH",
    exp.Day: "DAY",
    exp.Hour: "HOUR",
    exp.Minute: "MINUTE",
}
_NOW = {"NOW", "GETDATE", "SYSDATE", "GETUTCDATE"}
_ADDED = (exp.DateAdd, exp.DatetimeAdd, exp.TimestampAdd, exp.TsOrDsAdd, exp.DateSub, exp.DatetimeSub)
_SUBTRACTED = (exp.Sub, exp.DateSub, exp.DatetimeSub)
_TRUNCATED = (exp.DateTrunc, exp.TimestampTrunc, exp.DatetimeTrunc)


def write_dates(tree: exp.Query) -> None:
    """Write what sqlglot does not translate with SQLite's own functions; the innermost parts first."""
    for node in reversed(list(tree.walk())):
        written = next((made for write in _WRITERS if (made := write(node)) is not None), None)
        if written is not None:
            node.replace(written)


def _part(node: exp.Expr) -> exp.Expr | None:
    """EXTRACT(YEAR FROM x), YEAR(x) and the like as a number."""
    if isinstance(node, exp.Extract):
        return _number(_PARTS.get(node.name.upper()), node.expression)
    name = _PART_OF.get(type(node))
    return _number(_PARTS[name], _undated(node.this)) if name else None


def _number(pattern: str | None, value: exp.Expr) -> exp.Expr | None:
    if pattern is None:
        return None
    text = exp.func("STRFTIME", exp.Literal.string(pattern), value)
    return exp.Cast(this=text, to=exp.DataType.build("INTEGER"))


def _undated(node: exp.Expr) -> exp.Expr:
    """What sqlglot has put a conversion to a date around."""
    return node.this if isinstance(node, exp.TsOrDsToDate) else node


def _now(node: exp.Expr) -> exp.Expr | None:
    is_now = isinstance(node, exp.Anonymous) and node.name.upper() in _NOW and not node.expressions
    return exp.CurrentTimestamp() if is_now else None


def _truncated(node: exp.Expr) -> exp.Expr | None:
    """DATE_TRUNC('month', x) as the date on which the month begins."""
    start = _STARTS.get(node.text("unit").upper()) if isinstance(node, _TRUNCATED) else None
    return exp.func("DATE", _undated(node.this), exp.Literal.string(start)) if start else None


def _shifted(node: exp.Expr) -> exp.Expr | None:
    """A date plus or minus an interval of a fixed length."""
    if isinstance(node, exp.Add | exp.Sub):
        amount, unit = node.expression, ""
    elif isinstance(node, _ADDED):
        amount, unit = node.expression, node.text("unit")
    else:
        return None
    if isinstance(amount, exp.Interval):
        amount, unit = amount.this, amount.text("unit") or unit
    return _moved(_undated(node.this), amount, unit, -1 if isinstance(node, _SUBTRACTED) else 1)


def _moved(date: exp.Expr, amount: exp.Expr | None, unit: str, sign: int) -> exp.Expr | None:
    named = _UNITS.get(unit.upper().removesuffix("S"))
    number = re.fullmatch(r"-?\d+", amount.sql().strip("'()")) if amount is not None else None
    if named is None or number is None:
        return None
    name, length = named
    modifier = exp.Literal.string(f"{sign * length * int(number[0]):+d} {name}")
    return exp.func("DATETIME" if name in _TIMES or _is_time(date) else "DATE", date, modifier)


def _is_time(date: exp.Expr) -> bool:
    return isinstance(date, exp.CurrentTimestamp) or date.sql().upper().startswith("DATETIME(")


_WRITERS: tuple[Callable[[exp.Expr], exp.Expr | None], ...] = (_part, _now, _truncated, _shifted)
