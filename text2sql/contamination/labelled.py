"""The labelled set: training rows that are known to leak or not, to measure the contamination rules on.

labelled.json beside this module has hand-written databases and test questions, and for each question
training rows that leak it and rows that only seem to.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

import sqlglot
from sqlglot import exp

from text2sql.contamination.evidence import Evidence
from text2sql.records import TestQuestion, TrainingRow
from text2sql.schema.ddl import write_ddl
from text2sql.schema.model import Column, ForeignKey, Schema, Table
from text2sql.schema.prose import write_prose

# Kinds of training row and what each has in common with its test question. Leaks:
#   verbatim  everything                               value     all but the values
#   signs     all but case, blanks and punctuation     reworded  database, SQL and about half of the words
#   order     the words; a clause is moved             heavy     database and SQL; hardly a word
#   synonym   all words but one or two                 restated  database and meaning; other words and SQL
#   respelt   nearly all words; the SQL is written in another way
LEAKS = ("verbatim", "signs", "order", "synonym", "respelt", "value", "reworded", "heavy", "restated")
# Not leaks:
#   opposite        database and nearly all words; another meaning, such as most and fewest
#   other_question  the database
#   other_database  the template, on another database
#   namesake        the SQL, on another database that has a table of the same name
CLEAN = ("opposite", "other_question", "other_database", "namesake")
# How much of the database a training row shows: all of it, the tables of its query, or (as in
# sql-create-context) those tables with only the columns of the query.
SHOWN = ("whole", "tables", "columns")

Find = Callable[[list[TrainingRow], list[TestQuestion]], Mapping[str, Evidence]]


@dataclass(frozen=True, slots=True)
class Labelled:
    """A training row, its kind, and the test row that it leaks (None: it leaks none)."""

    row: TrainingRow
    kind: str
    leaks: int | None


LabelledSet = tuple[list[TestQuestion], list[Labelled]]


@dataclass(frozen=True, slots=True)
class _Draft:
    """A training row before it has a number; `test_row` is the question that it was written for."""

    kind: str
    question: str
    sql: str
    database: Mapping[str, Any]
    test_row: int


def labelled_set() -> tuple[list[TestQuestion], list[Labelled]]:
    """The 32 test questions and the 384 labelled training rows on 24 databases; always the same."""
    text = resources.files("text2sql.contamination").joinpath("labelled.json").read_text("utf-8")
    questions: list[TestQuestion] = []
    items: list[Labelled] = []
    for group in json.loads(text):
        first = len(questions)
        questions += [_question(first + at, group, entry) for at, entry in enumerate(group["questions"])]
        items += [_item(len(items) + at, draft) for at, draft in enumerate(_drafts(first, group))]
    return questions, items


def label_report(find: Find, labelled: LabelledSet | None = None) -> dict[str, Any]:
    """Precision and recall of `find` on a labelled set (None: that of this module).

    `find` takes the training rows and the test questions and returns the evidence by the id of each row that
    it would remove. In the result, `precision` and `recall` are in percent (precision None: no row was
    removed); `by_kind` counts rows and removed rows; `by_rule` counts removed rows and leaks among them, with
    the percentages, each row under the rule of its evidence; `other_test_row` counts leaks whose evidence
    names another test question than the one that the row leaks.

    Raises:
        KeyError: `find` names a row that it was not given.
    """
    test, items = labelled or labelled_set()
    label = {item.row.id: item for item in items}
    evidence_of = find([item.row for item in items], test)
    found = [(label[row_id], evidence) for row_id, evidence in evidence_of.items()]
    leaks = sum(item.leaks is not None for item in items)
    removed = Counter(item.kind for item, _ in found)
    return {
        "rows": len(items),
        "leaks": leaks,
        **_scores([item for item, _ in found], leaks),
        "by_kind": {kind: _kind(kind, items, removed) for kind in _kinds(items)},
        "by_rule": {
            rule: _scores([item for item, evidence in found if evidence.rule == rule], leaks)
            for rule in sorted({evidence.rule for _, evidence in found})
        },
        "other_test_row": sum(item.leaks not in (None, evidence.test_row) for item, evidence in found),
    }


def _kinds(items: Sequence[Labelled]) -> list[str]:
    """The kinds in the order of LEAKS and CLEAN, then as they appear."""
    order = {kind: at for at, kind in enumerate(LEAKS + CLEAN)}
    return sorted(dict.fromkeys(item.kind for item in items), key=lambda kind: order.get(kind, len(order)))


def _scores(removed: Sequence[Labelled], leaks: int) -> dict[str, float | None]:
    right = sum(item.leaks is not None for item in removed)
    return {
        "removed": len(removed),
        "right": right,
        "precision": round(100 * right / len(removed), 2) if removed else None,
        "recall": round(100 * right / leaks, 2),
    }


def _kind(kind: str, items: Sequence[Labelled], removed: Mapping[str, int]) -> dict[str, Any]:
    return {
        "leak": any(item.kind == kind and item.leaks is not None for item in items),
        "rows": sum(item.kind == kind for item in items),
        "removed": removed[kind],
    }


def _question(row: int, group: Mapping[str, Any], entry: Mapping[str, Any]) -> TestQuestion:
    name, (question, sql) = group["database"]["name"], entry["asked"]
    prose = write_prose(name, _schema(group["database"]["tables"]))
    return TestQuestion(row, name, question, sql, prose, "all")


def _drafts(first: int, group: Mapping[str, Any]) -> Iterator[_Draft]:
    """The rows for one group of questions, whose test rows are numbered from `first`."""
    for row, entry in enumerate(group["questions"], first):
        for kind, question, sql in _leaks(row, entry):
            yield _Draft(kind, question, sql, group["database"], row)
        for kind in ("opposite", "other_question", "other_database"):
            question, sql = entry[kind]
            yield _Draft(kind, question, sql, group["twin" if kind == "other_database" else "database"], row)
    for question, sql in group["namesakes"]:
        yield _Draft("namesake", question, sql, group["namesake"], first)


def _leaks(row: int, entry: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Kind, question and SQL of the rows that leak the question."""
    asked, sql = entry["asked"]
    yield "verbatim", asked, sql
    yield "signs", _respelled(asked, row), sql
    for kind in ("order", "synonym", "reworded", "heavy"):
        yield kind, entry[kind], sql
    yield "respelt", entry[("order", "synonym")[row % 2]], entry["restated"][1]
    for kind in ("value", "restated"):
        if kind in entry:  # not every question has a value
            yield kind, *entry[kind]


