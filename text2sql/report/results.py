"""Two results beside each other: their first rows, their true sizes, and what differs between them.

Not covered: results that are cut off at the limit of rows are shown, and not compared.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from text2sql.evaluation.execution.sandbox import Row, Table

ROWS, COLUMNS, CHARACTERS = 10, 20, 200
"""What is shown of a result at most: rows, columns, and characters of a value."""

Cell = str | None
"""A value for the page: None is NULL, and the first character of others says what they are. "n1.5": a
number; "tTea": text; "c900:Tea…": the beginning of text of 900 characters; "b16:00ff…":
that of a blob of 16 bytes."""

_NAMES = 3  # columns named in a sentence
_LATE = 3  # rows shown after the first ones, because they differ


@dataclass(frozen=True, slots=True)
class Shown:
    """Rows of a result and its size; with a `problem` there is no result.

    `places` are the numbers of the rows, from 0: the first rows, and where few of them differ, some of the
    later ones that do. `marked_rows` and `marked_columns` are the numbers, among those shown, of what differs
    from the other result; `more` means that there are more rows than `count`, the limit of rows.
    """

    columns: tuple[str, ...] = ()
    places: tuple[int, ...] = ()
    rows: tuple[tuple[Cell, ...], ...] = ()
    count: int = 0
    width: int = 0
    more: bool = False
    problem: str | None = None
    marked_rows: tuple[int, ...] = ()
    marked_columns: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two results with their marks, and a sentence on what differs, "" where there is nothing to compare."""

    gold: Shown
    predicted: Shown
    sentence: str = ""


def cell(value: Any) -> Cell:
    """The value as the page has it."""
    if value is None:
        return None
    if isinstance(value, bytes):
        return f"b{len(value)}:{value[: CHARACTERS // 4].hex()}{'…' if len(value) > CHARACTERS // 4 else ''}"
    if isinstance(value, str):
        return f"t{value}" if len(value) <= CHARACTERS else f"c{len(value)}:{value[:CHARACTERS]}…"
    return f"n{value!r}"


def failed(problem: str) -> Shown:
    """What is shown instead of a result."""
    return Shown(problem=problem)


def shown(table: Table, rows: Sequence[int] = (), columns: Sequence[int] = ()) -> Shown:
    """Some rows of a result, with marks on these rows and columns."""
    places = _chosen(len(table.rows), rows)
    return Shown(
        columns=tuple(_name(name) for name in table.columns[:COLUMNS]),
        places=tuple(places),
        rows=tuple(tuple(cell(value) for value in table.rows[at][:COLUMNS]) for at in places),
        count=len(table.rows),
        width=len(table.columns),
        more=table.more,
        marked_rows=tuple(sorted(set(rows) & set(places))),
        marked_columns=tuple(at for at in columns if at < COLUMNS),
    )


def _chosen(count: int, marked: Sequence[int]) -> list[int]:
    """The first rows; the last of them give way to later marked ones where fewer than these are marked."""
    late = [at for at in marked if at >= ROWS][:_LATE] if len(marked) else []
    if not late or sum(at < ROWS for at in marked) >= _LATE:
        return list(range(min(count, ROWS)))
    return [*range(ROWS - len(late)), *late]


def compared(gold: Table, predicted: Table, ordered: bool) -> Comparison:
    """Both results with marks; `ordered`: the order of rows counts."""
    if gold.more or predicted.more:
        sentence = (
            f"More than {max(len(gold.rows), len(predicted.rows)):,} rows, so the results are not compared."
        )
        return Comparison(shown(gold), shown(predicted), sentence)
    pairs = _paired_columns(gold, predicted)
    lone = [
        sorted(set(range(len(t.columns))) - {p[side] for p in pairs})
        for side, t in enumerate((gold, predicted))
    ]
    rows = [
        [tuple(row[p[side]] for p in pairs) for row in t.rows] for side, t in enumerate((gold, predicted))
    ]
    missing, extra = (_without_partner(*each) for each in ((rows[0], rows[1]), (rows[1], rows[0])))
    moved = _moved(rows[0], rows[1]) if pairs and ordered and not missing and not extra else []
    if not pairs:
        missing = extra = []
    sentence = " ".join(_sentences(gold, predicted, lone, (missing, extra), bool(moved), pairs))
    return Comparison(
        shown(gold, missing or moved, lone[0]), shown(predicted, extra or moved, lone[1]), sentence
    )


