"""Extracts one SQL statement from a model's answer."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from text2sql.inference.statement import Statement, read_statement, unescape

_THOUGHT = re.compile(r"<(/?)(?:think|thinking|thought|reasoning|reflection|scratchpad)>", re.IGNORECASE)
_CHANNEL = re.compile(r"\A.*<\|channel\|>final[^<]*<\|message\|>", re.DOTALL)
_TURN = re.compile(
    r"<[|｜][^<>\n]{1,40}[|｜]>|</?s>|<(?:start|end)_of_turn>|<(?:eos|bos|pad)>|\[/?INST\]", re.IGNORECASE
)
_QUERY = re.compile(
    r"(?<![A-Za-z0-9.])(?:SELECT|WITH|VALUES)(?![A-Za-z0-9_])|\\[nrt\"]+(?:SELECT|WITH)\b", re.I
)
_ESCAPED_QUERY = re.compile(r"\\[nrt\"']\s*(?:SELECT|WITH)\b", re.IGNORECASE)
_START = re.compile(
    r"""(?<![A-Za-z0-9.])
        (?: SELECT (?![A-Za-z0-9_]) (?! [:;.)`,] | \s+ (?:statement|clause|keyword|part|quer) )
          | WITH \s+ (?:RECURSIVE\s+)? (?: "[^"]*" | [\w`\[\]]+ ) \s* (?:\([^()]*\)\s*)?
            AS \s* (?:(?:NOT\s+)?MATERIALIZED\s*)? \(
          | VALUES \s* \( )""",
    re.VERBOSE | re.IGNORECASE,
)
_LEAD_IN = re.compile(  # text before a statement
    r"""(?: \A | [\n:.!?`*\#"';>({\[|$：；。，「『“„«‘_] | \*/ | \b(?:is|sql|query|plan|explain|use) ) [ \t]* \Z""",
    re.VERBOSE | re.IGNORECASE,
)
_CONTINUED = re.compile(  # text before a SELECT that continues a statement
    r"""(?: [(=<,)+] | \b(?: UNION | ALL | INTERSECT | EXCEPT | AS | IN | NOT | EXISTS | AND | OR | WHERE
          | FROM | JOIN | SELECT | DISTINCT | WHEN | THEN | ELSE | HAVING | BETWEEN )) \s* \Z""",
    re.VERBOSE | re.IGNORECASE,
)
_BRACKETS = re.compile(r"\([(\s]*\Z")
_COMPOUND = re.compile(r"[)\s]*(?:UNION|INTERSECT|EXCEPT)\b", re.IGNORECASE)
_COMMENTED = re.compile(r"(?:--|/\*)[^\n]*\Z")
_LABEL = re.compile(
    r"""(?: ["']\w*(?:sql|query|statement|answer)\w*["'] \s* : \s* ["']{1,3} | <(?:sql|query|answer|sqlite)> )
        \s* (?:```\w*\s*)? \Z""",
    re.VERBOSE | re.IGNORECASE,
)
_FENCE = re.compile(r"```+|~~~+")
_INLINE = re.compile(r"(?<!`)`\s*\Z")
_DECORATION = r"[\s*_#>\"'`~]*(?:```\w*|~~~\w*)?(?:sql\w*)?[\s*`\"']*\Z"
_HEADING = re.compile(  # text before a query that replaces an earlier one
    r"""(?: \b(?:final|corrected|correct|fixed|revised|updated|improved|corrig|corregid|korrigiert|endgültig)
          | 修正 | 更正 | 改正 | 最终 | 最終 | 正确) [^\n:：]{0,60} [:：]"""
    + _DECORATION,
    re.VERBOSE | re.IGNORECASE,
)
_RETRACTION = re.compile(
    r"\b(?:wait|actually|sorry|oops|mistaken?|wrong|incorrect|let me (?:fix|correct|revise)|should be|hmm)\b",
    re.IGNORECASE,
)
_TITLE_FROM = re.compile(r"\bFrom\b")
_FROM = re.compile(r"\bFROM\b", re.IGNORECASE)
_OPTION = re.compile(r"\bif\b|\balternativ|\boption", re.IGNORECASE)
_MAX_PLACES = 8  # places tried, so that an answer full of repetitions does not take seconds
_NEAR = 300  # characters before a query in which a correction is announced


def extract_sql(raw: str) -> str:
    """The SELECT, WITH or VALUES statement that a model gave as its answer; "" if there is none. Never raises.

    In this order:

    1. Thoughts (<think> and the like, also several or unfinished) are removed; of the texts between them,
       the last one with a query counts. So are special tokens and what follows the end of the turn.
    2. The places where a statement may begin are ranked: values of JSON keys such as "sql" and tags such as
       <sql>, the start of the text, code fences, other places after a line break, colon or quote, code in a
       sentence, the middle of a sentence. The first place whose statement SQLite can parse is taken.
    3. A statement ends at a semicolon, fence, tag, or closing quote or bracket. If SQLite cannot parse it,
       it is cut at the last place where it can and prose, a list, a table or the next query follows.
    4. A later query replaces it if the text before says so ("Corrected:", "Final SQL:", "Wait, ...").
    5. Outside quoted text, comments are removed, white space becomes one space, and HTML entities, escapes
       (\\n, \\", \\_) and typographic quotes are replaced. Brackets around a whole SELECT are removed.

    Quoted text is unchanged, except where the whole answer is escaped. SQL that SQLite cannot parse is
    returned as the model wrote it: nothing is corrected.
    Not covered: quoted text that contains a tag of a thought or a special token; strings that a program
    joins; prose that SQLite can parse as part of the query (`FROM singer as requested`); prose after a
    statement that SQLite cannot parse.
    """
    queries = (_query(_turn(text)) for text in reversed(_outside_thoughts(raw)))
    return next(filter(None, queries), "")


def _outside_thoughts(raw: str) -> list[str]:
    """The texts before, between and after thoughts; an end without a beginning ends all text before it."""
    raw = _CHANNEL.sub("", raw, count=1)
    texts: list[str] = []
    begin: int | None = 0  # of the text outside thoughts; None inside
    for tag in _THOUGHT.finditer(raw):
        if tag[1]:
            texts = [] if begin is not None else texts
            begin = tag.end()
        elif begin is not None:
            texts.append(raw[begin : tag.start()])
            begin = None
    return texts if begin is None else [*texts, raw[begin:]]


def _turn(text: str) -> str:
    """The first text between special tokens that has a query; without escapes if all of it has them."""
    turns = _TURN.split(text)
    turn = next(filter(_QUERY.search, turns), turns[0])
    for _ in range(3):
        if not _ESCAPED_QUERY.search(turn):
            break
        turn = unescape(turn)
    return turn


@dataclass(frozen=True)
class _Place:
    """A place where a statement may begin."""

    text: str
    at: int
    in_fence: bool

    @cached_property
    def before(self) -> str:
        return self.text[max(0, self.at - 60) : self.at]

    @cached_property
    def word(self) -> str:
        return self.text[self.at : self.at + 6]

    @cached_property
    def rank(self) -> int:
        """The lower, the likelier that the model's query begins here; see `extract_sql`."""
        before = _BRACKETS.sub("", self.before)
        stripped = before.rstrip()
        if self.word.upper() == "VALUES":
            return 7 if not stripped or re.search(r"[;:`~]\Z|```\w+\Z", stripped) else 10
        if _COMMENTED.search(before):
            return 10
        if _CONTINUED.search(stripped[-12:]):
            return 9
        return self._rank_of_beginning(before)

    def _rank_of_beginning(self, before: str) -> int:
        if not _LEAD_IN.search(before):
            return 6 if self.word.isupper() or self.word.startswith("WITH") else 8
        if _LABEL.search(before):
            return 1
        if self.word.istitle() and not _TITLE_FROM.search(self.text, self.at, self.at + _NEAR):
            return 7
        if not self.text[: self.at].strip("( \t\r\n"):
            return 2
        return 3 if self.in_fence else 5 if _INLINE.search(before) else 4

    @cached_property
    def statement(self) -> Statement:
        bracket = _BRACKETS.search(self.before)
        if bracket:
            begin = self.at - len(bracket[0])
            whole = read_statement(self.text[begin:], "")
            if whole.parses:
                return Statement(whole.sql, begin + whole.end, True)
        found = read_statement(self.text[self.at :], self.before, cuts=self.rank not in (7, 8))
        if bracket and _COMPOUND.match(self.text, self.at + found.end):
            return Statement(whole.sql, begin + whole.end, False)
        return Statement(found.sql, self.at + found.end, found.parses)


def _query(text: str) -> str:
    places = sorted(_places(text), key=lambda place: (place.rank, place.at))
    chosen = _chosen(places)
    return (
        _corrected(text, chosen, sorted(places, key=lambda place: place.at)).statement.sql if chosen else ""
    )


def _places(text: str) -> Iterator[_Place]:
    fences = [match.start() for match in _FENCE.finditer(text)]
    for match in _START.finditer(text):
        yield _Place(text, match.start(), in_fence=bisect_right(fences, match.start()) % 2 == 1)


def _chosen(places: list[_Place]) -> _Place | None:
    """The first place whose statement parses, of those of the best kind; if none does, the first of them."""
    for ranks in ((1, 2, 3), (4, 5), (6, 9), (7, 8, 10)):
        kind = [place for place in places if place.rank in ranks][:_MAX_PLACES]
        if ranks == (6, 9):  # prose has the word SELECT, but seldom FROM too
            kind = [place for place in kind if _FROM.search(place.statement.sql)]
        found = next((place for place in kind if place.statement.parses), None)
        if found or (kind and ranks[0] < 7):
            return found or kind[0]
    return None


def _corrected(text: str, chosen: _Place, places: list[_Place]) -> _Place:
    """The last place after `chosen` whose query replaces it, by the text before; else `chosen`."""
    tries = 0
    for place in places:
        end = chosen.statement.end if chosen.statement.parses else chosen.at + 1
        if place.rank > 5 or place.at < end or tries >= _MAX_PLACES:
            continue
        if _replaces(text[max(end, place.at - _NEAR) : place.at]):
            tries += 1
            chosen = place if place.statement.parses else chosen
    return chosen


def _replaces(between: str) -> bool:
    """Whether the text between two queries says that the second replaces the first."""
    said = _HEADING.search(between) or _RETRACTION.search(between)
    return bool(said) and not _OPTION.search(between)
