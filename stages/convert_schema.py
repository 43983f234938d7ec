"""Turn the test's schemas into CREATE TABLE text that SQLite has executed.

Each distinct schema is converted once: by rules from its prose, or read from the database itself
(params.yaml, convert_schema.backend). The text is executed, read back and compared, and every gold
query is compiled against it. What fails is listed in the row's `problems` and counted, never
dropped.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import click

from stages._main import stage_main
from stages._params import load_params
from text2sql.contamination.folding import schema_signature
from text2sql.outputs import replacing_folder
from text2sql.records import (
    ConvertedQuestion,
    TestQuestion,
    UserError,
    read_records,
    write_json,
    write_jsonl,
)
from text2sql.schema.ddl import write_ddl
from text2sql.schema.model import Schema
from text2sql.schema.prose import read_prose
from text2sql.schema.sqlite import read_sqlite


@dataclass(frozen=True, slots=True)
class Conversion:
    """CREATE TABLE text and what is wrong with it ("" when it says what the source says)."""

    ddl: str
    problem: str


@click.command(help=__doc__)
@click.option("--prepared", type=click.Path(path_type=Path), required=True)
@click.option("--databases", type=click.Path(path_type=Path), required=True)
@click.option("--output", type=click.Path(path_type=Path), required=True)
@click.option("--metrics", type=click.Path(path_type=Path), required=True)
@stage_main
def main(prepared: Path, databases: Path, output: Path, metrics: Path) -> None:
    backend = load_params().convert_schema.backend
    questions = read_records(prepared / "test.jsonl", TestQuestion)
    if not questions:
        raise UserError(f"{prepared}/test.jsonl: holds no question; make it again: dvc repro prepare")
    key, read = schema_reader(backend, databases)
    conversions = {key(question): read(question) for question in _first_of_each(questions, key)}
    rows = [convert(question, conversions[key(question)], backend) for question in questions]
    with replacing_folder(output) as folder:
        write_jsonl(folder / "test.jsonl", rows)
    write_json(metrics, counts(list(conversions.values()), rows))


def schema_reader(
    backend: str, databases: Path
) -> tuple[Callable[[TestQuestion], str], Callable[[TestQuestion], Conversion]]:
    """What tells one schema from another, and how a question's schema is converted."""
    if backend == "rules":
        return lambda q: q.prose, lambda q: checked(_from_prose(q))
    return lambda q: q.db_id, lambda q: checked(read_sqlite(databases / q.db_id / f"{q.db_id}.sqlite"))


def checked(schema: Schema) -> Conversion:
    """Write a schema as CREATE TABLE, execute that, and compare tables and columns."""
    ddl = write_ddl(schema)
    try:
        same = schema_signature(ddl) == schema_signature(schema)
    except UserError as error:
        return Conversion(ddl, str(error))
    return Conversion(ddl, "" if same else "schema: tables or columns differ from the source")


def convert(question: TestQuestion, conversion: Conversion, backend: str) -> ConvertedQuestion:
    """The question with its converted schema and the problems found on the way."""
    found = conversion.problem or gold_problem(conversion.ddl, question.gold)
    return ConvertedQuestion(
        row=question.row,
        db_id=question.db_id,
        question=question.question,
        gold=question.gold,
        ddl=conversion.ddl,
        slice=question.slice,
        backend=backend,
        problems=(found,) if found else (),
    )


def gold_problem(ddl: str, gold: str) -> str:
    """What SQLite says against the gold query on these tables, "" if it compiles.

    Compiled only (EXPLAIN), never run. Not covered: a name in double quotes that no column
    has, which SQLite takes for a string.
    """
    with closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.executescript(ddl)
            connection.execute(f"EXPLAIN {gold}").fetchall()
        except (sqlite3.Error, sqlite3.Warning) as error:
            return f"gold does not compile: {error}"
    return ""


def counts(conversions: Sequence[Conversion], rows: Sequence[ConvertedQuestion]) -> dict[str, int]:
    """The figures of metrics/convert_schema.json: distinct schemas, those valid, and rows."""
    return {
        "schemas": len(conversions),
        "valid": sum(not conversion.problem for conversion in conversions),
        "rows": len(rows),
        "rows_with_problems": sum(bool(row.problems) for row in rows),
    }


def _first_of_each(
    questions: Sequence[TestQuestion], key: Callable[[TestQuestion], str]
) -> Sequence[TestQuestion]:
    return list({key(question): question for question in reversed(questions)}.values())[::-1]


def _from_prose(question: TestQuestion) -> Schema:
    try:
        return read_prose(question.prose)[1]
    except UserError as error:
        raise UserError(
            f"test row {question.row}: {error}; fetch the data again: dvc repro fetch_data"
        ) from error


if __name__ == "__main__":
    main()
