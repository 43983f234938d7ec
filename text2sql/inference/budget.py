"""Leaves examples out of prompts that are too long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from text2sql.inference.chat_tokens import ChatTokens
from text2sql.inference.questions import prompt_of
from text2sql.prompts import PromptForm
from text2sql.schema.settings import Prompt


def within_budget(
    rows: Sequence[Mapping[str, Any]], prompt: Prompt, form: PromptForm, tokens: ChatTokens, limit: int
) -> list[dict[str, Any]]:
    """The rows of a questions file without their last examples where the prompt has more than `limit` tokens.

    The schema and the question are never cut: a prompt that is longer without examples stays so. Tokens are
    those of the chat as the model reads it, without the answer.

    Raises:
        UserError: the tokenizer has no chat template, or the file of the form fails.
    """
    return [_fitting(dict(row), prompt, form, tokens, limit) for row in rows]


def _fitting(
    row: dict[str, Any], prompt: Prompt, form: PromptForm, tokens: ChatTokens, limit: int
) -> dict[str, Any]:
    while row["examples"]:
        where = f"row {row['row']}"
        chat = prompt_of(where, row, prompt.schema_types, prompt.comments, form)
        if len(tokens.encode(chat)) <= limit:
            break
        row = {**row, "examples": row["examples"][:-1]}
    return row
