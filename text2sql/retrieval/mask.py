"""Masks names and values in questions, so that questions with similar queries become similar.

The idea is masked question similarity (Gao et al. 2023, DAIL-SQL, arXiv:2308.15363): without names and
values, two questions about different databases that need the same form of SQL look alike. Here names are
found by their spelling alone. Not covered: synonyms of a column's name, and values that are ordinary words.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from functools import cache

from text2sql.errors import UserError
from text2sql.records import ConvertedQuestion, TrainingRow
from text2sql.schema.ddl import read_ddl
from text2sql.schema.model import Schema

VALUE, NAME = "value", "name"

_QUOTED = re.compile(r"(?<!\w)(?P<quote>[\"'`])[^\"'`]+(?P=quote)(?!\w)")
_NUMBER = re.compile(r"(?<!\w)\d[\d.,:/-]*(?!\w)")
# Capitalised words inside a sentence are a proper name, and so a value: "from New York".
_PROPER = re.compile(r"(?<=[a-z,;:] )[A-Z][\w'-]*(?: [A-Z][\w'-]*)*")
_WORD_BREAK = re.compile(r"[\W_]+|(?<=[a-z])(?=[A-Z])")


def embedded_texts(rows: Sequence[ConvertedQuestion | TrainingRow], masked: bool) -> list[str]:
    """The questions as they are embedded: on one line, with `masked` without names and values."""
    texts = (mask_question(row.question, row.ddl) if masked else row.question for row in rows)
    return [text.replace("\n", " ") for text in texts]


def mask_question(question: str, ddl: str) -> str:
    """Replace literal values by "value" and table and column names of `ddl` by "name".

    If SQLite rejects `ddl` the names are not masked, with a warning on stderr.
    """
    for pattern in (_QUOTED, _PROPER, _NUMBER):
        question = pattern.sub(VALUE, question)
    return _name_pattern(ddl).sub(NAME, question)


@cache
def _name_pattern(ddl: str) -> re.Pattern[str]:
    try:
        patterns = {_words_pattern(name) for name in _names(read_ddl(ddl))} - {""}
    except UserError as error:
        print(f"names are not masked for the schema {ddl[:60]!r}...: {error}", file=sys.stderr)
        patterns = set()
    if not patterns:
        return re.compile(r"(?!)")  # matches nothing
    longest_first = sorted(patterns, key=lambda pattern: (-len(pattern), pattern))
    return re.compile(rf"\b(?:{'|'.join(longest_first)})(?:s|es)?\b", re.IGNORECASE)


def _names(schema: Schema) -> list[str]:
    return [n for table in schema.tables for n in (table.name, *(c.name for c in table.columns))]


def _words_pattern(name: str) -> str:
    """A pattern for the name written as words: `song_name` and `songName` match "song name"."""
    return r"[\s_]".join(re.escape(part) for part in _WORD_BREAK.split(name) if part)
