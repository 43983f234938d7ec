"""Makes all prompts, those of training and those of prediction."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TypedDict

from text2sql.schema.ddl import without_types

SYSTEM = "Answer the question with one SQLite query."


class Example(TypedDict):
    """A solved training row shown before the question (few-shot)."""

    question: str
    ddl: str
    sql: str


@functools.lru_cache(maxsize=65_536)  # questions share schemas
def schema_text(ddl: str, types: bool, comments: bool = False) -> str:
    """The schema as it is in the prompt: unchanged, or without column types.

    A schema without column types keeps its INSERT statements, and with `comments` also its comments. Whether
    it has either is decided where it is written, by `prepare.insert_rows`, `convert_schema.values` and
    `prompt.comments`.

    Raises:
        UserError: `types` is false and SQLite rejects the schema.
    """
    return ddl.strip() if types else without_types(ddl, comments)


def user_text(ddl: str, question: str, examples: Sequence[Example] = ()) -> str:
    """The user message: solved examples, if any, then schema and question."""
    solved = [f"{_task(e['ddl'], e['question'])}\n{e['sql'].strip()}\n\n" for e in examples]
    return "".join(solved) + _task(ddl, question)


def with_evidence(question: str, evidence: str) -> str:
    """The question's text, and the evidence, unless it is blank, on a line of its own, as for BIRD."""
    evidence = evidence.strip()
    return f"{question.strip()}\nEvidence: {evidence}" if evidence else question.strip()


def messages(ddl: str, question: str, examples: Sequence[Example] = ()) -> list[dict[str, str]]:
    """The chat of one question, ready for a tokenizer's chat template."""
    return [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": user_text(ddl, question, examples)},
    ]


def repair_turns(answer: str, failure: str) -> list[dict[str, str]]:
    """The messages after a chat whose `answer` failed: the answer, and the error message of SQLite."""
    return [
        {"role": "assistant", "content": answer},
        {"role": "user", "content": f"SQLite says: {failure}\nCorrect the query."},
    ]


def _task(ddl: str, question: str) -> str:
    return f"{ddl.strip()}\n{question.strip()}"
