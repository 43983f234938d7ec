"""One SQL statement out of whatever a model said."""

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
_LEAD_IN = re.compile(r"(?:\A|[\n:.!?`*#\"]|</?\w+>)[ \t]*\Z")  # before a statement of its own
_CONTINUED = re.compile(  # before a SELECT that is part of a statement
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
_TRIES = 8  # places tried; keeps a model that repeats itself from costing seconds
_CLAUSE = re.compile(  # a line that starts with one of these goes on with the statement
    r"""(?: SELECT | FROM | WHERE | GROUP | HAVING | ORDER | LIMIT | OFFSET | UNION | INTERSECT
          | EXCEPT | JOIN | LEFT | RIGHT | FULL | INNER | OUTER | CROSS | NATURAL | ON | USING
          | AND | OR | NOT | AS | IN | CASE | WHEN | THEN | ELSE | END | WINDOW )\b""",
    re.VERBOSE | re.IGNORECASE,
)


def extract_sql(raw: str) -> str:
    """The first SELECT or WITH statement in `raw`; "" if there is none. Never raises.

    Thoughts, fences, prose, comments, the final semicolon and all after it are dropped; white space
    outside quotes becomes one space, what is quoted stays as it is. Where prose and SQL can be told
    apart in several ways, the first way that SQLite can parse wins; SQL that it cannot parse is
    returned as the model wrote it, never mended.
    Not covered: quoted text that itself holds a fence or a </think> tag.
    """
    text = _THINKING.sub("", raw, count=1)
    versions = [sql for start in _starts(text) for sql in _statements(start)]
    return next(filter(_parses, versions), versions[0] if versions else "")


def _starts(text: str) -> list[str]:
    """The rest of the text from each place where a statement may begin, the likeliest first."""
    bodies = [text]
    if not _START.match(text.lstrip()):
        bodies = [m[1] or m[2] or "" for m in _FENCED.finditer(text)]
        bodies = [body for body in bodies if _START.search(body)] or [text]
    found = [(body, match.start()) for body in bodies for match in _START.finditer(body)]
    own = [(b, at) for b, at in found if not _CONTINUED.search(b[:at].rstrip()[-12:])]
    leading = [(b, at) for b, at in own if _LEAD_IN.search(b[max(0, at - 40) : at])]
    return [body[at:] for body, at in (leading or own or found[:1])[:_TRIES]]


def _statements(text: str) -> list[str]:
    """The statement at the start of `text`, then shorter ones that stop where prose may follow."""
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
    return ["".join(pieces[:stop]).strip() for stop in (len(pieces), *stops[:_TRIES][::-1])]


def _prose_follows(space: str, text: str, at: int) -> bool:
    """Whether a new paragraph, or a line like "This query ...", begins at `at`, after `space`."""
    if "\n" not in space or _CLAUSE.match(text, at):
        return False
    return space.count("\n") > 1 or _CAPITALISED.match(text, at) is not None


def _parses(sql: str) -> bool:
    """Whether the grammar is SQLite's; unknown tables and columns are no fault."""
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
