"""What people and programs see of a result."""

from __future__ import annotations

import io

from rich.console import Console

from text2sql.ask.shown import json_value, printable, result_table, row_count, sql_text, write_csv
from text2sql.targets.model import Result


def shown(result: Result) -> str:
    text = io.StringIO()
    Console(file=text, width=120, force_terminal=False).print(result_table(result))
    return text.getvalue()


def test_null_blobs_and_long_texts_are_told_apart() -> None:
    table = shown(Result(("a", "b", "c", "d"), [(None, "NULL", b"\x00\xff" * 20, "x" * 1000)]))
    assert "NULL" in table and "(40 bytes)" in table and "(1000 characters)" in table
    assert "x" * 201 not in table.replace("\n", "").replace("│", "").replace(" ", "")


def test_no_control_character_reaches_the_terminal() -> None:
    hostile = "\x1b]0;owned\x07\x1b[31mred\x9b2J\u202egnp\r\x00"
    table = shown(Result((hostile,), [(hostile,)]))
    assert not set(table) & set("\x1b\x07\x9b\u202e\r\x00")
    assert r"\x1b[31mred" in table


def test_markup_in_values_is_text() -> None:
    assert "[bold]x[/bold] [/]" in shown(Result(("a",), [("[bold]x[/bold] [/]",)]))


def test_a_query_is_shown_without_escapes_of_its_own() -> None:
    text = io.StringIO()
    Console(file=text, width=80, force_terminal=False).print(sql_text("SELECT '\x1b[2J'\nFROM t"))
    assert "\x1b" not in text.getvalue() and "FROM t" in text.getvalue()


def test_printable_keeps_letters_of_all_languages() -> None:
    assert printable("Größe 日本 ñ 🙂") == "Größe 日本 ñ 🙂"


def test_csv_has_a_header_and_quotes_what_needs_it() -> None:
    result = Result(("a", "b,c"), [(1, 'x"y\nz'), (None, b"\x01\xff")])
    assert write_csv(result) == 'a,"b,c"\n1,"x""y\nz"\n,01ff\n'


def test_json_values() -> None:
    assert [json_value(v) for v in (None, True, 1, 1.5, "x", b"\xff", float("inf"))] == [
        None, True, 1, 1.5, "x", "ff", "inf"
    ]  # fmt: skip


def test_row_counts_are_words() -> None:
    assert row_count(Result(("a",), [])) == "0 rows"
    assert row_count(Result(("a",), [(1,)])) == "1 row"
    assert (
        row_count(Result(("a",), [(1,), (2,)], more=True))
        == "first 2 rows, there are more (--rows shows them)"
    )
