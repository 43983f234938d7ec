"""Rows of a set that ask the same and should have golds with equal results; and rows that cannot.

Not covered: paraphrases in other words, which need a language model, unless they have the same gold.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

# Signs that decide what is asked: of comparison and arithmetic, and those of names such as C++ and C#.
_WORD = re.compile(r"\w+|!=|[<>=≠≤≥+*/%#]|(?<!\w)-(?=\d)")
_POSSESSIVE = re.compile(r"['’]s\b", re.IGNORECASE)
# Words that two ways to put one question differ in. Not here: words that decide what is asked, such as and,
# or, not, any, each, both, distinct, from, to, how, when.
_FILLERS = frozenset(
    re.findall(
        r"\w+",
        "a an the of is are was were be been what which who whom whose that there their its it they all list "
        "show find give return please tell me in on for at do does did have has had with by either as",
    )
)
_NOT_FIRST = "where"  # a filler but at the beginning, where it asks for a place
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBERS = {word: str(number) for number, word in enumerate(_DIGITS)} | {"once": "1", "twice": "2"}
_LONG = 20  # digits; more are a name, not a number
_SHORT = 3  # letters; of words that are not longer a last s is no plural
_COMPARISONS = {"smaller": "less", "fewer": "less", "larger": "more", "bigger": "more", "greater": "more"}
_SYNONYMS = {"every": "each", "different": "distinct", "unique": "distinct", "biggest": "largest"}
_OPPOSITES = (
    ({"ascending", "increasing"}, {"descending", "decreasing"}),
    ({"youngest"}, {"oldest"}),
    (
        {"lowest", "smallest", "minimum", "least", "fewest"},
        {"highest", "largest", "maximum", "most", "greatest"},
    ),
    ({"shortest"}, {"longest"}),
    ({"earliest"}, {"latest"}),
    ({"before"}, {"after"}),
)


@dataclass(frozen=True, slots=True)
class Gold:
    """A row of a test set; `question` is "" if the set has none."""

    row: int
    db_id: str
    gold: str
    question: str = ""


def rivals(golds: Sequence[Gold]) -> dict[int, list[int]]:
    """For each place in `golds` the places of other golds for the same question, where their text differs.

    The same question: the same words in the same order, case, punctuation, fillers and plurals aside; a
    comparison ("smaller population than", "population less than") may stand in another place.
    """
    groups: defaultdict[tuple[str, _Asked], list[int]] = defaultdict(list)
    for place, gold in enumerate(golds):
        asked = _asked(gold.question)
        if asked.words:
            groups[gold.db_id, asked].append(place)
    found: defaultdict[int, set[int]] = defaultdict(set)
    for one, other in _pairs(groups.values()):
        if golds[one].gold != golds[other].gold:
            found[one].add(other)
            found[other].add(one)
    return {place: sorted(others) for place, others in found.items()}


def contradictions(golds: Sequence[Gold]) -> dict[int, str]:
    """For each place in `golds` why another question with the same gold cannot mean the same."""
    groups: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for place, gold in enumerate(golds):
        groups[gold.db_id, " ".join(gold.gold.split()).casefold()].append(place)
    found: dict[int, str] = {}
    for one, other in _pairs(groups.values()):
        difference = _contradiction(golds[one].question, golds[other].question)
        if difference:
            left, right = difference
            found.setdefault(one, f"row {golds[other].row} has the same gold, but says {right}, not {left}")
            found.setdefault(other, f"row {golds[one].row} has the same gold, but says {left}, not {right}")
    return found


def _pairs(groups: Iterable[Sequence[int]]) -> Iterator[tuple[int, int]]:
    """Each place of a group with the first one, which is enough to find what differs."""
    for first, *others in groups:
        yield from ((first, other) for other in others)


def _contradiction(one: str, other: str) -> tuple[str, str] | None:
    """What each of two questions says that the other does not, None if they may mean the same."""
    words, others = _words(one), _words(other)
    numbers = _numbers(words), _numbers(others)
    # "at least 3" is "more than 2"
    if all(numbers) and not any(abs(int(a) - int(b)) < 2 for a in numbers[0] for b in numbers[1]):
        return ", ".join(sorted(numbers[0])), ", ".join(sorted(numbers[1]))
    for low, high in _OPPOSITES:
        for first, second in ((low, high), (high, low)):
            if words & first and others & second and not (words & second or others & first):
                return min(words & first), min(others & second)
    return None


class _Asked(NamedTuple):
    """What a question asks: its words in their order without fillers, and its comparisons."""

    words: tuple[str, ...]
    comparisons: tuple[str, ...]


def _asked(question: str) -> _Asked:
    said = _WORD.findall(_POSSESSIVE.sub("", question))
    kept = said[:1] + [word for word in said[1:] if word != _NOT_FIRST]
    # A filler in capitals is a value, such as grade A and the state IN.
    folded = [word.casefold() for word in kept if word.isupper() or word.casefold() not in _FILLERS]
    words = [_COMPARISONS.get(word, word) for word in folded or (it.casefold() for it in said)]
    moving = sorted(word for word in words if word in _COMPARISONS.values())
    return _Asked(tuple(_plain(word) for word in words if word not in moving), tuple(moving))


def _plain(word: str) -> str:
    """A number in digits, a plural without its ending, one word for several that mean the same."""
    plain = _SYNONYMS.get(_NUMBERS.get(word, word), _NUMBERS.get(word, word))
    if len(plain) <= _SHORT or plain.endswith("ss"):
        return plain
    return f"{plain[:-3]}y" if plain.endswith("ies") else plain.removesuffix("s")


def _words(question: str) -> set[str]:
    return {_NUMBERS.get(word, word) for word in _WORD.findall(question.casefold())}


def _numbers(words: set[str]) -> set[str]:
    return {word for word in words if word.isascii() and word.isdigit() and len(word) < _LONG}
