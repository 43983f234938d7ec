"""One SQL statement at the start of a text, and where it ends: SQLite's parser decides."""

from __future__ import annotations

import html
import re
import sqlite3
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

_TOKEN = re.compile(
    r"""(?P<end> ; | ```+ | ~~~ | \#\#\# | </?[A-Za-z]\w*(?:=\w+)?> | \[/\w+\] | [；。！？：»」』] )
      | (?P<quoted> '(?:[^']|'')*' | "(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^\[\]\n]*\] )
      | (?P<curly> ‘[^‘’\n]*’ | ’[^‘’\n]*’ | “[^“”\n]*” | ”[^“”\n]*” )
      | (?P<stray> [“”] )
      | (?P<encoded> &(?:\#\d{1,6}|gt|lt|amp|quot|apos|nbsp); | \\. )
      | (?P<space> (?: \s | --[^\n]* | /\*.*?(?:\*/|\Z) )+ )
      | (?P<word> \w+ )
      | (?P<other> \*\* | . )""",
    re.VERBOSE | re.DOTALL,
)
_CURLY = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"'})
_ENTITY = re.compile(r"&\#?\w{1,8};")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|([^\w\s]|[_ntr]|\n))")
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "\n": " "}
_ERROR = re.compile(r"syntax error|unrecognized token")
_FROM = re.compile(r"\bFROM\b", re.IGNORECASE)
_CLAUSE = re.compile(  # words that continue a statement
    r"""(?: SELECT | FROM | WHERE | GROUP | HAVING | ORDER | BY | LIMIT | OFFSET | UNION | INTERSECT | ALL
          | EXCEPT | JOIN | LEFT | RIGHT | FULL | INNER | OUTER | CROSS | NATURAL | ON | USING | ASC | DESC
          | AND | OR | NOT | AS | IN | IS | NULL | LIKE | BETWEEN | COLLATE | NULLS | OVER | FILTER
          | CASE | WHEN | THEN | ELSE | END | WINDOW )\b""",
    re.VERBOSE | re.IGNORECASE,
)
_PUNCTUATION = re.compile(r"[.!?](?=\s|\Z)|:(?!:)|\*\*|[#|}\])$\"'`…→—–»•~*]|[^\w\s\x00-\x7f]")
_ITEM = re.compile(
    r"[-*•]\s|\d+[.)]\s|[|#>(]|[^\w\s\x00-\x7f]|\w+:(?!:)"
)  # a list, a table, a heading, a label
_WORDS = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_ASIDE = re.compile(r"(?:[,(]|，|（) ?(?=[^\W\d_])")  # before prose in a sentence
_SENTENCE_END = re.compile(r"[.!?](?=\s|\Z)|:(?!:)|\*\*|[-=]+>\s+\w|[—–…→✅]")
_AGAIN = re.compile(r"(?:OR\s+)?(?:SELECT|WITH)\b", re.IGNORECASE)  # the next query
_FOREIGN = re.compile(r"[，（]?(?=[^\x00-\x7f])\w")
_LOWER = re.compile(r"[^\W\d_A-Z]+(?:['’-][^\W\d_]+)*(?: [^\W\d_A-Z]+(?:['’-][^\W\d_]+)*)*")
_WORD = re.compile(r"[^\W\d_]+(?![\w'(.])")
_LINE = re.compile(r"[^\n]*")
_JOINING = re.compile(r"UNION|INTERSECT|EXCEPT|ALL", re.IGNORECASE)
_OWN_ORDER = re.compile(r"UNION|INTERSECT|EXCEPT|ORDER|LIMIT|WITH", re.IGNORECASE)
_SET_OPERATOR = re.compile(r"UNION|INTERSECT|EXCEPT", re.IGNORECASE)
_CLOSING = dict(zip("{[(“„«「‘", "}])”“»」’", strict=True))
_OPENING = re.compile(r"(?:(\"\"\"|'''|(?<!`)`(?!`)|[\"'{\[(“„«「‘])\s*|(\*\*?|(?<!\w)_))\Z")
_NEAR = 8  # tokens before the one that SQLite rejects, of which some may be prose
_FAR = 4_000  # characters in which the end of a statement in quotes is looked for
_TRIES = 12  # places tried, so that no text takes seconds


@dataclass(frozen=True)
class Statement:
    """A statement, how many characters of the text it takes, and whether SQLite can parse it."""

    sql: str
    end: int
    parses: bool


class _Token(NamedTuple):
    sql: str
    at: int
    kind: str


class _State:
    """What SQLite's parser says about a text: a statement, the beginning of one, or neither."""

    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    WRONG = "wrong"


def read_statement(text: str, opening: str, cuts: bool = True) -> Statement:
    """The statement at the start of `text`; `opening` is the text before it, perhaps a quote or a bracket.

    If SQLite cannot parse it up to the semicolon, code fence, tag or end, it ends with the quote or bracket
    that closes the one in `opening`, or, with `cuts`, before text that reads as prose.
    """
    enclosed = _enclosed(text, opening)
    if enclosed:
        return enclosed
    text = _decoded(text)
    tokens = _tokens(text)
    plain = tokens if _complete(tokens) else _without_brackets(tokens)
    plain = plain[: _end(text, plain, cuts)]
    return _statement(plain) if _complete(plain) else _statement(tokens)


