"""Makes all prompts, those of training and those of prediction."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TypedDict

from text2sql.schema.ddl import read_ddl, write_ddl

SYSTEM = "Answer the question with one SQLite query."


class Example(TypedDict):
    """A solved training row shown before the question (few-shot)."""

    question: str
    ddl: str
    sql: str


@functools.lru_cache(maxsize=65_536)  # questions share schemas
def schema_text(ddl: str, types: bool) -> str:
    """The schema as it is in the prompt: unchanged, or without column types.

    Raises:
        UserError: `types` is false and SQLite rejects the schema.
    """
    return ddl.strip() if types else write_ddl(read_ddl(ddl), types=False)


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
