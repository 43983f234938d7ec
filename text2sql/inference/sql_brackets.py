"""Brackets around a whole SELECT, which SQLite does not allow."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from text2sql.inference.sql_tokens import Token

_SET_OPERATOR = re.compile(r"UNION|INTERSECT|EXCEPT", re.IGNORECASE)
_JOINING = re.compile(r"UNION|INTERSECT|EXCEPT|ALL|\s+", re.IGNORECASE)
_MEANINGFUL = re.compile(r"UNION|INTERSECT|EXCEPT|ORDER|LIMIT|WITH", re.IGNORECASE)
_MAX_PAIRS = 12


def without_brackets(tokens: list[Token]) -> list[Token]:
    """(SELECT a) becomes SELECT a, and (SELECT a) UNION (SELECT b) becomes SELECT a UNION SELECT b.

    A set operator, ORDER BY, LIMIT or WITH in the brackets of a part has another meaning without them; then
    nothing changes.
    """
    parts = _parts(tokens)
    bare = [_bare(part, alone=len(parts) == 1) for part in parts]
    kept = [part for part in bare if part is not None]
    return [token for part in kept for token in part] if len(kept) == len(parts) else tokens


def _parts(tokens: list[Token]) -> list[list[Token]]:
    """The tokens, divided before each UNION, INTERSECT and EXCEPT outside brackets."""
    parts: list[list[Token]] = [[]]
    for token, depth in _depths(tokens):
        if depth == 0 and _SET_OPERATOR.fullmatch(token.sql):
            parts.append([])
        parts[-1].append(token)
    return parts


def _bare(part: list[Token], alone: bool) -> list[Token] | None:
    """The part without the brackets at its beginning, after the set operator; None if they have a meaning."""
    lead = next((i for i, token in enumerate(part) if not _JOINING.fullmatch(token.sql)), 0)
    for _ in range(_MAX_PAIRS):
        close = _closing(part, lead)
        if not close:
            break
        inner = part[lead + 1 : close]
        if not alone and any(depth == 0 and _MEANINGFUL.fullmatch(t.sql) for t, depth in _depths(inner)):
            return None
        part = part[:lead] + inner + part[close + 1 :]
    return part


def _closing(part: list[Token], lead: int) -> int | None:
    """The number of the token that closes the bracket at `lead`, if one is there."""
    if part[lead : lead + 1] and part[lead].sql == "(":
        return next((i for i, (_, depth) in enumerate(_depths(part)) if i > lead and depth == 0), None)
    return None


def _depths(tokens: Sequence[Token]) -> Iterator[tuple[Token, int]]:
    """Each token with the number of brackets open after it."""
    depth = 0
    for token in tokens:
        depth += (token.sql == "(") - (token.sql == ")")
        yield token, depth