def _enclosed(text: str, opening: str) -> Statement | None:
    """The statement up to the first closing quote or bracket before which SQLite can parse it."""
    match = _OPENING.search(opening[-8:])
    if not match:
        return None
    opened = match[1] or match[2]
    closing = re.compile(r"(?<!\\)" + re.escape(_CLOSING.get(opened, opened)))
    for number, close in enumerate(closing.finditer(text, 0, _FAR)):
        inner = _tokens(_decoded(text[: close.start()]))
        if number >= _TRIES or not inner:
            return None
        if _complete(inner) and not _from_follows(_sql(inner), text[close.start() :]):
            inner = inner[: _end(text[: close.start()], inner, cuts=True)]
            return Statement(_sql(inner), close.start(), True)
    return None


def _statement(tokens: list[_Token]) -> Statement:
    last = tokens[-1] if tokens else _Token("", 0, "")
    return Statement(_sql(tokens), last.at + len(last.sql), _complete(tokens))


def _tokens(text: str) -> list[_Token]:
    """The tokens up to the end of the statement; white space and comments are one space."""
    tokens = []
    for match in _TOKEN.finditer(text):
        kind = str(match.lastgroup)
        if kind == "end":
            break
        tokens.append(_Token(_written(match[0], kind), match.start(), kind))
    return tokens


def _written(text: str, kind: str) -> str:
    if kind == "space":
        return " "
    if kind == "curly":
        quote = text[0].translate(_CURLY)
        return quote + text[1:-1].replace(quote, quote * 2) + quote
    return unicodedata.normalize("NFKC", text) if kind == "other" else text


def _decoded(text: str) -> str:
    """The text without HTML entities or backslashes, if the statement has one outside its quotes."""
    for _ in range(3):
        encoded = next((t for t in _tokens(text) if t.kind == "encoded"), None)
        if not encoded:
            break
        text = unescape(text) if encoded.sql[0] == "\\" else _ENTITY.sub(lambda m: html.unescape(m[0]), text)
    return text