def _paired_columns(gold: Table, predicted: Table) -> list[tuple[int, int]]:
    """Pairs of a gold and a predicted column: of the same values, or else of the same name."""
    bags = [[Counter(row[at] for row in t.rows) for at in range(len(t.columns))] for t in (gold, predicted)]
    names = [[_plain_name(name) for name in t.columns] for t in (gold, predicted)]
    pairs: dict[int, int] = {}
    for same in (
        lambda one, other: (
            one == other and bags[0][one] == bags[1][other] and names[0][one] == names[1][other]
        ),
        lambda one, other: bags[0][one] == bags[1][other],
        lambda one, other: names[0][one] == names[1][other],
    ):
        for one in range(len(gold.columns)):
            free = (at for at in range(len(predicted.columns)) if at not in pairs.values())
            if one not in pairs and (found := next((at for at in free if same(one, at)), None)) is not None:
                pairs[one] = found
    return sorted(pairs.items())


def _without_partner(rows: Sequence[Row], others: Sequence[Row]) -> list[int]:
    """The places of the rows that have no equal among the others."""
    left = Counter(others)
    found = []
    for at, row in enumerate(rows):
        if left[row] > 0:
            left[row] -= 1
        else:
            found.append(at)
    return found


def _moved(gold: Sequence[Row], predicted: Sequence[Row]) -> list[int]:
    return [at for at, (one, other) in enumerate(zip(gold, predicted, strict=True)) if one != other]


def _sentences(
    gold: Table,
    predicted: Table,
    lone: Sequence[Sequence[int]],
    rows: tuple[Sequence[int], Sequence[int]],
    moved: bool,
    pairs: Sequence[tuple[int, int]],
) -> list[str]:
    """What differs between the results, in sentences about the predicted one."""
    found = []
    lacking, further = (_named(t.columns, at) for t, at in zip((gold, predicted), lone, strict=True))
    if lacking and further:
        found.append(f"The prediction has {further} in place of {lacking}.")
    elif lacking or further:
        found.append(f"The prediction {f'lacks {lacking}' if lacking else f'also has {further}'}.")
    if any(rows):
        counts = [f"lacks {_part(len(rows[0]), len(gold.rows))} of the gold result"] if rows[0] else []
        if rows[1]:
            counts.append(f"has {_size(len(rows[1]))} that the gold result lacks")
        found.append(f"The prediction {', and '.join(counts)}.")
    elif moved:
        found.append("The same rows in another order, which counts here.")
    elif not found:
        crossed = any(one != other for one, other in pairs)
        found.append("The same rows, with the columns in another order." if crossed else "The same rows.")
    elif pairs:
        found.append("The other columns have the same rows.")
    return found


def _part(count: int, of: int) -> str:
    if count == of:
        return "the only row" if of == 1 else f"all {of:,} rows"
    return f"{count:,} of {_size(of)}"


def _size(count: int) -> str:
    return f"{count:,} {'row' if count == 1 else 'rows'}"


def _plain_name(column: str) -> str:
    """The name of a column without case, blanks and the names of tables."""
    return re.sub(r"\w+\.(?=\w)|\s", "", column.lower())


def _named(columns: Sequence[str], places: Sequence[int]) -> str:
    names = [_name(columns[at]) for at in places]
    if not names:
        return ""
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return f"the {'column' if len(names) == 1 else 'columns'} {', '.join(names[:_NAMES])}{more}"


def _name(column: str) -> str:
    return column if len(column) <= 60 else f"{column[:59]}…"
