"""Leaves out and lists training rows that are too long, because truncation would cut their schema."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from text2sql.errors import UserError
from text2sql.files import read_json, write_json
from text2sql.inference.weights import Weights
from text2sql.training.dataset import chat, write_dataset

_TEMPLATE_TOKENS = 128  # more than any chat template adds to three turns
_NAMED = 20  # rows in the warning


@dataclass(frozen=True)
class Lengths:
    """Row lengths of a data set: `long` maps the number of each row over the limit to its tokens.

    `longest` is an upper bound on the tokens of the other rows. Rows are numbered from 0.
    """

    rows: int
    long: dict[int, int]
    longest: int


def measure(base: Path, dataset: Path, limit: int, answer_tokens: int) -> Lengths:
    """Measure the rows of `dataset`; the template adds `answer_tokens` tokens to each answer.

    Raises:
        UserError: the data set has no rows, or every row has more than `limit` tokens.
    """
    lengths = row_lengths(base, read_json(dataset / "sft.json"), limit, answer_tokens)
    long = {row: tokens for row, tokens in enumerate(lengths) if tokens > limit}
    if len(long) == len(lengths):
        raise UserError(f"{dataset}: no row of at most {limit} tokens; raise cutoff_len in params.yaml")
    return Lengths(len(lengths), long, max(n for n in lengths if n <= limit))


def longest_row(base: Path, dataset: Path, enough: int, limit: int, answer_tokens: int) -> int:
    """Tokens of the longest row of at most `limit`; an upper bound if that is at most `enough`."""
    lengths = row_lengths(base, read_json(dataset / "sft.json"), enough, answer_tokens)
    return max((tokens for tokens in lengths if tokens <= limit), default=limit)


def without_long_rows(
    dataset: Path,
    lengths: Lengths,
    limit: int,
    work: Path,
    label: str,
    unused: Collection[int] = (),
) -> Path:
    """The data set to train on: `dataset`, or a copy in `work` without rows that are `unused` or too long.

    LLaMA-Factory would cut a long row in the middle of its schema. too_long.json in `work` lists all of
    them, stderr the first ones.

    Raises:
        UserError: no row is left.
    """
    if lengths.long:
        _list_long(lengths, limit, work, label)
    left_out = {*lengths.long, *unused}
    if not left_out:
        return dataset
    if len(left_out) == lengths.rows:
        raise UserError(
            f"{label}: no row is left to train on: {len(lengths.long)} have more than {limit} tokens "
            "(cutoff_len), the others are held out for validation or on parts of their schemas; raise "
            "cutoff_len, or lower training.validation.rows"
        )
    rows = enumerate(read_json(dataset / "sft.json"))
    write_dataset((row for number, row in rows if number not in left_out), work / "dataset")
    return work / "dataset"


def _list_long(lengths: Lengths, limit: int, work: Path, label: str) -> None:
    listed = [{"row": row, "tokens": tokens} for row, tokens in lengths.long.items()]
    write_json(work / "too_long.json", listed)
    print(_warning(lengths, limit, work / "too_long.json", label), file=sys.stderr)


def row_lengths(base: Path, rows: Sequence[dict[str, str]], enough: int, answer_tokens: int) -> list[int]:
    """Tokens of each row: of its prompt, of its answer, and the `answer_tokens` around it (see `Form`).

    A token has at least one byte, so a row of at most `enough` bytes is not tokenised: its number of bytes
    is returned as an upper bound.
    """
    lengths = [sum(len(text.encode()) for text in row.values()) + _TEMPLATE_TOKENS for row in rows]
    uncertain = [number for number, bound in enumerate(lengths) if bound > enough]
    if uncertain:
        for number, tokens in zip(uncertain, _tokens(base, [rows[n] for n in uncertain]), strict=True):
            lengths[number] = tokens + answer_tokens
    return lengths


def _tokens(base: Path, rows: Sequence[dict[str, str]]) -> list[int]:
    # its import takes seconds, and short rows do not need it
    from text2sql.inference.chat_tokens import ChatTokens

    tokens = ChatTokens(Weights(base, ""))
    texts = [tokens.text(chat(row)) for row in rows], [row["output"] for row in rows]
    prompts, answers = (tokens.tokenizer(part, add_special_tokens=False)["input_ids"] for part in texts)
    return [len(prompt) + len(answer) for prompt, answer in zip(prompts, answers, strict=True)]


def _warning(lengths: Lengths, limit: int, file: Path, label: str) -> str:
    named = [f"{row} ({tokens})" for row, tokens in lengths.long.items()]
    rest = ", ..." if len(named) > _NAMED else ""
    return (
        f"{label}: {len(named)} of {lengths.rows} rows have more than {limit} tokens (cutoff_len) and are "
        f"left out, because truncation would cut their schema; rows (tokens): "
        f"{', '.join(named[:_NAMED])}{rest}; complete list: {file}"
    )
