"""leaks.md: what the search for leaks found, for people to read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from text2sql.contamination.evidence import Evidence
from text2sql.records import TestQuestion, TrainingRow

EXAMPLES = 3
"""Removed rows shown for each rule."""

_LONGEST = 160  # characters of a text in a table

Example = tuple[TrainingRow, Evidence]


def leaks_page(figures: Mapping[str, Any], examples: Iterable[Example], test: Sequence[TestQuestion]) -> str:
    """The page; `figures` are those of metrics/dedupe_test.json."""
    asked = {question.row: question.question for question in test}
    parts = (_rows(figures), _test_sets(figures), _duplicates(figures), _examples(examples, asked))
    return "\n".join(line for part in parts for line in part)


def _rows(figures: Mapping[str, Any]) -> Iterator[str]:
    yield "# Training rows that leak test questions\n"
    yield f"Of {figures['rows']:,} training rows {figures['removed']:,} were removed, by these rules:\n"
    rules = list(figures["removed_by_rule"])
    yield from _table(
        ["source", "rows", *rules, "removed"],
        ([name, *counts.values()] for name, counts in figures["removed_by_source"].items()),
    )


def _test_sets(figures: Mapping[str, Any]) -> Iterator[str]:
    yield "\nShare of the test questions that the training rows leak, before the removal and after it. After:"
    yield "found by all rules that need neither a model nor databases, also where they are off.\n"
    rows = figures["test_sets"].items()
    yield from _table(
        ["test set", "questions", "before", "after"],
        ([name, s["questions"], f"{s['before']} %", f"{s['after']} %"] for name, s in rows),
    )


def _duplicates(figures: Mapping[str, Any]) -> Iterator[str]:
    found = figures["duplicates"]
    yield f"\nRows that repeat an earlier row: {found['rows']:,}, removed {found['removed']:,} of them.\n"
    if found["rows"]:
        yield from _table(["source", "repeated rows"], (list(pair) for pair in found["by_source"].items()))


def _examples(examples: Iterable[Example], asked: Mapping[int, str]) -> Iterator[str]:
    yield f"\nUp to {EXAMPLES} removed rows for each rule; removed.jsonl has them all.\n"
    rows = ([e.rule, row.id, row.question, asked[e.test_row], f"{e.similarity:.2f}"] for row, e in examples)
    yield from _table(["rule", "row", "training question", "test question", "similarity"], rows)
    yield ""


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    for row in rows:
        yield f"| {' | '.join(_cell(value) for value in row)} |"


def _cell(value: object) -> str:
    text = f"{value:,}" if isinstance(value, int) else " ".join(str(value).split()).replace("|", "\\|")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
