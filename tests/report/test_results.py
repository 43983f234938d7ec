"""text2sql.report.results: values for the page, and what differs between two results."""

from __future__ import annotations

import pytest

from text2sql.evaluation.execution.sandbox import Row, Table
from text2sql.report.results import CHARACTERS, COLUMNS, ROWS, Comparison, cell, compared, shown


def compare(
    gold: list[Row], predicted: list[Row], columns: str = "a b", others: str = "a b", ordered: bool = False
) -> Comparison:
    return compared(Table(tuple(columns.split()), gold), Table(tuple(others.split()), predicted), ordered)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, None),
        (5, "n5"),
        (9007199254740993, "n9007199254740993"),
        (1.0, "n1.0"),
        ("", "t"),
        ("<b>", "t<b>"),
        (b"", "b0:"),
        (b"\x00\xff", "b2:00ff"),
    ],
)
def test_a_value_says_what_it_is(value: object, written: str | None) -> None:
    assert cell(value) == written


def test_long_texts_and_blobs_are_cut_and_have_their_size() -> None:
    text, blob = cell("x" * 5000), cell(b"\x01" * 5000)
    assert text == f"c5000:{'x' * CHARACTERS}…"
    assert blob is not None and blob.startswith("b5000:01") and blob.endswith("…") and len(blob) < 150


def test_only_the_first_rows_and_columns_are_shown_with_the_true_counts() -> None:
    table = Table(tuple(f"c{n}" for n in range(50)), [tuple(range(50))] * 1000)
    found = shown(table)
    assert (len(found.rows), len(found.columns)) == (ROWS, COLUMNS)
    assert (found.count, found.width) == (1000, 50)


def test_equal_results_are_called_the_same() -> None:
    found = compare([(1, 2)], [(1, 2)])
    assert found.sentence == "The same rows."
    assert not found.gold.marked_rows and not found.predicted.marked_columns


def test_another_order_of_the_columns_is_named() -> None:
    found = compare([(1, 2)], [(2, 1)], "a b", "b a")
    assert found.sentence == "The same rows, with the columns in another order."


def test_missing_and_extra_rows_are_counted_and_marked() -> None:
    found = compare([(1, 1), (2, 2), (2, 2)], [(2, 2), (3, 3)])
    assert found.sentence == (
        "The prediction lacks 2 of 3 rows of the gold result, and has 1 row that the gold result lacks."
    )
    assert (found.gold.marked_rows, found.predicted.marked_rows) == ((0, 2), (1,))


def test_another_column_is_named_and_marked_and_the_rest_is_compared() -> None:
    found = compare([(1, 5), (2, 6)], [(1, 7), (2, 8)], "id age", "id size")
    assert found.sentence == (
        "The prediction has the column size in place of the column age. The other columns have the same rows."
    )
    assert (found.gold.marked_columns, found.predicted.marked_columns) == ((1,), (1,))
    assert not found.gold.marked_rows


def test_missing_columns_are_named() -> None:
    assert compare([(1, 2)], [(1,)], "a b", "a").sentence.startswith("The prediction lacks the column b.")
    assert compare([(1,)], [(1, 2)], "a", "a b").sentence.startswith("The prediction also has the column b.")


def test_another_order_of_rows_counts_only_where_the_gold_sorts() -> None:
    rows: list[Row] = [(1, 1), (2, 2), (3, 3)]
    moved = compare(rows, [rows[0], rows[2], rows[1]], ordered=True)
    assert moved.sentence == "The same rows in another order, which counts here."
    assert moved.predicted.marked_rows == (1, 2)
    assert compare(rows, rows[::-1]).sentence == "The same rows."


def test_rows_that_differ_are_shown_even_if_they_are_late() -> None:
    rows: list[Row] = [(n, n) for n in range(100)]
    found = compare(rows, rows[:-1])
    assert found.gold.places == (*range(ROWS - 1), 99) and found.gold.marked_rows == (99,)


def test_results_beyond_the_limit_of_rows_are_shown_and_not_compared() -> None:
    long = Table(("a",), [(n,) for n in range(1000)], more=True)
    found = compared(Table(("a",), [(1,)]), long, ordered=False)
    assert found.sentence == "More than 1,000 rows, so the results are not compared."
    assert found.predicted.more and len(found.predicted.rows) == ROWS


def test_columns_of_one_name_are_compared_although_their_values_differ() -> None:
    found = compare([(3,)], [(4,)], "count(*)", "COUNT(*)")
    assert found.sentence == (
        "The prediction lacks the only row of the gold result, and has 1 row that the gold result lacks."
    )
    assert not found.gold.marked_columns
    assert (
        compare([(1,), (2,)], [], "T1.a", "a").sentence
        == "The prediction lacks all 2 rows of the gold result."
    )


def test_results_of_no_rows_are_the_same_with_the_same_columns() -> None:
    assert compare([], []).sentence == "The same rows."


def test_results_of_no_columns_in_common_have_no_marked_rows() -> None:
    found = compare([(1,)], [("x",)], "a", "b")
    assert found.sentence == "The prediction has the column b in place of the column a."
    assert not found.gold.marked_rows
