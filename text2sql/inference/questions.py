"""Reading test questions as the chats that a model is given."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from text2sql.errors import UserError
from text2sql.files import read_jsonl
from text2sql.prompts import Example, messages, schema_text


@dataclass(frozen=True)
class Chat:
    """What is said to the model about the test question `row`."""

    row: int
    db_id: str
    messages: list[dict[str, str]]


def read_chats(path: Path, schema_types: bool) -> list[Chat]:
    """The prompts of a questions file, with or without retrieved examples.

    Without `schema_types` the column types are left out, except of a schema that SQLite rejects
    (noted on stderr). UserError: a line lacks a field or has a wrong type, a row comes twice, or
    there are none.
    """
    chats: list[Chat] = []
    rows: set[int] = set()
    for number, question in enumerate(read_jsonl(path), 1):
        chat = _chat(f"{path}, record {number}", question, schema_types)
        if chat.row in rows:
            raise UserError(f"{path}, record {number}: row {chat.row} comes twice; `dvc repro`")
        rows.add(chat.row)
        chats.append(chat)
    if not chats:
        raise UserError(f"{path}: no questions in it; `dvc repro` makes what the pipeline writes")
    return chats


def _chat(where: str, question: dict[str, Any], schema_types: bool) -> Chat:
    row = _field(where, question, "row", int)
    ddl = _schema(where, question, schema_types)
    found = _field(where, question, "examples", list) if "examples" in question else []
    examples = [_example(f"{where}, example {n}", e, schema_types) for n, e in enumerate(found, 1)]
    asked = messages(ddl, _field(where, question, "question", str), examples)
    return Chat(row, _field(where, question, "db_id", str), asked)


def _example(where: str, example: Any, schema_types: bool) -> Example:
    if not isinstance(example, dict):
        raise UserError(f"{where}: expected an object; `dvc repro retrieve_examples` writes it anew")
    return Example(
        question=_field(where, example, "question", str),
        ddl=_schema(where, example, schema_types),
        sql=_field(where, example, "sql", str),
    )


def _schema(where: str, row: dict[str, Any], types: bool) -> str:
    ddl: str = _field(where, row, "ddl", str)
    try:
        return schema_text(ddl, types)
    except UserError as error:
        # a faulty schema is in the question's `problems`; the question is asked all the same
        print(f"{where}: column types stay in the prompt: {error}", file=sys.stderr)
        return schema_text(ddl, types=True)


def _field(where: str, row: dict[str, Any], name: str, kind: type) -> Any:
    if type(row.get(name)) is not kind:
        cure = "`dvc repro` makes what the pipeline writes"
        raise UserError(f"{where}: {name!r} is missing or not of type {kind.__name__}; {cure}")
    return row[name]
