"""Tokens of a SQL statement in a model's answer, and what SQLite's parser says about them."""

from __future__ import annotations

import html
import re
import sqlite3
import unicodedata
from collections.abc import Iterable, Sequence
from enum import Enum
from functools import cache, lru_cache
from typing import NamedTuple

_TOKEN = re.compile(
    r"""(?P<end> ; | ```+ | ~~~ | \#\#\# | </?[A-Za-z]\w*(?:=\w+)?> | \[/\w+\] | [；。！？：»」』] )
      | (?P<quoted> '(?:[^']|'')*' | "(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^\[\]\n]*\] )
      | (?P<curly> ‘[^‘’\n]*’ | ’[^‘’\n]*’ | “[^“”\n]*” | ”[^“”\n]*” )
      | (?P<encoded> &(?:\#\d{1,6}|\#x[0-9a-f]{1,5}|gt|lt|amp|quot|apos|nbsp); | \\. )
      | (?P<space> (?: \s | --[^\n]* | /\*.*?(?:\*/|\Z) )+ )
      | (?P<number> \d+ (?:\.\d+)? (?:e[+-]?\d+)? (?!\w) )
      | (?P<word> [@:]?\w+ )
      | (?P<other> \*\* | [!=<>]= | <> | << | >> | \|\| | ->>? | . )""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_STRAIGHT = str.maketrans("‘’“”", "''\"\"")
_ENTITY = re.compile(r"&#?\w{1,8};")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|([^\w\s]|[_ntr]|\n))")
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "\n": " "}
_ERROR = re.compile(r"syntax error|unrecognized token")
_LEVELS = 3  # of escapes within escapes


class Token(NamedTuple):
    """A token as it is written in the query, where it is in the text, and its group in the pattern."""

    sql: str
    at: int
    kind: str


class State(Enum):
    """What a text is to SQLite's parser."""

    COMPLETE = "a statement"
    INCOMPLETE = "the beginning of a statement"
    WRONG = "neither"


def read_tokens(text: str) -> tuple[str, list[Token]]:
    """The tokens at the start of `text`, up to a semicolon, code fence or tag, and the text they are in.

    If HTML entities or backslashes are found outside quotes, the whole text is decoded first. White space
    with comments is one token, a space; typographic quotes and wide punctuation become ASCII.
    """
    tokens = _tokens(text)
    for _ in range(_LEVELS):
        encoded = next((token.sql for token in tokens if token.kind == "encoded"), None)
        if not encoded:
            break
        text = unescape(text) if encoded[0] == "\\" else _ENTITY.sub(lambda m: html.unescape(m[0]), text)
        tokens = _tokens(text)
    return text, tokens


def _tokens(text: str) -> list[Token]:
    tokens = []
    for match in _TOKEN.finditer(text):
        kind = str(match.lastgroup)
        if kind == "end":
            break
        tokens.append(Token(_written(match[0], kind), match.start(), kind))
    return tokens


def _written(text: str, kind: str) -> str:
    if kind == "space":
        return " "
    if kind == "curly":
        quote = text[0].translate(_STRAIGHT)
        return quote + text[1:-1].replace(quote, quote * 2) + quote
    return unicodedata.normalize("NFKC", text) if kind == "other" else text


def unescape(text: str) -> str:
    """The text without the backslashes of JSON, Markdown and LaTeX."""
    plain = _ESCAPE.sub(lambda m: chr(int(m[1], 16)) if m[1] else _ESCAPED.get(m[2], m[2]), text)
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # joins surrogate pairs


def sql_of(tokens: Iterable[Token]) -> str:
    """The tokens as one line of SQL; line breaks in quoted text stay."""
    return "".join(token.sql for token in tokens).strip()


def is_complete(tokens: Sequence[Token]) -> bool:
    """Whether SQLite can parse the tokens as a query."""
    return state(sql_of(tokens)) is State.COMPLETE


@cache
def _connection() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", cached_statements=0, check_same_thread=False)


@lru_cache(maxsize=32)
def state(sql: str) -> State:
    """What SQLite's parser says about the query.

    As the query of a view it is parsed and not resolved: unknown tables do not matter, and common table
    expressions that refer to one another many times cost no time.
    """
    try:
        _connection().execute(f"EXPLAIN CREATE TEMP VIEW v AS {sql}")
    except sqlite3.OperationalError as error:
        if "incomplete input" in str(error):
            return State.INCOMPLETE
        return State.WRONG if _ERROR.search(str(error)) else State.COMPLETE
    except (sqlite3.Error, sqlite3.Warning, ValueError):  # ValueError: null characters, lone surrogates
        return State.WRONG
    return State.COMPLETE
