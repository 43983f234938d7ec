"""Add context of its own database to the schema of each question: value hints, example values, keys, a cut.

Reads the questions (with few-shot examples, if they have any) and their databases (ID/ID.sqlite below
--databases), and where the context has `train: true` the training rows (rows.jsonl below --train) and theirs
(SOURCE/ID/ID.sqlite below --train-databases). Writes test/test.jsonl below --output, the questions with a
field `context`, the schema as the prompt shows it, and then train/ in the form of data/train. A question
whose database or schema cannot be read has no `context`, and its prompt has the plain schema.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from stages._main import stage_main
from stages._params import load_params, require_entry
from text2sql.context.make import KEPT, MISSING, WRONG, Asked, Made, Read, make_contexts
from text2sql.context.measure import named, recall
from text2sql.context.settings import Context
from text2sql.cpu import allowed_cores
from text2sql.databases import database_path
from text2sql.errors import UserError
from text2sql.files import read_jsonl, replacing_folder, write_json, write_jsonl
from text2sql.prompts import prompt_form, schema_text
from text2sql.records import TrainingRow, read_records
from text2sql.schema.database_files import find_database
from text2sql.schema.settings import Prompt
from text2sql.training.dataset import turn, write_dataset
from text2sql.workstore import WorkStore

_NEEDED = ("db_id", "question", "gold", "ddl")


@click.command(help=__doc__)
@click.option("--context", required=True, help="A name in section contexts.")
@click.option("--questions", type=click.Path(path_type=Path), required=True)
@click.option("--train", type=click.Path(path_type=Path), required=True)
@click.option("--databases", type=click.Path(path_type=Path), required=True)
@click.option("--train-databases", type=click.Path(path_type=Path), required=True)
@click.option("--output", type=click.Path(path_type=Path), required=True)
@click.option("--metrics", type=click.Path(path_type=Path), required=True)
@stage_main
def main(
    context: str,
    questions: Path,
    train: Path,
    databases: Path,
    train_databases: Path,
    output: Path,
    metrics: Path,
) -> None:
    params = load_params()
    require_entry("contexts", params.contexts, context)
    settings = params.contexts[context]
    if settings.is_plain:
        print(
            f"contexts.{context}: shows what the plain prompts of {settings.questions} show, but for INSERT "
            "rows; set value_hints or another key (docs/context.md)",
            file=sys.stderr,
        )
    rows = read_questions(questions)
    with replacing_folder(output) as folder:
        asked = [
            Asked(
                str(row["row"]),
                database_path(databases, row["db_id"]),
                row["db_id"],
                row["question"],
                row["ddl"],
            )
            for row in rows
        ]
        made, read = make(asked, settings, params.prompt, "questions")
        write_jsonl(folder / "test" / "test.jsonl", with_context(rows, made))
        golds = [(str(row["row"]), row["ddl"], row["gold"]) for row in rows]
        ddls = [row["ddl"] for row in rows]
        figures = of_texts(ddls, made, golds, settings, params.prompt) | of_databases(read)
        if settings.train:
            figures["train"] = add_to_training(
                train, train_databases, folder / "train", settings, params.prompt
            )
    write_json(metrics, figures)


def read_questions(path: Path) -> list[dict[str, Any]]:
    """The rows of a questions file, with or without examples.

    Raises:
        UserError: the file is missing, a row lacks a field, or there is none.
    """
    rows = list(read_jsonl(path))
    for number, row in enumerate(rows, 1):
        wrong = [key for key in _NEEDED if not isinstance(row.get(key), str)]
        if wrong or not isinstance(row.get("row"), int):
            missing = ", ".join(wrong) or "row"
            raise UserError(f"{path}, record {number}: {missing} is missing or not of its type; `dvc repro`")
    if not rows:
        raise UserError(f"{path}: no questions; `dvc repro` creates the pipeline's files")
    return rows


def make(
    asked: Sequence[Asked], settings: Context, prompt: Prompt, what: str
) -> tuple[list[Made], list[Read]]:
    """The contexts; what is missing is named on stderr, once a database. `what` is asked, in the plural.

    Of the schemas that SQLite rejects only the first is named.
    """
    made, read = make_contexts(asked, settings, prompt, WorkStore.from_environment(), allowed_cores())
    problems = [one for one in read if one.problem]
    for one in problems:
        print(f"no context for {what} about {one.database.stem}: {one.problem}", file=sys.stderr)
    for one in read:
        for table, reason in (one.unreadable or {}).items():
            print(f"{one.database}: no values of table {table}: {reason}", file=sys.stderr)
    lost = {one.database for one in problems}
    pairs = zip(asked, made, strict=True)
    rejected = [(one, each) for one, each in pairs if each.problem and one.database not in lost]
    if rejected:
        first, context = rejected[0]
        count = f"{len(rejected)} of {len(made)} {what}"
        print(f"no context for {count}, such as row {first.id}: {context.problem}", file=sys.stderr)
    if made and all(one.problem for one in made):
        reason = Counter(one.problem for one in made).most_common(1)[0][0]
        print(f"none of the {len(made)} {what} has a context, so all are plain: {reason}", file=sys.stderr)
    return made, read


def with_context(rows: Sequence[dict[str, Any]], made: Sequence[Made]) -> Iterator[dict[str, Any]]:
    """The rows, each with its context if it has one."""
    for row, one in zip(rows, made, strict=True):
        yield row if one.problem else row | {"context": one.text}


def add_to_training(
    train: Path, databases: Path, output: Path, settings: Context, prompt: Prompt
) -> dict[str, Any]:
    """Write the data set with the contexts of the training rows; returns its figures."""
    rows = read_records(train / "rows.jsonl", TrainingRow)
    asked = [
        Asked(
            row.id, find_database(databases / row.source, row.db_id), row.db_id, row.question, row.ddl, True
        )
        for row in rows
        if row.db_id
    ]
    if not asked:
        print(
            f"{train}/rows.jsonl: no row names its database, so none has a context; name the databases "
            "(fetch_data.train, docs/your-data.md), or take out `train: true` and the arms trained on it",
            file=sys.stderr,
        )
    elif len(asked) < len(rows):
        rest = f"{len(rows) - len(asked)} of {len(rows)} training rows name no database"
        print(f"{rest}, and keep their plain schema", file=sys.stderr)
    found, read = make(asked, settings, prompt, "training rows")
    contexts = iter(found)
    made = [next(contexts) if row.db_id else Made("", problem="the row names no database") for row in rows]
    write_jsonl(output / "rows.jsonl", rows)
    form = prompt_form(prompt.form)
    schemas = (one.text or plain(row.ddl, prompt) for row, one in zip(rows, made, strict=True))
    pairs = zip(rows, schemas, strict=True)
    write_dataset((turn(schema, row.question, row.sql, form) for row, schema in pairs), output)
    golds = [(row.id, row.ddl, row.sql) for row in rows]
    fates = [one.hinted for one in made if one.hinted]
    rates = {
        fate: round(fates.count(fate) / len(fates), 4) if fates else None for fate in (KEPT, MISSING, WRONG)
    }
    ddls = [row.ddl for row in rows]
    return (
        of_texts(ddls, made, golds, settings, prompt)
        | of_databases(read)
        | {"hinted": {"rows": len(fates), **rates}}
    )


def plain(ddl: str, prompt: Prompt) -> str:
    """The schema as prompts without context have it."""
    return schema_text(ddl, prompt.schema_types, prompt.comments)


def of_texts(
    ddls: Sequence[str],
    made: Sequence[Made],
    golds: Sequence[tuple[str, str, str]],
    settings: Context,
    prompt: Prompt,
) -> dict[str, Any]:
    """Rows, rows without context, recall, and the mean characters of the schemas with context.

    The recall of values is None where the settings ask for no value hints.
    """
    found = recall(golds, made).figures()
    if not settings.value_hints:
        found["value_recall"] = None
    pairs = [(ddl, each) for ddl, each in zip(ddls, made, strict=True) if not each.problem]
    n = max(len(pairs), 1)
    return {
        "n": len(made),
        "without_context": len(made) - len(pairs),
        **found,
        "characters": {
            "plain": round(sum(len(plain(ddl, prompt)) for ddl, _ in pairs) / n, 1),
            "context": round(sum(len(each.text) for _, each in pairs) / n, 1),
        },
    }


def of_databases(read: Sequence[Read]) -> dict[str, Any]:
    """How many databases there are, and which have no values, in part or at all, or were not read whole."""
    return {
        "databases": {
            "n": len(read),
            "without_values": named([one.database.stem for one in read if one.problem]),
            "unreadable_tables": named([f"{r.database.stem}.{t}" for r in read for t in r.unreadable or ()]),
            "limited": named([f"{one.database.stem}: {limit}" for one in read for limit in one.limits]),
        }
    }


if __name__ == "__main__":
    main()
