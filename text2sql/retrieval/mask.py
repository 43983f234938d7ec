"""Questions with their particulars masked, so that likeness means likeness of the asked-for query.

The idea is masked question similarity (Gao et al. 2023, DAIL-SQL, arXiv:2308.15363): two questions
about different databases want the same SQL shape once names and values are out of sight. Here names
are found by spelling alone. Not covered: synonyms of a column's name, values that are plain words.
"""

from __future__ import annotations

import re
import sys
from functools import cache

from text2sql.errors import UserError
from text2sql.schema.ddl import read_ddl
from text2sql.schema.model import Schema

VALUE, NAME = "value", "name"

_QUOTED = re.compile(r"(?<!\w)(?P<quote>[\"'`])[^\"'`]+(?P=quote)(?!\w)")
_NUMBER = re.compile(r"(?<!\w)\d[\d.,:/-]*(?!\w)")
# A capitalised run inside a sentence is a proper name, thus a value: "from New York".
_PROPER = re.compile(r"(?<=[a-z,;:] )[A-Z][\w'-]*(?: [A-Z][\w'-]*)*")
_WORD_BREAK = re.compile(r"[\W_]+|(?<=[a-z])(?=[A-Z])")


def mask_question(question: str, ddl: str) -> str:
    """Replace literal values by "value" and table and column names of `ddl` by "name".

    Where SQLite rejects `ddl` the names stay, with a note on stderr.
    """
    for pattern in (_QUOTED, _PROPER, _NUMBER):
        question = pattern.sub(VALUE, question)
    return _name_pattern(ddl).sub(NAME, question)


@cache
def _name_pattern(ddl: str) -> re.Pattern[str]:
    try:
        spoken = {_spoken(name) for name in _names(read_ddl(ddl))} - {""}
    except UserError as error:
        print(f"names stay unmasked for the schema {ddl[:60]!r}...: {error}", file=sys.stderr)
        spoken = set()
    if not spoken:
        return re.compile(r"(?!)")  # matches nothing
    longest_first = sorted(spoken, key=lambda words: (-len(words), words))
    return re.compile(rf"\b(?:{'|'.join(longest_first)})(?:s|es)?\b", re.IGNORECASE)


def _names(schema: Schema) -> list[str]:
    return [n for table in schema.tables for n in (table.name, *(c.name for c in table.columns))]


def _spoken(name: str) -> str:
    """A pattern of the name as people write it: `song_name` and `songName` as "song name"."""
    return r"[\s_]".join(re.escape(part) for part in _WORD_BREAK.split(name) if part)
