"""Values of a database that a question names.

A run of the question's words is compared with all texts of the database, first by its folded words without
plural endings, then by spelling (rapidfuzz). Not covered: a value that the question paraphrases or names only
in part, a misspelling both at the beginning and at the end of a word, numbers in columns of numbers, and
languages that write no spaces between words.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from rapidfuzz import fuzz, process

from text2sql.context.values import DatabaseValues
from text2sql.context.words import STOP_WORDS, Word, question_words, value_keys, value_words

_LONGEST = 10  # words of a value that is looked up
_SIMILAR = 88.0  # percent, of a value and the words of a question
_SIMILAR_WORD = 80.0
_SHORTEST_FUZZY = 4  # letters of a word that is compared by spelling
_EDGE = 3  # letters at one end that two similar words share
_COMMON = 200  # a word that more values have does not lead to them
_QUOTED = re.compile(r"(?<!\w)(?P<quote>[\"'`\u2018\u201c])(?P<text>.+?)[\"'`\u2019\u201d](?!\w)")
_READ = 5_000  # characters of a question; the time grows with their square
_TEXTS = 2  # spellings of a value in one column that are shown


@dataclass(frozen=True, slots=True)
class Hint:
    """A value of a column that the characters `start` to `end` of the question name.

    `quality` is 1 for the same characters, less for another case, a plural or another spelling.
    """

    table: str
    column: str
    value: str
    start: int
    end: int
    quality: float


Place = tuple[str, str]
"""A table and a column."""


class ValueIndex:
    """The texts of a database by their words."""

    def __init__(self, values: DatabaseValues) -> None:
        self._entries: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
        self._places: list[Place] = []
        words: defaultdict[str, list[str]] = defaultdict(list)
        for number, column in enumerate(values.columns):
            self._places.append((column.table, column.column))
            for text, key in zip(column.texts, value_keys(column.texts), strict=True):
                if key and key.count(" ") < _LONGEST:
                    if key not in self._entries:
                        for word in key.split():
                            words[word].append(key)
                    self._entries[key].append((number, text))
        self._words = dict(words)
        self._edges: defaultdict[str, list[str]] = defaultdict(list)
        for word in self._words:
            for edge in _edges(word):
                self._edges[edge].append(word)

    def find(
        self,
        question: str,
        most: int,
        names: Collection[str] = (),
        rank: Callable[[Place], float] | None = None,
    ) -> list[Hint]:
        """At most `most` hints, best first. Of a question the first 5,000 characters are read.

        `names`: stems of the words in names of tables and columns, which by themselves name no value.
        `rank`: how well the question fits a column, to choose between columns that have the same value.
        """
        question = question[:_READ]
        words = question_words(question)
        quotes = [(found.start("text"), found.end("text")) for found in _QUOTED.finditer(question)]
        spans = _longest([*self._equal(question, words, quotes, names)])
        taken = {number for first, last, *_ in spans for number in range(first, last)}
        spans += _longest([*self._similar(words, taken, names)])
        hints = [self._hints(question, words, span, rank) for span in spans]
        by_rank = [(number, hint) for of_span in hints for number, hint in enumerate(of_span)]
        # the best column of each value before the second ones; the longer text before the shorter one
        by_rank.sort(key=lambda one: (one[0], -round(one[1].quality, 3), one[1].start - one[1].end))
        once: dict[tuple[str, str, str], Hint] = {}  # a question may name a value twice
        for _, hint in by_rank:
            once.setdefault((hint.table, hint.column, hint.value), hint)
        return list(once.values())[:most]

    def _equal(
        self, question: str, words: Sequence[Word], quotes: Sequence[tuple[int, int]], names: Collection[str]
    ) -> Iterator[_Span]:
        for first in range(len(words)):
            key = ""
            for last in range(first + 1, min(first + _LONGEST, len(words)) + 1):
                key = f"{key} {words[last - 1].stem}".lstrip()
                for found in dict.fromkeys((key, key.replace(" ", ""))):
                    if found in self._entries and self._tells(question, words[first:last], quotes, names):
                        yield first, last, found, 1.0

    def _tells(
        self, question: str, words: Sequence[Word], quotes: Sequence[tuple[int, int]], names: Collection[str]
    ) -> bool:
        """Whether words name a value although they may be words of any question."""
        start, end = words[0].start, words[-1].end
        text = question[start:end]
        for begin, finish in quotes:
            if begin <= start and end <= finish:  # of a text in quotes not a single word, unless it is all
                return len(words) > 1 or text == question[begin:finish].strip()
        if all(word.folded in STOP_WORDS for word in words):
            return False
        if len(text) == 1:
            return text.isupper() and text not in "AI"
        if text.isdigit():
            return len(text) >= _SHORTEST_NUMBER
        if all(word.stem in names or word.folded in STOP_WORDS for word in words):
            return start > 0 and all(question[word.start].isupper() for word in words)
        return True

    def _similar(self, words: Sequence[Word], taken: set[int], names: Collection[str]) -> Iterator[_Span]:
        """Runs of words, outside those `taken`, that are spelled like a value."""
        for number, word in enumerate(words):
            text = word.stem
            plain = text in STOP_WORDS or word.folded in STOP_WORDS or text in names
            if number in taken or plain or len(text) < _SHORTEST_FUZZY or not text.isalpha():
                continue
            for near in self._near(text):
                keys = self._words[near]
                if len(keys) <= _COMMON:
                    yield from _alike(words, number, near, keys, taken)

    def _near(self, text: str) -> list[str]:
        choices = dict.fromkeys(word for edge in _edges(text) for word in self._edges.get(edge, ()))
        found = process.extract(text, list(choices), scorer=fuzz.ratio, score_cutoff=_SIMILAR_WORD, limit=5)
        return [word for word, _, _ in found]

    def _hints(
        self,
        question: str,
        words: Sequence[Word],
        span: _Span,
        rank: Callable[[Place], float] | None,
    ) -> list[Hint]:
        first, last, key, similarity = span
        start, end = words[first].start, words[last - 1].end
        asked, folded = question[start:end], " ".join(word.folded for word in words[first:last])
        by_column: defaultdict[int, list[tuple[float, str]]] = defaultdict(list)
        for number, text in self._entries[key]:
            if _fits(asked, text, similarity):
                by_column[number].append((_quality(asked, folded, text, similarity), text))
        hints = []
        for number, found in by_column.items():
            best = sorted(found, key=lambda one: (-one[0], one[1]))[:_TEXTS]
            hints += [Hint(*self._places[number], text, start, end, quality) for quality, text in best]
        fit = rank or (lambda place: 0.0)
        return sorted(hints, key=lambda hint: (-hint.quality, -fit((hint.table, hint.column))))


_CODE = 3
_SHORTEST_NUMBER = 3  # digits of a number that is no part of a longer text

_Span = tuple[int, int, str, float]
"""The first word and the one after the last, the key of a value, and how similar they are (0 to 1)."""


def _edges(word: str) -> Iterable[str]:
    if len(word) < _SHORTEST_FUZZY or not word.isalpha():
        return ()
    return (f"{word[:_EDGE]}-", f"-{word[-_EDGE:]}")


def _longest(spans: Sequence[_Span]) -> list[_Span]:
    """The spans that lie in no longer one; of those with the same words the most similar ones."""
    kept: list[_Span] = []
    for span in sorted(spans, key=lambda one: (one[0] - one[1], -one[3], one[0])):
        inside = any(
            first <= span[0] and span[1] <= last and (first, last, similarity) != (span[0], span[1], span[3])
            for first, last, _, similarity in kept
        )
        if not inside and span not in kept:
            kept.append(span)
    return kept


def _alike(
    words: Sequence[Word], number: int, near: str, keys: Iterable[str], taken: set[int]
) -> Iterator[_Span]:
    """The values that have the word `near`, where the words of the question around `number` are like them."""
    for key in keys:
        parts = key.split()
        first = number - parts.index(near)
        last = first + len(parts)
        if first < 0 or last > len(words) or taken & {*range(first, last)}:
            continue
        asked = [word.stem for word in words[first:last]]
        same_numbers = all(
            one == other for one, other in zip(asked, parts, strict=True) if one.isdigit() or other.isdigit()
        )
        similarity = fuzz.ratio(" ".join(asked), key, score_cutoff=_SIMILAR)
        if similarity and same_numbers:
            yield first, last, key, similarity / 100


def _fits(asked: str, text: str, similarity: float) -> bool:
    """Whether the letters' case allows that the question means this value.

    A code of up to three letters is written as it is, and a proper name that is misspelled is a name still.
    """
    if len(text.strip()) <= _CODE and not text.islower():
        return asked == text.strip()
    return similarity == 1 or " " in text or text[0].islower() or not asked[0].islower()


def _quality(asked: str, folded: str, text: str, similarity: float) -> float:
    if similarity < 1:
        return 0.7 * similarity
    if asked == text:
        return 1.0
    if asked[0].islower() and text[0].isupper() and len(asked.split()) == 1:
        return 0.6  # an ordinary word more often than a name
    if asked.lower() == text.lower():
        return 0.95
    return 0.9 if folded == " ".join(value_words(text)) else 0.85
