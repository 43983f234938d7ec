"""The CREATE TABLE text in what a language model said."""

from __future__ import annotations

import re

_STATEMENT = re.compile(  # where one begins: on a line of its own, or behind another or a fence
    r"""(?: ^ | (?<=;) | ```\w* ) [ \t]*
        ( CREATE \s+ (?:TEMP(?:ORARY)?\s+)? TABLE \s+ (?:IF\s+NOT\s+EXISTS\s+)?
          (?: "(?:[^"]|"")+" | `(?:[^`]|``)+` | \[[^\]]+\] | [\w$.]+ ) \s* \(
        | INSERT \s+ INTO \b )""",
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
_TOKEN = re.compile(
    r"""(?P<end> ; | ``` )
      | '(?:[^']|'')*' | "(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^\]\n]*\]
      | --[^\n]* | /\*.*?(?:\*/|\Z) | [^;'"`\[/-]+ | .""",
    re.VERBOSE | re.DOTALL,
)


def extract_ddl(raw: str) -> str:
    """The CREATE TABLE and INSERT statements in what a model said, one after another; "" if there are none.

    Thoughts, fences, prose and all other statements are left out; the statements stay as they were
    written. Not covered: prose that goes on in the line where a statement without semicolon ends.
    """
    text = raw.rpartition("</think>")[2].partition("<think>")[0]
    statements, at = [], 0
    while begin := _STATEMENT.search(text, at):
        at = _end(text, begin.start(1))
        statements.append(_closed(text[begin.start(1) : at].strip()))
    return "\n".join(statements)


def _end(text: str, start: int) -> int:
    """Where the statement that begins at `start` ends: before its semicolon, a fence or the end."""
    tokens = _TOKEN.finditer(text, start)
    return next((token.start() for token in tokens if token["end"]), len(text))


def _closed(statement: str) -> str:
    """The statement with its semicolon, on a new line where a comment would swallow it."""
    return f"{statement}\n;" if "--" in statement.rpartition("\n")[2] else f"{statement};"
