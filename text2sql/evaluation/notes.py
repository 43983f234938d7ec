"""What is to be said of a verdict besides right or wrong: the notes in `Verdict.notes`.

Text alone decides here; `case_judge.py` runs the queries that some notes need. Not covered: gold queries that
cut ties by LIMIT in a subquery, with OFFSET, after WITH, UNION, INTERSECT or EXCEPT, or with DISTINCT.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

NOTES = {
    "double_quoted_text": "a name in double quotes is no column, and SQLite reads it as text",
    "empty_equal": "the gold query and the prediction both return no rows",
    "gold_cuts_ties": "the gold query's LIMIT cuts between rows of the same rank",
    "unreadable_em": "the prediction is outside the grammar of exact match, which counts it as wrong",
    "value_replaced": 'the prediction has the word "value", which is replaced by 1',
}
"""What each note says."""

_TOKENS = re.compile(
    r"""
    '(?:[^']|'')*' | "(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^\]]*\]
    | --[^\n]* | /\*.*?(?:\*/|\Z) | \s+
    | [\w$]+ | [<>=!]=? | <> | \|\| | .
    """,
    re.VERBOSE | re.DOTALL,
)
_BLANK = re.compile(r"\s|--|/\*")
_COMPOUND = {"union", "intersect", "except", "with"}
_DIRECTION = re.compile(r"\s+(?:(?:asc|desc)\b\s*)?(?:nulls\s+(?:first|last)\s*)?\Z", re.IGNORECASE)
_ALIAS = re.compile(
    r"""(?P<expression>.*\S)\s+as\s+(?P<quote>["`]?)(?P<name>\w+)(?P=quote)\s*""", re.I | re.S
)


def _words(sql: str) -> list[str]:
    """The tokens of a query; blanks and comments are tokens too, so that they join to the query again."""
    return _TOKENS.findall(sql)


# -- ties --


@dataclass(frozen=True, slots=True)
class TiesQuery:
    """A query for the gold's first `limit` rows and one more, whose last `keys` columns are its sort keys."""

    sql: str
    limit: int
    keys: int

    def has_tie(self, rows: Sequence[tuple[object, ...]]) -> bool:
        """Whether the last row that LIMIT keeps, and the first that it cuts, have the same rank."""
        if not 0 < self.limit < len(rows):
            return False
        return rows[self.limit - 1][-self.keys :] == rows[self.limit][-self.keys :]


def ties_query(gold: str) -> TiesQuery | None:
    """The query that finds out whether the LIMIT of a gold query cuts ties; None if it cannot be known."""
    words = [word for word in _words(gold) if not word.startswith(("--", "/*"))]
    while words and (words[-1].isspace() or words[-1] == ";"):
        words.pop()
    top = _top_level(words)
    if top.keys() & _COMPOUND or not top.keys() >= {"select", "from", "order", "limit"}:
        return None
    select, source, order, limit = (top[word] for word in ("select", "from", "order", "limit"))
    number = "".join(words[limit + 1 :]).strip()
    chosen = "".join(words[select + 1 : source]).strip()
    by = re.match(r"\s+by\s+", "".join(words[order + 1 : limit]), re.IGNORECASE)
    if not (select < source < order < limit and number.isdecimal() and by):
        return None
    if re.match(r"(distinct|all)\b", chosen, re.IGNORECASE):
        return None
    keys = _sort_keys("".join(words[order + 1 : limit])[by.end() :], _list(chosen))
    if keys is None:
        return None
    rest = "".join(words[source:limit])
    sql = f"SELECT {chosen}, {', '.join(keys)} {rest} LIMIT {int(number) + 1}"
    return TiesQuery(sql, int(number), len(keys))


def _top_level(words: Sequence[str]) -> dict[str, int]:
    """Where each word outside parentheses stands last, FROM and SELECT first; words are in small letters."""
    found: dict[str, int] = {}
    depth = 0
    for place, word in enumerate(words):
        depth += (word == "(") - (word == ")")
        name = word.lower()
        if depth == 0 and not (name in ("select", "from") and name in found):
            found[name] = place
    return found


def _list(text: str) -> list[str]:
    """The parts between the commas outside parentheses."""
    parts, depth = [""], 0
    for word in _words(text):
        depth += (word == "(") - (word == ")")
        if word == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += word
    return [part.strip() for part in parts]


def _sort_keys(text: str, chosen: Sequence[str]) -> list[str] | None:
    """The expressions that a query sorts by, which may be names or numbers of those that it selects."""
    aliased = [match for match in map(_ALIAS.fullmatch, chosen) if match]
    expressions = {match["name"].lower(): match["expression"] for match in aliased}
    plain = [match["expression"] if (match := _ALIAS.fullmatch(part)) else part for part in chosen]
    keys = []
    for part in _list(text):
        key = _DIRECTION.sub("", f"{part} ").strip()
        if key.isdecimal():
            if any("*" in it and "(" not in it for it in chosen) or not 0 < int(key) <= len(plain):
                return None
            key = plain[int(key) - 1]
        keys.append(expressions.get(key.strip('"`').lower(), key))
    return keys if all(keys) else None


# -- names in double quotes --

_BEFORE_VALUES = {
    *("=", "==", "<", ">", "<=", ">=", "!=", "<>", "||", "like", "glob", "regexp", "match", "between"),
    *("is", "escape", "then", "else", "when", "limit", "offset"),
}
_BEFORE_NAMES = {
    *("select", "from", "where", "and", "or", "not", "on", "by", "having", "join", "as", "exists", "all"),
    *("union", "intersect", "except", "distinct", "case", "with", "using", "over", "", ",", "("),
    *("count", "sum", "avg", "min", "max", "total", "group_concat"),
}


def without_text_in_double_quotes(sql: str) -> str | None:
    """The query with backticks around the names in double quotes; None if there is none.

    SQLite reads an unknown name in double quotes as a text (https://www.sqlite.org/quirks.html), in backticks
    it refuses it. Where a value is expected (after a comparison, in a list after IN, as an argument of a
    function that is no aggregate) double quotes are left: there they are meant as text.
    """
    if '"' not in sql:
        return None
    written = [_backticks(word) if is_name else word for word, is_name in _double_quoted(sql)]
    changed = "".join(written)
    return None if changed == sql else changed


def _double_quoted(sql: str) -> Iterator[tuple[str, bool]]:
    """Each token of a query, and whether it is a name in double quotes."""
    before = ["", ""]  # the last two words
    lists = [False]  # for each open parenthesis whether it is around values
    between = False  # whether the next AND belongs to BETWEEN
    for word in _words(sql):
        if _BLANK.match(word):
            yield word, False
            continue
        name, last = word.lower(), before[-1]
        is_value = last in _BEFORE_VALUES or (last == "not" and before[-2] == "is") or lists[-1]
        is_value |= last == "and" and between
        yield word, word.startswith('"') and not is_value
        if last == "and":
            between = False
        if name == "between":
            between = True
        elif name == "(":
            lists.append(last not in _BEFORE_NAMES)
        elif name == ")" and len(lists) > 1:
            lists.pop()
        elif name == "select":
            lists[-1] = False
        before = [last, name]


def _backticks(word: str) -> str:
    name = word[1:-1].replace('""', '"').replace("`", "``")
    return f"`{name}`"
