"""One SQL statement at the start of a text, and where it ends: SQLite's parser decides."""

from __future__ import annotations

import re
from dataclasses import dataclass

from text2sql.inference.prose import (
    begins_aside,
    begins_capitalised,
    begins_clause,
    begins_foreign,
    begins_line,
    begins_next_query,
    begins_sentence,
    begins_stray,
    begins_with_mark,
)
from text2sql.inference.sql_brackets import without_brackets
from text2sql.inference.sql_tokens import State, Token, is_complete, read_tokens, sql_of, state

_FROM = re.compile(r"\bFROM\b", re.IGNORECASE)
_BRACKETED = re.compile(r"(?:\A|\b(?:UNION|ALL|INTERSECT|EXCEPT))\s*\(", re.IGNORECASE)
_CLOSING = dict(zip("{[(“„«「‘", "}])”“»」’", strict=True))
_OPENING = re.compile(r"(?:(\"\"\"|'''|(?<!`)`(?!`)|[\"'{\[(“„«「‘])\s*|(\*\*?|(?<!\w)_))\Z")
_FAR = 4_000  # characters in which a closing quote or bracket is looked for
_TRIES = 12  # places tried, so that no text takes seconds
_NEAR = 8  # tokens before the one that SQLite rejects, of which some may be prose
_LAST = 4  # tokens at the end of what SQLite can parse, which may be prose: a gap, a comma, two words
_ALIAS = 6  # tokens of prose that SQLite can parse: an arrow or "AS", a word, and the gaps


@dataclass(frozen=True)
class Statement:
    """A statement, how many characters of the text it takes, and whether SQLite can parse it."""

    sql: str
    end: int
    parses: bool


def read_statement(text: str, opening: str, cuts: bool = True) -> Statement:
    """The statement at the start of `text`; `opening` is the text before it, perhaps a quote or a bracket.

    It ends at the quote or bracket that closes the one in `opening`, if SQLite can then parse it; else at a
    semicolon, code fence or tag. If SQLite cannot parse that, it ends, with `cuts`, before text that reads
    as prose; if there is none, it is returned as it was written.
    """
    enclosed = _enclosed(text, opening)
    if enclosed:
        return enclosed
    text, tokens = read_tokens(text)
    plain = without_brackets(tokens) if _BRACKETED.search(text) and not is_complete(tokens) else tokens
    if cuts:
        plain = plain[: _end(text, plain)]
    return _statement(plain) if is_complete(plain) else _statement(tokens)


def _enclosed(text: str, opening: str) -> Statement | None:
    """The statement up to the first closing quote or bracket before which SQLite can parse it."""
    opened = _OPENING.search(opening[-8:])
    if not opened:
        return None
    quote = opened[1] or opened[2]
    closing = re.compile(r"(?<!\\)" + re.escape(_CLOSING.get(quote, quote)) + r"(?!\w)")
    ends = [match.start() for match in closing.finditer(text, 0, _FAR)]
    found = (_statement_before(text, end) for end in ends[:_TRIES])
    return next(filter(None, found), None)


def _statement_before(text: str, end: int) -> Statement | None:
    """The statement in the first `end` characters, if it is one."""
    inner, tokens = read_tokens(text[:end])
    if not is_complete(tokens) or _from_follows(tokens, text[end:]):
        return None
    return Statement(sql_of(tokens[: _end(inner, tokens)]), end, True)


def _statement(tokens: list[Token]) -> Statement:
    end = tokens[-1].at + len(tokens[-1].sql) if tokens else 0
    return Statement(sql_of(tokens), end, is_complete(tokens))


def _end(text: str, tokens: list[Token]) -> int:
    """How many of the tokens are the statement; all of them if nothing can be separated."""
    whole = state(sql_of(tokens))
    if whole is State.WRONG:
        wrong = _first_wrong(tokens)
        stops = [at for at in range(wrong, 0, -1) if _prose_begins(text, tokens, at, wrong)]
    else:
        last = range(len(tokens) - 1, max(0, len(tokens) - 1 - _LAST), -1)
        stops = [at for at in last if _last_words_begin(text, tokens, at, whole)]
    return _last_good(text, tokens, stops[:_TRIES])


def _last_good(text: str, tokens: list[Token], stops: list[int]) -> int:
    """The last of the stops with a statement before it; one just before if the words between are an alias."""
    good = [at for at in stops if _is_good(text, tokens, at)]
    end = good[0] if good else len(tokens)
    for earlier in good[1:]:
        if end - earlier > _ALIAS:
            break
        end = earlier
    return end


def _is_good(text: str, tokens: list[Token], at: int) -> bool:
    """Whether the tokens before `at` are a statement that needs nothing of what follows."""
    before = tokens[:at]
    if not is_complete(before) or _from_follows(before, text[tokens[at].at :]):
        return False
    word = tokens[at].sql.lower()
    qualified = (before[i].sql.lower() for i in range(at - 1) if before[i + 1].sql == ".")
    return word not in qualified  # else it is an alias


def _from_follows(before: list[Token], after: str) -> bool:
    """Whether the first paragraph of `after` has the FROM that `before` lacks."""
    return bool(_FROM.search(after.partition("\n\n")[0])) and not _FROM.search(sql_of(before))


def _first_wrong(tokens: list[Token]) -> int:
    """The number of the first token that no statement with this beginning can have."""
    good, wrong = 0, min(32, len(tokens))
    while state(sql_of(tokens[:wrong])) is not State.WRONG:
        good, wrong = wrong, min(2 * wrong, len(tokens))
    while wrong - good > 1:
        middle = (good + wrong) // 2
        if state(sql_of(tokens[:middle])) is State.WRONG:
            wrong = middle
        else:
            good = middle
    return good


def _prose_begins(text: str, tokens: list[Token], at: int, wrong: int) -> bool:
    """Whether prose, a list or the next query may begin at token `at`; SQLite rejects token `wrong`."""
    start, gap = tokens[at].at, _gap(text, tokens, at)
    if wrong - at <= 2 and begins_next_query(text, start):  # "or" and "WITH" may be read before the error
        return True
    if at == wrong and _is_stray(text, tokens[at]):
        return True
    if begins_clause(text, start, titles=tokens[0].sql.istitle()):
        return False
    if "\n" in gap:
        return gap.count("\n") > 1 or begins_line(text, start)
    if wrong - at > _NEAR:
        return False
    separate = bool(gap) or begins_foreign(text, start)
    sentence = separate and begins_sentence(text, start, 3)
    return sentence or begins_with_mark(text, start) or begins_aside(text, start)


def _is_stray(text: str, token: Token) -> bool:
    return token.kind == "other" and begins_stray(text, token.at)


def _last_words_begin(text: str, tokens: list[Token], at: int, whole: State) -> bool:
    """Whether the token, near the end of what SQLite can parse, is a full stop or begins prose."""
    start = tokens[at].at
    if at == len(tokens) - 1 and tokens[at].sql in (".", ",", ":"):
        return True
    if whole is State.INCOMPLETE or begins_clause(text, start, titles=True):
        return False
    if begins_foreign(text, start):
        return all(token.sql.isascii() for token in tokens[:at] if token.kind != "quoted")
    alone = at == len(tokens) - 1 and len(tokens[at].sql) > 2 and tokens[at].sql.isupper()
    return "\n" in _gap(text, tokens, at) and (alone or begins_capitalised(text, start))


def _gap(text: str, tokens: list[Token], at: int) -> str:
    """The white space before a token."""
    before = tokens[at - 1]
    return text[before.at : tokens[at].at] if before.kind == "space" else ""
