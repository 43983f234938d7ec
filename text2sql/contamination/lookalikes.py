"""The second labelled set: leaks with other words and other SQL, and rows that only look like leaks.

lookalikes.json beside this module has six hand-written databases with rows, and for each of them test
questions, ten training rows that leak one of them and ten that do not. The thresholds of the rules were
chosen on the first three (`TUNED`); the others were only measured.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from importlib import resources
from pathlib import Path
from typing import Any

from text2sql.contamination.labelled import Labelled, shown_part
from text2sql.databases import database_path
from text2sql.records import TestQuestion, TrainingRow
from text2sql.schema.ddl import read_ddl, write_ddl

TUNED = 3
"""Databases on which thresholds were chosen: the first so many, with half of the rows."""

# Kinds of training row. Leaks; the SQL is the test question's where nothing else is said:
#   contained      the question holds the test question     evidence     the question with evidence behind it
#   shorter        the clauses of the question are moved    extreme      max() for LIMIT 1
#   in_exists      NOT EXISTS or a join for NOT IN          join_order   the join begins at the other end
#   subquery_join  a subquery for a join                    aliases      other names of tables and columns
#   other_sql      another query, nearly the same words     paraphrase   another query and other words
#   reworded       other words                              db_only      no schema, the name of the database
#   no_schema      neither schema nor database
# Not leaks:
#   opposite          most and fewest, with and without     other_value       the value of a condition
#   more_conditions   one condition more                    fewer_conditions  one condition less
#   other_condition   another condition                     other_column      what is shown or ordered by
#   other_aggregate   sum, average, count                   other_database    the template elsewhere
#   other_question    the database


def lookalike_set() -> tuple[list[TestQuestion], list[Labelled]]:
    """The 36 test questions and the 120 labelled training rows, of which 60 leak; always the same."""
    questions: list[TestQuestion] = []
    items: list[Labelled] = []
    for group in _groups():
        first = len(questions)
        questions += [_question(first + at, group, *pair) for at, pair in enumerate(group["questions"])]
        for kind, row, test_row in _rows(group, len(items)):
            items.append(Labelled(row, kind, None if test_row is None else first + test_row))
    return questions, items


def write_databases(folder: Path) -> None:
    """Write the databases of the set below `folder`, as ID/ID.sqlite."""
    for group in _groups():
        path = database_path(folder, group["database"]["name"])
        path.parent.mkdir(parents=True)
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(group["database"]["ddl"])
            for table, rows in group["database"]["rows"].items():
                connection.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)
            connection.commit()


def _groups() -> list[dict[str, Any]]:
    text = resources.files("text2sql.contamination").joinpath("lookalikes.json").read_text("utf-8")
    groups: list[dict[str, Any]] = json.loads(text)
    return groups


def _question(row: int, group: Mapping[str, Any], question: str, sql: str) -> TestQuestion:
    database = group["database"]
    return TestQuestion(row, database["name"], question, sql, database["ddl"], "all")


def _rows(group: Mapping[str, Any], first: int) -> Iterator[tuple[str, TrainingRow, int | None]]:
    """Kind, row and, for a leak, the number of its question in the group; rows count from `first`."""
    labelled = [(True, *row) for row in group["leaks"]] + [(False, *row) for row in group["clean"]]
    for number, (leaks, kind, at, shown, question, sql) in enumerate(labelled, first):
        ddl, db_id = _shown(group, shown, sql)
        row = TrainingRow(f"lookalikes:{number}", "lookalikes", question, ddl, sql, db_id)
        yield kind, row, at if leaks else None


def _shown(group: Mapping[str, Any], shown: str, sql: str) -> tuple[str, str]:
    """The schema and the name of the database that a row shows."""
    database = group["database"]
    if shown in ("db_id", "nothing"):
        return "", database["name"] if shown == "db_id" else ""
    if shown in ("whole", "elsewhere"):
        return (database if shown == "whole" else group["elsewhere"])["ddl"], ""
    return write_ddl(shown_part(read_ddl(database["ddl"]), sql, shown)), ""
