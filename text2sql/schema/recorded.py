"""Schemas that a language model wrote earlier, read from a file of its answers."""

from __future__ import annotations

import os
import re

from text2sql.errors import UserError
from text2sql.files import read_jsonl
from text2sql.schema.extract import extract_ddl

_BLOCK = re.compile(r"<sql>(.*?)</sql>", re.DOTALL | re.IGNORECASE)
_FORM = 'a record is {"instruction": the schema in prose, "table_creating": the answer with its SQL}'


def recorded_ddl(answer: str) -> str:
    """The schema in a model's answer, "" if it has none.

    The text between <sql> and </sql> is taken as it is, with comments and faults; several such blocks are
    joined by line breaks. An answer without such a block is read by `extract_ddl`.
    """
    blocks = _BLOCK.findall(answer)
    return "\n".join(block.strip() for block in blocks).strip() if blocks else extract_ddl(answer)


def read_recorded(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read a model's answers, each by the prose that it answers.

    A record has the prose under `instruction` and the answer under `table_creating`. Other fields and
    repeated records are ignored.

    Raises:
        UserError: the file is missing or not JSON lines, a record (numbered from 1) has no prose, no answer
            or no SQL in its answer, or two answers to one prose differ.
    """
    answers: dict[str, str] = {}
    first: dict[str, int] = {}
    for number, record in enumerate(read_jsonl(path), 1):
        place = f"{path}, record {number}"
        prose, answer = (_text(place, record, key) for key in ("instruction", "table_creating"))
        if not recorded_ddl(answer):
            raise UserError(f"{place}: no SQL under `table_creating`; take the record out, or fix it")
        if answers.setdefault(prose, answer) != answer:
            before = first[prose]
            raise UserError(f"{place}: record {before} has another answer to the same prose; take one out")
        first.setdefault(prose, number)
    return answers


def _text(place: str, record: dict[str, object], key: str) -> str:
    value = record.get(key)
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{place}: no text under `{key}`; {_FORM}")
    return value.strip()
