"""Whether prose, a list, a table or another query begins at a place in a text, rather than more SQL."""

from __future__ import annotations

import re

_CLAUSE = re.compile(  # words that continue a statement
    r"""(?: SELECT | FROM | WHERE | GROUP | HAVING | ORDER | BY | LIMIT | OFFSET | UNION | INTERSECT | ALL
          | EXCEPT | JOIN | LEFT | RIGHT | FULL | INNER | OUTER | CROSS | NATURAL | ON | USING | ASC | DESC
          | AND | OR | NOT | AS | IN | IS | NULL | LIKE | BETWEEN | COLLATE | NULLS | OVER | FILTER
          | CASE | WHEN | THEN | ELSE | END | WINDOW )\b""",
    re.VERBOSE | re.IGNORECASE,
)
_RARE_IN_PROSE = re.compile(r"select|from|where|group|having|order|limit|join|union|on|using", re.IGNORECASE)
_NEXT_QUERY = re.compile(r"(?:OR\s+)?(?:SELECT\b|WITH\s+(?:RECURSIVE\b|\S+\s+AS\b))", re.IGNORECASE)
_MARK = re.compile(  # ends a sentence, or stands between SQL and prose
    r"[.!?](?=\s|\Z)|:(?!:)|\*\*|[-=]+>\s+\w|\|\s+[A-Z][a-z]+\b|\[/?[A-Z]+\]|[—–…→✅]"
)
_STRAY = re.compile(r"[#|}\])$\"'`»*“”]|[^\w\s\x00-\x7f]")  # what SQLite cannot read
_ITEM = re.compile(  # of a list or a table, a heading, a label, a word in capitals alone on its line
    r"[-*•]\s|\d+[.)]\s|[|#>(]|[^\w\s\x00-\x7f]|\w+:(?!:)|[A-Z]{3,}[ \t]*(?:\n|\Z)"
)
_ASIDE = re.compile(r"[,(，（] ?(?=[^\W\d_])")
_FOREIGN = re.compile(r"[，（]?\w*[^\W\x00-\x7f]")
_WORD = re.compile(r"[^\W\d_]+(?![\w'(.])")
_LOWER = re.compile(r"[^\W\d_A-Z]+(?:['’-][^\W\d_]+)*(?: [^\W\d_A-Z]+(?:['’-][^\W\d_]+)*){0,5}")
_OPERATOR = re.compile(r"[^\n]{0,200}?[=<>]")


def begins_next_query(text: str, at: int) -> bool:
    """Whether "SELECT", "WITH x AS" or "or SELECT" is at `at`."""
    return _NEXT_QUERY.match(text, at) is not None


def begins_with_mark(text: str, at: int) -> bool:
    """Whether a full stop, colon, arrow or dash is at `at`."""
    return _MARK.match(text, at) is not None


def begins_stray(text: str, at: int) -> bool:
    """Whether a closing quote or bracket without an opening one, or a sign unknown to SQL, is at `at`."""
    return _STRAY.match(text, at) is not None


def begins_line(text: str, at: int) -> bool:
    """Whether a line that begins at `at` is an item of a list, a table, a heading or a sentence."""
    return _ITEM.match(text, at) is not None or begins_sentence(text, at, 1)


def begins_aside(text: str, at: int) -> bool:
    """Whether ", which ..." or "(of all ..." is at `at`."""
    aside = _ASIDE.match(text, at)
    return aside is not None and begins_sentence(text, aside.end(), 2)


def begins_sentence(text: str, at: int, words: int) -> bool:
    """Whether a capitalised word, one that is not ASCII, or `words` lower-case ones are at `at`."""
    if begins_capitalised(text, at) or begins_foreign(text, at):
        return True
    found = _LOWER.match(text, at)
    if not found or _OPERATOR.match(text, at):
        return False
    run = found[0].split()
    return len(run) >= words and not any(map(_RARE_IN_PROSE.fullmatch, run[:3]))


def begins_capitalised(text: str, at: int) -> bool:
    """Whether a word such as "This" is at `at`; not "T", "SQL", "Name.id" or "Count("."""
    word = _WORD.match(text, at)
    return word is not None and word[0][0].isupper() and word[0][1:].islower()


def begins_foreign(text: str, at: int) -> bool:
    """Whether a word that is not ASCII is at `at`, perhaps after a wide comma or bracket."""
    return _FOREIGN.match(text, at) is not None


def begins_clause(text: str, at: int, titles: bool) -> bool:
    """Whether a word of SQL is at `at`; "As" and "In" are words of SQL only with `titles` or an operator."""
    match = _CLAUSE.match(text, at)
    return match is not None and (titles or not match[0].istitle() or _OPERATOR.match(text, at) is not None)
