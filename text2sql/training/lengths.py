"""Rows too long to train on: counted, listed and left out, because a cut would go through the schema."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from text2sql.errors import UserError
from text2sql.files import read_json, write_json
from text2sql.training.dataset import write_dataset

_TEMPLATE_BYTES = 128  # more than any chat template adds to three turns
_SHOWN = 20


@dataclass(frozen=True)
class Lengths:
    """What a data set's rows measure: `long` maps rows over the limit to their tokens.

    `longest` is an upper bound of the tokens of the others. Rows count from 0.
    """

    rows: int
    long: dict[int, int]
    longest: int


def measure(base: Path, dataset: Path, limit: int) -> Lengths:
    """Measure the rows of `dataset`. UserError: it has no rows, or every row has more than `limit` tokens."""
    lengths = row_lengths(base, read_json(dataset / "sft.json"), limit)
    long = {row: tokens for row, tokens in enumerate(lengths) if tokens > limit}
    if len(long) == len(lengths):
        raise UserError(f"{dataset}: no row of at most {limit} tokens; raise cutoff_len in params.yaml")
    return Lengths(len(lengths), long, max(n for n in lengths if n <= limit))


def without_long_rows(dataset: Path, lengths: Lengths, limit: int, work: Path, label: str) -> Path:
    """The data set to train on: `dataset`, or its copy in `work` without the rows that are too long.

    LLaMA-Factory would cut such a row in the middle of its schema. They are listed on stderr and, all of
    them, in too_long.json of `work`.
    """
    if not lengths.long:
        return dataset
    listed = [{"row": row, "tokens": tokens} for row, tokens in lengths.long.items()]
    write_json(work / "too_long.json", listed)
    print(_sentence(lengths, limit, work / "too_long.json", label), file=sys.stderr)
    rows = enumerate(read_json(dataset / "sft.json"))
    write_dataset((row for number, row in rows if number not in lengths.long), work / "dataset")
    return work / "dataset"


def row_lengths(base: Path, rows: Sequence[dict[str, str]], enough: int) -> list[int]:
    """Tokens of each row with its answer, as the chat template in `base` spells it.

    A token is at least a byte, so rows of at most `enough` bytes are not tokenised: theirs is that bound.
    """
    lengths = [sum(len(text.encode()) for text in row.values()) + _TEMPLATE_BYTES for row in rows]
    unsure = [number for number, bound in enumerate(lengths) if bound > enough]
    if unsure:
        for number, tokens in zip(unsure, _tokens(base, [rows[n] for n in unsure]), strict=True):
            lengths[number] = tokens
    return lengths


def _tokens(base: Path, rows: Sequence[dict[str, str]]) -> list[int]:
    from transformers import AutoTokenizer  # seconds to import, and short rows do without

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


def _sentence(lengths: Lengths, limit: int, file: Path, label: str) -> str:
    named = [f"{row} ({tokens})" for row, tokens in lengths.long.items()]
    rest = ", ..." if len(named) > _SHOWN else ""
    return (
        f"{label}: {len(named)} of {lengths.rows} rows have more than {limit} tokens (cutoff_len) and are "
        f"left out, so that no schema is cut; rows (tokens): {', '.join(named[:_SHOWN])}{rest}; "
        f"all of them: {file}"
    )
