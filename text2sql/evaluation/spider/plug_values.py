"""Plugs the gold query's values into a prediction in place of its own.

A model that does not see how a database writes its values can only guess them. The test-suite evaluator
therefore offers to fill every slot of a prediction with values of the gold query, and counts the
prediction as right if any way to fill them makes it right.

It finds values and slots with regular expressions and runs the text that results, so its quirks, which
are listed in spider/__init__.py, can change verdicts and are kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cached_property, lru_cache
from itertools import product
from typing import NamedTuple

import sqlparse
from sqlparse.tokens import String, Whitespace

from text2sql.evaluation.spider.rewrite import UnreadableStatement, first_statement

# The official mark of a slot; if a query holds this word, it has a slot there.
_SLOT = "VALUERARE"

# The lookbehind avoids a search from every digit of a number with thousands of them.
_DECIMAL = re.compile(r"[-+]?(?:(?<!\d)\d+)?\.\d+")
_INTEGER = re.compile(r"[^tT]\d+")  # the character before may be a sign, a digit or a blank
_TABLE_AND_DOT = re.compile(r"[Tt]\d+\.")
_BLANK_BEHIND_TABLE = re.compile(r"(T\d+\.)\s")
# Where converting keywords to capitals, as officially, changes more than the case that is lowered at the end.
_KEYWORD_CASE_COUNTS = re.compile(r"(?i:go|time\s+zone)|[\r\n]")

_KINDS = {
    "text": re.compile(r"'(?:[^']|'')*'"),
    "name": re.compile(r'"(?:[^"]|"")*"'),
    "number": re.compile(r"[0-9]+|[0-9]*\.[0-9]+"),
    "minus": re.compile(r"-(?:[0-9]+|[0-9]*\.[0-9]+)"),
}
# An expression follows these; elsewhere a text may be an alias, and a number the position of a column.
_COMPARISONS = {"=", "==", "!=", "<>", "<", ">", "<=", ">="}
_BEFORE_OPERAND = _COMPARISONS | {"like", "glob", "between", "and", "or", "limit", "offset"}

# The values that may fill a slot, grouped by what is the same to SQLite's grammar, and within that by what
# is the same to its compiler.
_Choice = dict[str, dict[str, list[str]]]


class _Template(NamedTuple):
    """The words of a query, its values (distinct, in the order of the text), the indices of its slots."""

    words: list[str]
    values: list[str]
    slots: list[int]


class Candidates:
    """The ways to plug the values of `gold` into `predicted`, both rewritten; iterates over their SQL.

    Candidates are generated lazily; the first one has the gold's values in the gold's order.
    Only one iteration at a time is allowed. There are no candidates if sqlparse cannot read
    one of the two queries (see rewrite.py).
    """

    def __init__(self, gold: str, predicted: str) -> None:
        self._gold = gold
        self._predicted = predicted
        self._refused_by = ""  # "compiler" or "grammar", for the latest candidate

    @property
    def count(self) -> int:
        """The number of candidates, including those that `refuse` skips."""
        values, template = self._parts
        return len(values) ** len(template.slots) if template else 0

    def __iter__(self) -> Iterator[str]:
        values, template = self._parts
        if template is None:
            return
        for choice in product(*(choice.values() for choice in _choices(values, template))):
            for options in product(*(kind.values() for kind in choice)):
                yield from self._fill(template, options)
                if self._refused_by == "grammar":
                    break

    def refuse(self, syntax: bool = False) -> None:
        """Skip the candidates that SQLite would refuse for the same reason as the latest one.

        Call it only if that one failed to compile, not if it failed while it ran. To SQLite's compiler all
        numbers are the same as an operand, and so are all texts in single quotes.
        `syntax`: it was a syntax error. To the grammar all values of a kind are the same, including names
        in double quotes, in any place.
        """
        self._refused_by = "grammar" if syntax else "compiler"

    def _fill(self, template: _Template, options: Iterable[list[str]]) -> Iterator[str]:
        words = list(template.words)
        for values in product(*options):
            for slot, value in zip(template.slots, values, strict=True):
                words[slot] = value
            self._refused_by = ""
            yield " ".join(words)
            if self._refused_by:
                return

    @cached_property
    def _parts(self) -> tuple[list[str], _Template | None]:
        """The gold's values and the prediction's template; None if either query cannot be read."""
        try:
            return _values_of(self._gold), _read(self._predicted)
        except UnreadableStatement:
            return [], None


@lru_cache(maxsize=1024)
def _values_of(gold: str) -> list[str]:
    return _read(gold).values


def _choices(values: list[str], template: _Template) -> Iterator[_Choice]:
    """For each slot the values, starting with the one that has the same position in the gold."""
    for count, slot in enumerate(template.slots):
        turn = count % max(len(values), 1)
        is_operand = slot > 0 and template.words[slot - 1] in _BEFORE_OPERAND
        choice: _Choice = {}
        for value in values[turn:] + values[:turn]:
            kind = _kind(value)
            same = kind if is_operand and kind != "name" else value
            choice.setdefault(kind, {}).setdefault(same, []).append(value)
        yield choice


def _kind(value: str) -> str:
    """The kind of the value to SQLite; the value itself if only sqlparse takes it for a value."""
    return next((kind for kind, form in _KINDS.items() if form.fullmatch(value)), value)


def _read(sql: str) -> _Template:
    sql = _respaced(sql)
    words, values = _split_off_values(sql)
    in_order = sorted(dict.fromkeys(values), key=lambda value: f" {sql} ".find(f" {value} "))
    return _Template(words, in_order, [index for index, word in enumerate(words) if word == _SLOT.lower()])


def _respaced(sql: str) -> str:
    tokens = first_statement(sql.strip().replace(";", "").replace("\t", ""))
    sql = " ".join(text for kind, text in tokens if kind is not Whitespace)
    for table in ("t1", "t2", "t3", "T1", "T2", "T3"):
        sql = sql.replace(f"{table}.*", "*")
    if not sql.isascii() or _KEYWORD_CASE_COUNTS.search(sql):
        sql = sqlparse.format(sql, keyword_case="upper")
    return _BLANK_BEHIND_TABLE.sub(r"\1", sql)


def _split_off_values(sql: str) -> tuple[list[str], list[str]]:
    """Return the words, in lower case, with slots for values, and the values with repetitions."""
    values = _quoted(sql)
    for text in values:
        sql = sql.replace(text, _SLOT)
    words = sql.split()
    for form in (_DECIMAL, _INTEGER):
        numbers = {number.strip() for number in form.findall(" ".join(words))}
        values += [word for word in words if word in numbers]
        words = [_SLOT if word in numbers else word for word in words]
    return [part for word in words for part in _parts_of(word)], values


def _quoted(sql: str) -> list[str]:
    if "'" not in sql and '"' not in sql:
        return []
    return [text for kind, text in first_statement(sql) if kind in (String.Single, String.Symbol)]


def _parts_of(word: str) -> list[str]:
    """Usually the word itself, in lower case."""
    word = word.lower()
    return word.replace(".", " . ").split() if _TABLE_AND_DOT.search(word) else [word]
