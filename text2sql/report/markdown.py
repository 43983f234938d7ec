"""Tables and table cells in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from text2sql.report.scores import Share

ABSENT = "–"

Rows = Sequence[Sequence[str]]


def plain(rows: Rows) -> Iterator[str]:
    """The lines of a table; the first row is the head, the first column is left-aligned."""
    head, *body = rows
    yield _row(head)
    yield _row(["---", *["---:"] * (len(head) - 1)])
    yield from map(_row, body)


def padded(rows: Rows) -> Iterator[str]:
    """As `plain`, with columns of one width, for a terminal."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    head, *body = [_pad(row, widths) for row in rows]
    yield _row(head)
    yield _row(["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])])
    yield from map(_row, body)


def percent(value: float | None) -> str:
    """A percentage with one decimal."""
    return ABSENT if value is None else f"{value:.1f}"


def with_interval(share: Share | None, n: int) -> str:
    """A percentage with its interval, and its own number of questions if that is not `n`."""
    if share is None:
        return ABSENT
    count = "" if share.n == n else f", n={share.n}"
    return f"{share.percent:.1f} ({share.low:.1f} to {share.high:.1f}{count})"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _pad(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    first, *others = zip(row, widths, strict=True)
    return [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
