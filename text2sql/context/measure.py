"""How much of what gold queries use is in the contexts: tables, columns and values."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from text2sql.context.gold import Gold, read_gold
from text2sql.context.make import Made
from text2sql.errors import UserError
from text2sql.schema.ddl import executed

_NAMED = 20  # in a list of the figures


@dataclass
class Recall:
    """Counts of gold tables, columns and strings, and how many of them are shown."""

    questions: int = 0
    lossless: int = 0
    unread: list[str] = field(default_factory=list)
    tables: list[int] = field(default_factory=lambda: [0, 0])  # shown, all; as are the next two
    columns: list[int] = field(default_factory=lambda: [0, 0])
    strings: list[int] = field(default_factory=lambda: [0, 0])
    hints: list[int] = field(default_factory=lambda: [0, 0])  # that are a gold string, all

    def add(self, name: str, gold: Gold | None, made: Made) -> None:
        """Count a question whose context was made; `gold` None: its query could not be read."""
        if gold is None:
            self.unread.append(name)
            return
        tables = {table for table, _ in made.columns}
        self.questions += 1
        self.lossless += gold.tables <= tables and gold.columns <= made.columns
        _count(self.tables, gold.tables & tables, gold.tables)
        _count(self.columns, gold.columns & made.columns, gold.columns)
        values = {hint.value for hint in made.hints}
        _count(self.strings, gold.strings & values, gold.strings)
        _count(self.hints, [hint for hint in made.hints if hint.value in gold.strings], made.hints)

    def figures(self) -> dict[str, Any]:
        """Percentages, each of so many things."""
        return {
            "questions": self.questions,
            "table_recall": _percent(*self.tables),
            "column_recall": _percent(*self.columns),
            "lossy_questions": _percent(self.questions - self.lossless, self.questions),
            "value_recall": _percent(*self.strings),
            "value_precision": _percent(*self.hints),
            "values": self.strings[1],
            "hints": self.hints[1],
            "unread_golds": named(self.unread),
        }


def recall(golds: Sequence[tuple[str, str, str]], made: Sequence[Made]) -> Recall:
    """The recall over questions given by name, CREATE TABLE text and gold query ("": it has none)."""
    found = Recall()
    by_schema: dict[str, list[int]] = {}
    for number, (_, ddl, gold) in enumerate(golds):
        if gold.strip() and not made[number].problem:
            by_schema.setdefault(ddl, []).append(number)
    read: dict[int, Gold | None] = {}
    for ddl, numbers in by_schema.items():
        read |= _golds(ddl, {number: golds[number][2] for number in numbers})
    for number in sorted(read):
        found.add(golds[number][0], read[number], made[number])
    return found


def named(names: Sequence[str]) -> dict[str, Any]:
    """How many names there are, and the first of them."""
    return {"n": len(names), "names": list(names[:_NAMED])}


def _golds(ddl: str, queries: Mapping[int, str]) -> dict[int, Gold | None]:
    try:
        with executed(ddl) as connection:
            connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
            return {number: read_gold(connection, sql) for number, sql in queries.items()}
    except UserError:  # the context was made of this text, so SQLite accepts it
        return dict.fromkeys(queries)


def _count(counts: list[int], found: Any, of: Any) -> None:
    counts[0] += len(found)
    counts[1] += len(of)


def _percent(part: int, of: int) -> float | None:
    return round(100 * part / of, 2) if of else None
