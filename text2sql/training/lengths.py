"""Leaves out and lists training rows that are too long, because truncation would cut their schema."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from text2sql.errors import UserError
from text2sql.files import read_json, write_json
from text2sql.training.dataset import write_dataset

_TEMPLATE_BYTES = 128  # more than any chat template adds to three turns
_NAMED = 20  # rows in the warning


@dataclass(frozen=True)
class Lengths:
    """Row lengths of a data set: `long` maps the number of each row over the limit to its tokens.

    `longest` is an upper bound on the tokens of the other rows. Rows are numbered from 0.
    """

    rows: int
    long: dict[int, int]
    longest: int


def measure(base: Path, dataset: Path, limit: int) -> Lengths:
    """Measure the rows of `dataset`.

    Raises:
        UserError: the data set has no rows, or every row has more than `limit` tokens.
    """
    lengths = row_lengths(base, read_json(dataset / "sft.json"), limit)
    long = {row: tokens for row, tokens in enumerate(lengths) if tokens > limit}
    if len(long) == len(lengths):
        raise UserError(f"{dataset}: no row of at most {limit} tokens; raise cutoff_len in params.yaml")
    return Lengths(len(lengths), long, max(n for n in lengths if n <= limit))


def without_long_rows(dataset: Path, lengths: Lengths, limit: int, work: Path, label: str) -> Path:
    """The data set to train on: `dataset`, or a copy in `work` without the rows that are too long.

    LLaMA-Factory would cut such a row in the middle of its schema. too_long.json in `work` lists all of
    them, stderr the first ones.
    """
    if not lengths.long:
        return dataset
    listed = [{"row": row, "tokens": tokens} for row, tokens in lengths.long.items()]
    write_json(work / "too_long.json", listed)
    print(_warning(lengths, limit, work / "too_long.json", label), file=sys.stderr)
    rows = enumerate(read_json(dataset / "sft.json"))
    write_dataset((row for number, row in rows if number not in lengths.long), work / "dataset")
    return work / "dataset"


def row_lengths(base: Path, rows: Sequence[dict[str, str]], enough: int) -> list[int]:
    """Tokens of each row with its answer, formatted by the chat template in `base`.

    A token has at least one byte, so a row of at most `enough` bytes is not tokenised: its number of bytes
    is returned as an upper bound.
    """
    lengths = [sum(len(text.encode()) for text in row.values()) + _TEMPLATE_BYTES for row in rows]
    uncertain = [number for number, bound in enumerate(lengths) if bound > enough]
    if uncertain:
        for number, tokens in zip(uncertain, _tokens(base, [rows[n] for n in uncertain]), strict=True):
            lengths[number] = tokens
    return lengths


def _tokens(base: Path, rows: Sequence[dict[str, str]]) -> list[int]:
    from transformers import AutoTokenizer  # takes seconds to import; short rows do not need it

    tokenizer = AutoTokenizer.from_pretrained(str(base))
    chats = [_chat(row) for row in rows]
    texts = tokenizer.apply_chat_template(chats, tokenize=False, enable_thinking=False)
    return [len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]


def _chat(row: dict[str, str]) -> list[dict[str, str]]:
    return [
        {"role": "system", "content": row["system"]},
        {"role": "user", "content": row["instruction"]},
        {"role": "assistant", "content": row["output"]},
    ]


def _warning(lengths: Lengths, limit: int, file: Path, label: str) -> str:
    named = [f"{row} ({tokens})" for row, tokens in lengths.long.items()]
    rest = ", ..." if len(named) > _NAMED else ""
    return (
        f"{label}: {len(named)} of {lengths.rows} rows have more than {limit} tokens (cutoff_len) and are "
        f"left out, because truncation would cut their schema; rows (tokens): "
        f"{', '.join(named[:_NAMED])}{rest}; complete list: {file}"
    )
