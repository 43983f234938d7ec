"""The CREATE TABLE text in the answer of a language model."""

from __future__ import annotations

import re

_STATEMENT = (
    re.compile(  # where one begins: at the start of a line, after another statement or after a code fence
        r"""(?: ^ | (?<=;) | ```\w* ) [ \t]*
        ( CREATE \s+ (?:TEMP(?:ORARY)?\s+)? TABLE \s+ (?:IF\s+NOT\s+EXISTS\s+)?
          (?: "(?:[^"]|"")+" | `(?:[^`]|``)+` | \[[^\]]+\] | [\w$.]+ ) \s* \(
        | INSERT \s+ INTO \b )""",
        re.VERBOSE | re.IGNORECASE | re.MULTILINE,
    )
)
_TOKEN = re.compile(
    r"""(?P<end> ; | ``` )
      | '(?:[^']|'')*' | "(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^\]\n]*\]
      | --[^\n]* | /\*.*?(?:\*/|\Z) | [^;'"`\[/-]+ | .""",
    re.VERBOSE | re.DOTALL,
)


def extract_ddl(raw: str) -> str:
    """The CREATE TABLE and INSERT statements in a model's answer, one after another; "" if there are none.

    Text inside <think>, code fences, prose and all other statements are left out; the statements stay as
    they were written.
    Not covered: prose on the line where a statement without a semicolon ends.
    """
    text = raw.rpartition("</think>")[2].partition("<think>")[0]
    statements, at = [], 0
    while begin := _STATEMENT.search(text, at):
        at = _end(text, begin.start(1))
        statements.append(_closed(text[begin.start(1) : at].strip()))
    return "\n".join(statements)


def _end(text: str, start: int) -> int:
    """Where the statement at `start` ends: before its semicolon or a code fence, or with the text."""
    tokens = _TOKEN.finditer(text, start)
    return next((token.start() for token in tokens if token["end"]), len(text))


def _closed(statement: str) -> str:
    """The statement with a semicolon, on a new line if the last line has a comment."""
    return f"{statement}\n;" if "--" in statement.rpartition("\n")[2] else f"{statement};"
