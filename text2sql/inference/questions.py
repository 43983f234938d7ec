"""Reads test questions and makes the prompt of each."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from text2sql.errors import UserError
from text2sql.files import read_jsonl
from text2sql.prompts import COMPACT, Example, PromptForm, messages, schema_text


@dataclass(frozen=True)
class Chat:
    """The prompt for test question number `row`.

    `test_set` is the name of its set, "" in files of one set; `scored`: whether it has a gold query.
    """

    row: int
    db_id: str
    messages: list[dict[str, str]]
    test_set: str = ""
    scored: bool = True


def read_chats(
    path: Path, schema_types: bool, comments: bool = False, form: PromptForm = COMPACT
) -> list[Chat]:
    """The prompts of a questions file in the form `form`, with or without retrieved examples.

    A row with a `context` has this text as its schema, see text2sql/context.

    Without `schema_types` the column types are left out, except in a schema that SQLite rejects (with a
    warning on stderr); then the comments of columns are left out too, unless they are wanted.

    Raises:
        UserError: a field is missing or has the wrong type, a row number is repeated, there are no
            questions, or the file of the form fails.
    """
    chats: list[Chat] = []
    rows: set[int] = set()
    for number, question in enumerate(read_jsonl(path), 1):
        chat = _chat(f"{path}, record {number}", question, schema_types, comments, form)
        if chat.row in rows:
            raise UserError(
                f"{path}, record {number}: row {chat.row} is repeated; `dvc repro` writes the file again"
            )
        rows.add(chat.row)
        chats.append(chat)
    if not chats:
        raise UserError(f"{path}: no questions; `dvc repro` creates the pipeline's files")
    return chats


def prompt_of(
    where: str, question: dict[str, Any], schema_types: bool, comments: bool, form: PromptForm
) -> list[dict[str, str]]:
    """The chat of one record of a questions file; `where` names the record in messages.

    Raises:
        UserError: see `read_chats`.
    """
    if "context" in question:
        ddl = _field(where, question, "context", str)
    else:
        ddl = _schema(where, question, schema_types, comments)
    found = _field(where, question, "examples", list) if "examples" in question else []
    examples = [_example(f"{where}, example {n}", e, schema_types, comments) for n, e in enumerate(found, 1)]
    return messages(ddl, _field(where, question, "question", str), examples, form)


def _chat(where: str, question: dict[str, Any], schema_types: bool, comments: bool, form: PromptForm) -> Chat:
    row = _field(where, question, "row", int)
    prompt = prompt_of(where, question, schema_types, comments, form)
    test_set = _field(where, question, "test_set", str) if "test_set" in question else ""
    scored = bool(_field(where, question, "gold", str).strip()) if "gold" in question else True
    return Chat(row, _field(where, question, "db_id", str), prompt, test_set, scored)


def _example(where: str, example: Any, schema_types: bool, comments: bool) -> Example:
    if not isinstance(example, dict):
        raise UserError(f"{where}: expected an object; `dvc repro retrieve_examples` writes it again")
    shown = _field(where, example, "ddl", str) != ""  # retrieve_examples.example_schema: none
    return Example(
        question=_field(where, example, "question", str),
        ddl=_schema(where, example, schema_types, comments) if shown else "",
        sql=_field(where, example, "sql", str),
    )


def _schema(where: str, row: dict[str, Any], types: bool, comments: bool) -> str:
    ddl: str = _field(where, row, "ddl", str)
    try:
        return schema_text(ddl, types, comments)
    except UserError as error:
        # the question has this in its `problems`, and is still asked
        print(f"{where}: column types are kept in the prompt: {error}", file=sys.stderr)
        return schema_text(ddl, types=True)


def _field(where: str, row: dict[str, Any], name: str, kind: type) -> Any:
    if type(row.get(name)) is not kind:
        remedy = "`dvc repro` creates the pipeline's files"
        raise UserError(f"{where}: {name!r} is missing or not of type {kind.__name__}; {remedy}")
    return row[name]
