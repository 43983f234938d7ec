"""Extracts one SQL statement from a model's answer."""

from __future__ import annotations

import re
import sqlite3

_THINKING = re.compile(r"\A\s*<think>.*?(?:</think>|\Z)|\A.*</think>", re.DOTALL)
_FENCED = re.compile(r"```(.*?)(?:```|\Z)|(?<!`)`((?:SELECT|WITH)\b[^`]*)`", re.DOTALL | re.I)
_START = re.compile(
    r"""\b(?: SELECT\b
            | WITH\s+ (?:RECURSIVE\s+)? [\w"`\[\]]+ \s* (?:\([^()]*\)\s*)?
              AS\s* (?:(?:NOT\s+)?MATERIALIZED\s*)? \( )""",
    re.VERBOSE | re.IGNORECASE,
)
_LEAD_IN = re.compile(r"(?:\A|[\n:.!?`*#\"]|</?\w+>)[ \t]*\Z")  # text before a SELECT that starts a statement
_CONTINUED = re.compile(  # text before a SELECT that continues a statement
    r"(?:[(=<,)]|\b(?:UNION|ALL|INTERSECT|EXCEPT|AS|IN|NOT|EXISTS|AND|OR|WHERE|FROM|THEN|ELSE))\s*\Z",
    re.IGNORECASE,
)
_TOKEN = re.compile(
    r"""(?P<end> ; | ``` | </\w+> )
      | (?P<quoted> '(?:[^']|'')*' | "(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^\]\n]*\] )
      | (?P<space> (?: \s | --[^\n]* | /\*.*?(?:\*/|\Z) )+ )
      | (?P<other> [^\s;'"`\[</-]+ | . )""",
    re.VERBOSE | re.DOTALL,
)
_CAPITALISED = re.compile(r"[A-Z][a-z]+\b")
_MAX_PLACES = 8  # places tried, so that an answer full of repetitions does not take seconds
_CLAUSE = re.compile(  # a line that starts with one of these continues the statement
    r"""(?: SELECT | FROM | WHERE | GROUP | HAVING | ORDER | LIMIT | OFFSET | UNION | INTERSECT
          | EXCEPT | JOIN | LEFT | RIGHT | FULL | INNER | OUTER | CROSS | NATURAL | ON | USING
          | AND | OR | NOT | AS | IN | CASE | WHEN | THEN | ELSE | END | WINDOW )\b""",
    re.VERBOSE | re.IGNORECASE,
)


def extract_sql(raw: str) -> str:
    """The first SELECT or WITH statement in `raw`; "" if there is none. Never raises.

    Thoughts, code fences, prose, comments, and everything from the final semicolon on are removed. White
    space outside quotes becomes one space; quoted text is unchanged. If prose and SQL can be separated in
    several ways, the first one that SQLite can parse is taken. SQL that SQLite cannot parse is returned as
    the model wrote it, without corrections.
    Not covered: quoted text that contains a fence or a </think> tag.
    """
    text = _THINKING.sub("", raw, count=1)
    versions = [sql for start in _starts(text) for sql in _statements(start)]
    return next(filter(_parses, versions), versions[0] if versions else "")


def _starts(text: str) -> list[str]:
    """The text from each place where a statement may begin, the most likely first."""
    bodies = [text]
    if not _START.match(text.lstrip()):
        bodies = [m[1] or m[2] or "" for m in _FENCED.finditer(text)]
        bodies = [body for body in bodies if _START.search(body)] or [text]
    found = [(body, match.start()) for body in bodies for match in _START.finditer(body)]
    own = [(b, at) for b, at in found if not _CONTINUED.search(b[:at].rstrip()[-12:])]
    leading = [(b, at) for b, at in own if _LEAD_IN.search(b[max(0, at - 40) : at])]
    return [body[at:] for body, at in (leading or own or found[:1])[:_MAX_PLACES]]


def _statements(text: str) -> list[str]:
    """The statement at the start of `text`, then shorter versions that end where prose may follow."""
    pieces: list[str] = []
    stops: list[int] = []
    for match in _TOKEN.finditer(text):
        if match.lastgroup == "end":
            break
        if match.lastgroup == "space":
            if _prose_follows(match[0], text, match.end()):
                stops.append(len(pieces))
            pieces.append(" ")
        else:
            pieces.append(match[0])
    return ["".join(pieces[:stop]).strip() for stop in (len(pieces), *stops[:_MAX_PLACES][::-1])]


def _prose_follows(space: str, text: str, at: int) -> bool:
    """Whether a new paragraph, or a line like "This query ...", begins at `at`, after `space`."""
    if "\n" not in space or _CLAUSE.match(text, at):
        return False
    return space.count("\n") > 1 or _CAPITALISED.match(text, at) is not None


def _parses(sql: str) -> bool:
    """Whether SQLite can parse the statement; unknown tables and columns do not matter."""
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute(f"EXPLAIN {sql}")
    except sqlite3.OperationalError as error:
        return not re.search(r"syntax error|incomplete input|unrecognized token", str(error))
    except (sqlite3.Error, sqlite3.Warning, ValueError):
        return False
    finally:
        connection.close()
    return True
