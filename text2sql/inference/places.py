"""The places in a model's answer where a SQL statement may begin, and how likely each is."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

from text2sql.inference.statement import Statement, read_statement

_START = re.compile(
    r"""(?<![A-Za-z0-9.])
        (?: SELECT (?![A-Za-z0-9_]) (?![:;.)`,])
          | WITH \s+ (?:RECURSIVE\s+)? (?: "[^"]*" | [\w`\[\]]+ ) \s* (?:\([^()]*\)\s*)?
            AS \s* (?:(?:NOT\s+)?MATERIALIZED\s*)? \(
          | VALUES \s* \( )""",
    re.VERBOSE | re.IGNORECASE,
)
_LEAD_IN = re.compile(  # text before a statement
    r"""(?: \A | [\n:.!?`*\#"';>({\[|$：；。，「『“„«‘_] | \*/ | \b(?:is|sql|query|plan|explain|use) )
        [ \t]* \Z""",
    re.VERBOSE | re.IGNORECASE,
)
_CONTINUED = re.compile(  # text before a SELECT that continues a statement
    r"""(?: [(=<,)+] | \b(?: UNION | ALL | INTERSECT | EXCEPT | AS | IN | NOT | EXISTS | AND | OR | WHERE
          | FROM | JOIN | SELECT | DISTINCT | WHEN | THEN | ELSE | HAVING | BETWEEN )) \s* \Z""",
    re.VERBOSE | re.IGNORECASE,
)
_COMPARED = re.compile(r"(?:[+*/|-]|(?<!<)(?<!</)\b\w+>|[^\w]>)\s*\Z")  # text before a subquery in brackets
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
_TITLE_FROM = re.compile(r"\bFrom\b")
_VALUES_LEAD_IN = re.compile(r"(?:\A|[;:`~]|```\w+)\s*\Z")
_BEFORE = 60  # characters before a place that say what it is


class Rank(IntEnum):
    """The lower, the likelier that the model's query begins here."""

    LABELLED = 1  # "sql": "SELECT ..., <sql>SELECT ...
    FIRST = 2  # nothing before it
    FENCED = 3
    LEADING = 4  # after a line break, a colon, a quote or the like
    INLINE = 5  # in a sentence, between single backticks
    WITHIN = 6  # in a sentence, in capitals
    CONTINUED = 7  # after a word or sign of SQL
    TITLE = 8  # "Select", perhaps the first word of a sentence
    DOUBTFUL = 9  # "select" in a sentence, a comment, VALUES after INSERT


@dataclass(frozen=True)
class Place:
    """A place where a statement may begin."""

    text: str
    at: int
    in_fence: bool

    @cached_property
    def before(self) -> str:
        """The text just before the place."""
        return self.text[max(0, self.at - _BEFORE) : self.at]

    @cached_property
    def rank(self) -> Rank:
        """How likely the model's query begins here."""
        before = _BRACKETS.sub("", self.before)
        if self._word.upper() == "VALUES":
            return Rank.LEADING if _VALUES_LEAD_IN.search(before) else Rank.DOUBTFUL
        if _COMMENTED.search(before):
            return Rank.DOUBTFUL
        compared = len(before) < len(self.before) and _COMPARED.search(before)
        if compared or _CONTINUED.search(before.rstrip()[-12:]):
            return Rank.CONTINUED
        return self._rank_of_beginning(before)

    def _rank_of_beginning(self, before: str) -> Rank:
        if not _LEAD_IN.search(before):
            return Rank.WITHIN if self._word.isupper() else Rank.DOUBTFUL
        if _LABEL.search(before):
            return Rank.LABELLED
        if self._word.istitle() and not _TITLE_FROM.search(self.text, self.at, self.at + 300):
            return Rank.TITLE
        if self.at <= _BEFORE and not before.strip():
            return Rank.FIRST
        if self.in_fence:
            return Rank.FENCED
        return Rank.INLINE if _INLINE.search(before) else Rank.LEADING

    @property
    def _word(self) -> str:
        return self.text[self.at : self.at + 6].strip()

    @cached_property
    def statement(self) -> Statement:
        """The statement that begins here, with its end in the whole text."""
        inner = self._read(self.at, self.before)
        bracket = _BRACKETS.search(self.before)
        if not bracket:
            return inner
        whole = self._read(self.at - len(bracket[0]), "")
        return whole if whole.parses or _COMPOUND.match(self.text, inner.end) else inner

    def _read(self, begin: int, opening: str) -> Statement:
        found = read_statement(self.text[begin:], opening, cuts=self.rank < Rank.TITLE)
        return Statement(found.sql, begin + found.end, found.parses)


def find_places(text: str) -> Iterator[Place]:
    """All places, in the order of the text."""
    fences = [match.start() for match in _FENCE.finditer(text)]
    for match in _START.finditer(text):
        yield Place(text, match.start(), in_fence=bisect_right(fences, match.start()) % 2 == 1)
