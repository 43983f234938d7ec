"""A result as text for the page's table. Nothing in it is markup."""

from __future__ import annotations

from typing import Any

from text2sql.ask.shown import printable
from text2sql.targets.model import Result, Value

_CHARACTERS = 1000  # of a value; the CSV file has all
_BLOB = 16  # bytes of a blob that are shown
_WIDEST = 40  # characters of a column
_CHARACTER_PX, _PADDING_PX = 9, 48
_EXACT = 2**53  # larger integers are not exact in a browser


def table(result: Result) -> dict[str, Any]:
    """The arguments of Gradio's table: its value, types and widths of columns.

    Columns of numbers are sorted as such, all others hold text. NULLs and blobs are in italics, as text may
    look like them.
    """
    columns = range(len(result.columns))
    numeric = [all(_is_number(row[at]) for row in result.rows) for at in columns]
    headers = [printable(name) for name in result.columns]
    data = [[row[at] if numeric[at] else cell(row[at]) for at in columns] for row in result.rows]
    styles = [[_style(value) for value in row] for row in result.rows]
    return {
        "value": {"headers": headers, "data": data, "metadata": {"styling": styles}},
        "datatype": ["number" if is_number else "str" for is_number in numeric],
        "column_widths": [_width([headers[at], *(str(row[at]) for row in data)]) for at in columns],
    }


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


def _style(value: Value) -> str:
    return "font-style: italic; opacity: 0.7" if value is None or isinstance(value, bytes) else ""


def _width(texts: list[str]) -> str:
    characters = min(max(map(len, texts)), _WIDEST)
    return f"{characters * _CHARACTER_PX + _PADDING_PX}px"
