"""Convert the schemas of the test questions to CREATE TABLE text, and check it by executing it in SQLite.

Each distinct schema is converted once (params.yaml, convert_schema.backend): by rules from its prose or
CREATE TABLE text, from the database file, by a language model, or from the recorded answers of one. The last
two need prose; a schema without it is read from the database, and the row's `backend` says so. The text is
executed, read back and compared with its source, and every gold query is compiled on it. Problems are listed
in the row's `problems` and counted; no row is dropped.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stages._main import stage_main
from stages._params import load_params
from text2sql.databases import check_databases
from text2sql.errors import UserError
from text2sql.files import replacing_folder, write_json, write_jsonl
from text2sql.records import ConvertedQuestion, TestQuestion, read_records
from text2sql.schema.check import gold_problem
from text2sql.schema.convert import (
    AnySchema,
    Backend,
    Conversion,
    LocalBackend,
    Source,
    SourceError,
    SqliteBackend,
    convert,
    count_backends,
    local_backend,
)
from text2sql.schema.prose import is_prose
from text2sql.schema.settings import ConvertSchema
from text2sql.workstore import WorkStore

if TYPE_CHECKING:
    from text2sql.schema.openai_backend import OpenAIBackend


@click.command(help=__doc__)
@click.option("--prepared", type=click.Path(path_type=Path), required=True)
@click.option("--databases", type=click.Path(path_type=Path), required=True)
@click.option("--output", type=click.Path(path_type=Path), required=True)
@click.option("--metrics", type=click.Path(path_type=Path), required=True)
@stage_main
def main(prepared: Path, databases: Path, output: Path, metrics: Path) -> None:
    params = load_params()
    settings, comments = params.convert_schema, params.prompt.comments
    asked = make_backend(settings, databases, comments)
    backend = AnySchema(asked, SqliteBackend(databases, settings.values, settings.examples, comments))
    questions = read_records(prepared / "test.jsonl", TestQuestion)
    if not questions:
        raise UserError(f"{prepared}/test.jsonl: has no question; make it again: dvc repro prepare")
    require_databases(questions, backend)
    conversions = convert_all(prepared / "test.jsonl", questions, backend)
    rows = [converted(question, conversions[backend.key(source_of(question))]) for question in questions]
    with replacing_folder(output) as folder:
        write_jsonl(folder / "test.jsonl", rows)
    figures = counts(conversions.values(), rows)
    if not isinstance(asked, LocalBackend):
        figures["spending"] = asdict(asked.spending)
    write_json(metrics, figures)


def make_backend(settings: ConvertSchema, databases: Path, comments: bool) -> LocalBackend | OpenAIBackend:
    """The back end that the parameters name; a language model's answers are kept in the work store."""
    model = settings.openai
    if settings.backend != "openai" or model is None:
        return local_backend(settings, databases, comments)
    from text2sql.schema.openai_backend import OpenAIBackend

    # limits and prices are not in the key: when they change, paid answers must still be found
    key = {"base_url": model.base_url, "model": model.model}
    work = WorkStore.from_environment().open("convert_schema", key)
    return OpenAIBackend(model, settings.values, work)


def require_databases(questions: Sequence[TestQuestion], backend: AnySchema) -> None:
    """Check that every database is there from which a schema must be read.

    Raises:
        UserError: some are missing; the message names them by test set.
    """
    needed = (q for q in questions if isinstance(backend.choice(source_of(q)), SqliteBackend))
    check_databases(backend.database.databases, ((q.test_set, q.db_id) for q in needed))


def convert_all(path: Path, questions: Sequence[TestQuestion], backend: Backend) -> dict[str, Conversion]:
    """Convert the schemas of all questions, which are in the file `path`.

    Raises:
        UserError: a schema cannot be read, or the back end cannot go on.
    """
    try:
        return convert(map(source_of, questions), backend)
    except SourceError as error:
        raise UserError(f"{path}, {error}; fetch the data again: dvc repro fetch_data") from error


def source_of(question: TestQuestion) -> Source:
    """The source of a question's schema."""
    prose, ddl = (question.schema, "") if is_prose(question.schema) else ("", question.schema)
    return Source(question.row, question.db_id, prose, question.recorded, ddl)


def converted(question: TestQuestion, conversion: Conversion) -> ConvertedQuestion:
    """The question with its converted schema and the problems found in it."""
    problem = gold_problem(conversion.ddl, question.gold) if question.gold else ""
    return ConvertedQuestion(
        row=question.row,
        db_id=question.db_id,
        question=question.question,
        gold=question.gold,
        ddl=conversion.ddl,
        slice=question.slice,
        backend=conversion.backend,
        problems=(*conversion.problems, problem) if problem else conversion.problems,
        test_set=question.test_set,
    )


def counts(conversions: Collection[Conversion], rows: Sequence[ConvertedQuestion]) -> dict[str, Any]:
    """The figures of metrics/convert_schema.json: distinct schemas, those without problems, rows."""
    return {
        "schemas": len(conversions),
        "valid": sum(not conversion.problems for conversion in conversions),
        "rows": len(rows),
        "rows_with_problems": sum(bool(row.problems) for row in rows),
        "backends": count_backends(conversions),
        "attempts": sum(conversion.attempts for conversion in conversions),
    }


if __name__ == "__main__":
    main()
