"""Values as the page's table shows them."""

from __future__ import annotations

from text2sql.targets.model import Result
from text2sql.web.cells import cell, table


def test_columns_of_numbers_are_numbers_and_all_others_are_text() -> None:
    rows = [(1, 1.5, 1, "1", 2**60), (2, 0.5, None, "x", 1)]
    shown = table(Result(("a", "b", "c", "d", "e"), rows))  # type: ignore[arg-type]
    assert shown["datatype"] == ["number", "number", "str", "str", "str"]
    assert shown["value"]["data"] == [
        [1, 1.5, "1", "1", "1152921504606846976"],
        [2, 0.5, "NULL", "x", "1"],
    ]


def test_null_and_blobs_are_told_from_text_that_looks_like_them() -> None:
    shown = table(Result(("a", "b"), [(None, b"\x01\x02"), ("NULL", "x'0102' (2 bytes)")]))
    (null, blob), texts = shown["value"]["metadata"]["styling"]
    assert "italic" in null and "italic" in blob and texts == ["", ""]
    assert shown["value"]["data"][0] == shown["value"]["data"][1]


def test_long_values_are_cut_with_their_length_and_signs_that_mislead_are_escapes() -> None:
    assert cell("x" * 5000).endswith("xxx... (5000 characters)")
    assert cell(bytes(100)) == f"x'{'00' * 16}...' (100 bytes)"
    assert cell("a\u202eb\x00") == "a\\u202eb\\x00"
    assert table(Result(("\u202eevil",), []))["value"]["headers"] == ["\\u202eevil"]


def test_infinite_numbers_are_text() -> None:
    assert table(Result(("r",), [(float("inf"),)]))["value"]["data"] == [["inf"]]