def _respelled(question: str, row: int) -> str:
    """The same words with other case, spaces and punctuation, in three ways."""
    words = re.sub(r"[?.,:]", " ", question).split()
    spelt = (" ".join(words).upper(), "  ".join(words).lower() + " ?!", "\t".join(words).title() + "…")
    return spelt[row % len(spelt)]


def _item(number: int, draft: _Draft) -> Labelled:
    shown = "whole" if draft.kind == "namesake" else SHOWN[number % len(SHOWN)]
    ddl = write_ddl(shown_part(_schema(draft.database["tables"]), draft.sql, shown))
    row = TrainingRow(f"labelled:{number}", "labelled", draft.question, ddl, draft.sql)
    return Labelled(row, draft.kind, draft.test_row if draft.kind in LEAKS else None)


def _schema(tables: Mapping[str, str]) -> Schema:
    """Tables from `{name: columns}`; the first column is the key, and x_id refers to the key of table x."""
    return Schema(tuple(_table(name, columns.split(), tables) for name, columns in tables.items()))


def _table(name: str, columns: Sequence[str], tables: Mapping[str, str]) -> Table:
    links = tuple(
        ForeignKey((column,), table, (tables[table].split()[0],))
        for column in columns
        if column.endswith("_id") and (table := column.removesuffix("_id")) in tables
    )
    return Table(name, tuple(map(Column, columns)), (columns[0],), links)


def shown_part(schema: Schema, sql: str, shown: str) -> Schema:
    """What a training row shows of its database; `shown` is one of SHOWN."""
    if shown == "whole":
        return schema
    names = _names(sql)
    tables = [table for table in schema.tables if table.name in names]
    if shown == "columns":
        tables = [replace(table, columns=_used(table, names), primary_key=()) for table in tables]
    return Schema(tuple(replace(table, foreign_keys=()) for table in tables))


def _used(table: Table, names: set[str]) -> tuple[Column, ...]:
    """The columns that the query names; the first column if it names none, as in SELECT count(*)."""
    return tuple(c for c in table.columns if c.name in names) or table.columns[:1]


def _names(sql: str) -> set[str]:
    return {node.name for node in sqlglot.parse_one(sql, read="sqlite").find_all(exp.Identifier)}