def unescape(text: str) -> str:
    """The text with the escapes of JSON and Markdown replaced."""

    def plain(match: re.Match[str]) -> str:
        return chr(int(match[1], 16)) if match[1] else _ESCAPED.get(match[2], match[2])

    # surrogate pairs become one character
    return _ESCAPE.sub(plain, text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _sql(tokens: list[_Token]) -> str:
    return "".join(token.sql for token in tokens).strip()


def _complete(tokens: list[_Token]) -> bool:
    return state(_sql(tokens)) == _State.COMPLETE


@cache
def _connection() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", cached_statements=0, check_same_thread=False)


def state(sql: str) -> str:
    """Whether SQLite can parse the statement, or could if more followed; see `_State`.

    A view's query is parsed and not resolved, so unknown tables do not matter, and common table expressions
    that refer to one another many times take no time.
    """
    try:
        _connection().execute(f"EXPLAIN CREATE TEMP VIEW v AS {sql}")
    except sqlite3.OperationalError as error:
        if "incomplete input" in str(error):
            return _State.INCOMPLETE
        return _State.WRONG if _ERROR.search(str(error)) else _State.COMPLETE
    except (sqlite3.Error, sqlite3.Warning, ValueError):
        return _State.WRONG
    return _State.COMPLETE


def _end(text: str, tokens: list[_Token], cuts: bool) -> int:
    """How many of the tokens are the statement; all of them if nothing can be separated."""
    whole = state(_sql(tokens))
    if not cuts or not tokens:
        return len(tokens)
    if whole == _State.WRONG:
        wrong = _first_wrong(tokens)
        stops = [at for at in range(wrong, 0, -1) if _prose_begins(text, tokens, at, wrong)]
    else:
        last = range(len(tokens) - 1, max(0, len(tokens) - 5), -1)
        stops = [at for at in last if _last_words_begin(text, tokens, at, whole)]
    return _first_of_the_last(text, tokens, stops[:_TRIES])


def _first_of_the_last(text: str, tokens: list[_Token], stops: list[int]) -> int:
    """The last stop with a complete statement before it, or one just before: an alias may be prose too."""
    good = [
        at
        for at in stops
        if _complete(tokens[:at]) and not _from_follows(_sql(tokens[:at]), text[tokens[at].at :])
    ]
    end = good[0] if good else len(tokens)
    for earlier in good[1:]:
        if end - earlier > 6:
            break
        end = earlier
    return end


def _from_follows(before: str, after: str) -> bool:
    """Whether `after` has a FROM that `before` lacks, so that it is no prose."""
    return not _FROM.search(before) and bool(_FROM.search(after.partition("\n\n")[0]))


def _first_wrong(tokens: list[_Token]) -> int:
    """The number of the first token that no statement with these beginnings can have."""
    if state(_sql(tokens)) != _State.WRONG:
        return len(tokens)
    good, wrong = 0, len(tokens)
    while wrong - good > 1:
        middle = (good + wrong) // 2
        if state(_sql(tokens[:middle])) == _State.WRONG:
            wrong = middle
        else:
            good = middle
    return good


def _prose_begins(text: str, tokens: list[_Token], at: int, wrong: int) -> bool:
    """Whether the token is where prose, a list or the next query may begin; SQLite rejects token `wrong`."""
    start = tokens[at].at
    gap = _gap(text, tokens, at)
    if at == wrong and _AGAIN.match(text, start):
        return True
    if at == wrong and tokens[at].kind in ("other", "stray") and _PUNCTUATION.match(text, start):
        return True
    if _continues(text, start, tokens):
        return at == wrong - 2 and bool(_AGAIN.match(text, start))
    if "\n" in gap:
        return gap.count("\n") > 1 or bool(_ITEM.match(text, start)) or _is_sentence(text, start, 1)
    if wrong - at > _NEAR:
        return False
    aside = _ASIDE.match(text, start)
    if aside or _SENTENCE_END.match(text, start):
        return not aside or _is_sentence(text, aside.end(), 2)
    return (bool(gap) or not text[start].isascii()) and _is_sentence(text, start, 3)


def _last_words_begin(text: str, tokens: list[_Token], at: int, whole: str) -> bool:
    """Whether the token, near the end of what SQLite can parse, is a full stop or begins prose."""
    start = tokens[at].at
    if at == len(tokens) - 1 and tokens[at].sql in (".", ",", ":"):
        return True
    if whole != _State.COMPLETE or _continues(text, start, tokens):
        return False
    if _FOREIGN.match(text, start):
        return all(t.sql.isascii() for t in tokens[:at] if t.kind != "quoted")
    return "\n" in _gap(text, tokens, at) and _capitalised(text, start)


def _gap(text: str, tokens: list[_Token], at: int) -> str:
    """The white space before a token."""
    before = tokens[at - 1]
    return text[before.at : tokens[at].at] if before.kind == "space" else ""


def _continues(text: str, start: int, tokens: list[_Token]) -> bool:
    """Whether a word of SQL is at `start`; "As" and "In" begin prose, unless the statement is written so."""
    match = _CLAUSE.match(text, start)
    return bool(match) and (not match[0].istitle() or tokens[0].sql.istitle())


def _is_sentence(text: str, start: int, words: int) -> bool:
    """Whether a capitalised word, one that is not ASCII, or so many lower-case ones are at `start`."""
    if _capitalised(text, start) or _FOREIGN.match(text, start):
        return True
    line = _LINE.match(text, start, start + 200)
    found = _LOWER.match(text, start)
    if not line or not found or re.search("[=<>]", line[0]):
        return False
    run = found[0].split()
    return len(run) >= words and not any(map(_CLAUSE.fullmatch, run[:3]))


def _capitalised(text: str, start: int) -> bool:
    word = _WORD.match(text, start)
    return bool(word) and word[0][0].isupper() and word[0][1:].islower()


def _without_brackets(tokens: list[_Token]) -> list[_Token]:
    """The tokens without brackets around a whole SELECT, which SQLite does not allow.

    (SELECT a) UNION (SELECT b) becomes SELECT a UNION SELECT b. Nothing changes if a bracket has a set
    operator, ORDER BY or LIMIT and others follow or precede it, because the meaning would change.
    """
    parts = _parts(tokens)
    bare = [_bare(part, alone=len(parts) == 1) for part in parts]
    return tokens if None in bare else [token for part in bare for token in part or ()]


def _parts(tokens: list[_Token]) -> list[list[_Token]]:
    """The tokens, divided before each UNION, INTERSECT and EXCEPT outside brackets."""
    parts: list[list[_Token]] = [[]]
    depth = 0
    for token in tokens:
        depth += (token.sql == "(") - (token.sql == ")")
        if depth == 0 and _SET_OPERATOR.fullmatch(token.sql):
            parts.append([])
        parts[-1].append(token)
    return parts


def _bare(part: list[_Token], alone: bool) -> list[_Token] | None:
    """The part without brackets around its SELECT; None if they have a meaning."""
    for _ in range(_TRIES):
        lead = next((i for i, t in enumerate(part) if t.kind != "space" and not _JOINING.fullmatch(t.sql)), 0)
        close = _closing_bracket(part, lead)
        if close is None:
            break
        inner = part[lead + 1 : close]
        if not alone and _has_own_order(inner):
            return None
        part = part[:lead] + inner + part[close + 1 :]
    return part


def _closing_bracket(part: list[_Token], lead: int) -> int | None:
    """The number of the token that closes the bracket at `lead`, if one is there."""
    depth = 0
    for at in range(lead, len(part)):
        depth += (part[at].sql == "(") - (part[at].sql == ")")
        if depth <= 0:
            return at if at > lead else None
    return None


def _has_own_order(tokens: list[_Token]) -> bool:
    """Whether brackets around the tokens could have a meaning."""
    depth = 0
    for token in tokens:
        depth += (token.sql == "(") - (token.sql == ")")
        if depth == 0 and _OWN_ORDER.fullmatch(token.sql):
            return True
    return False
