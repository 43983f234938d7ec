"""How answers are shown in a terminal, and as JSON and CSV.

Text from a database may contain control characters, with which a terminal can be made to do things; they are
shown as escapes.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from text2sql.targets.model import Result, Value

_CELL = 200  # characters of a value in the terminal's table
_BLOB = 16  # bytes of a blob that are shown there
_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))  # Unicode's control characters and directions


def sql_text(sql: str) -> Syntax:
    """A query, highlighted with the terminal's own colours."""
    return Syntax(
        printable(sql, keep="\n\t"), "sql", theme="ansi_dark", word_wrap=True, background_color="default"
    )


def result_table(result: Result) -> Table:
    """The rows as a table; numbers are on the right."""
    table = Table(header_style="bold")
    for at, name in enumerate(result.columns):
        numeric = bool(result.rows) and all(_is_number(row[at]) for row in result.rows)
        table.add_column(Text(printable(name)), justify="right" if numeric else "left", overflow="fold")
    for row in result.rows:
        table.add_row(*map(_cell, row))
    return table


def row_count(result: Result) -> str:
    """How many rows there are, in words."""
    count = len(result.rows)
    rows = "1 row" if count == 1 else f"{count} rows"
    return f"first {rows}, there are more (--rows shows them)" if result.more else rows


def write_csv(result: Result) -> str:
    """The rows as CSV with a header; NULL is an empty field, a blob is in hexadecimal digits."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(result.columns)
    rows.writerows(["" if value is None else json_value(value) for value in row] for row in result.rows)
    return text.getvalue()


def json_value(value: Value) -> Any:
    """A value for JSON: a blob in hexadecimal digits, a number that JSON does not have as text."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    return value


def printable(text: str, keep: str = "") -> str:
    """Text whose control characters are escapes, except those in `keep`."""
    return "".join(sign if sign in keep or not _is_hidden(sign) else _escape(sign) for sign in text)


def print_lines(console: Console, lines: Sequence[str]) -> None:
    """Print lines as they are: nothing in them is markup."""
    for line in lines:
        console.print(Text(printable(line, keep="\t")), highlight=False)


def _cell(value: Value) -> Text:
    if value is None:
        return Text("NULL", style="dim")
    if isinstance(value, bytes):
        rest = "..." if len(value) > _BLOB else ""
        return Text(f"x'{value[:_BLOB].hex()}{rest}' ({len(value)} bytes)", style="dim")
    text = printable(str(value), keep="\n")
    return Text(text if len(text) <= _CELL else f"{text[:_CELL]}... ({len(text)} characters)")


def _is_number(value: Value) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _is_hidden(sign: str) -> bool:
    return unicodedata.category(sign) in _HIDDEN


def _escape(sign: str) -> str:
    return sign.encode("unicode_escape", "backslashreplace").decode("ascii")
