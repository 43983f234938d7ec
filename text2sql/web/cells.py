"""A result as text for the page's table. Nothing in it is markup."""

from __future__ import annotations

from typing import Any

from text2sql.ask.shown import printable
from text2sql.targets.model import Result, Value

_CHARACTERS = 1000  # of a value; the CSV file has all
_BLOB = 16  # bytes of a blob that are shown
_EXACT = 2**53  # larger integers are not exact in a browser


def table(result: Result) -> dict[str, Any]:
    """Headers, rows and column types for Gradio's table: numbers, which it sorts as such, and text."""
    headers = [printable(name) for name in result.columns]
    numeric = [all(_is_number(row[at]) for row in result.rows) for at in range(len(headers))]
    rows = [
        [value if isnumber else cell(value) for value, isnumber in zip(row, numeric, strict=True)]
        for row in result.rows
    ]
    return {"headers": headers, "data": rows, "datatype": ["number" if n else "str" for n in numeric]}


def cell(value: Value) -> str:
    """One value; a long one is cut, with its length."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        rest = "..." if len(value) > _BLOB else ""
        return f"x'{value[:_BLOB].hex()}{rest}' ({len(value)} bytes)"
    text = printable(str(value), keep="\n\t")
    return text if len(text) <= _CHARACTERS else f"{text[:_CHARACTERS]}... ({len(text)} characters)"


def _is_number(value: Value) -> bool:
    if isinstance(value, bool):
        return False
    return (isinstance(value, int) and abs(value) < _EXACT) or (
        isinstance(value, float) and abs(value) < float("inf")
    )
