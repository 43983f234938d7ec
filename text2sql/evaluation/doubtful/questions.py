"""Rows of a set that ask the same and should have golds with equal results; and rows that cannot.

Not covered: paraphrases in other words, which need a language model, unless they have the same gold.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

_WORD = re.compile(r"\w+")
# Words that two ways to put one question differ in.
_FILLERS = frozenset(
    re.findall(
        r"\w+",
        "a an the of is are was were be what which who whose that there their its it all list show find give "
        "return please tell me in on for to and do does did have has had with by each every different "
        "distinct",
    )
)
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBERS = {word: str(number) for number, word in enumerate(_DIGITS)} | {"once": "1", "twice": "2"}
_SIMILAR = 0.6  # share of the words of two questions that both have, above which they may be paraphrases
_LONG = 20  # digits; more are a name, not a number
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

    The same question: equal but for case, blanks and punctuation. Or a paraphrase as Spider has them, where
    the next row says the same in other words: most of the words are equal, fillers and plurals aside, neither
    question says what contradicts the other, and neither row has a neighbour with its own gold.
    """
    groups: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for place, gold in enumerate(golds):
        if _folded(gold.question):
            groups[gold.db_id, _folded(gold.question)].append(place)
    found: defaultdict[int, set[int]] = defaultdict(set)
    for one, other in [*_pairs(groups.values()), *_neighbours(golds)]:
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


def _neighbours(golds: Sequence[Gold]) -> Iterator[tuple[int, int]]:
    twins = [one.db_id == other.db_id and one.gold == other.gold for one, other in pairwise(golds)]
    twins = [False, *twins, False]  # whether a row has the gold of the one before it
    for place, (one, other) in enumerate(pairwise(golds)):
        alone = not any(twins[place : place + 3])
        if alone and one.db_id == other.db_id and _similar(one.question, other.question):
            yield place, place + 1


def _similar(one: str, other: str) -> bool:
    words, others = _content(one), _content(other)
    share = len(words & others) / max(1, len(words | others))
    return share >= _SIMILAR and not _contradiction(one, other)


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


def _folded(question: str) -> str:
    return " ".join(_WORD.findall(question.casefold()))


def _words(question: str) -> set[str]:
    return {_NUMBERS.get(word, word) for word in _WORD.findall(question.casefold())}


def _numbers(words: set[str]) -> set[str]:
    return {word for word in words if word.isascii() and word.isdigit() and len(word) < _LONG}


def _content(question: str) -> set[str]:
    """The words that decide what is asked."""
    return {_singular(word) for word in _words(question) - _FILLERS}


def _singular(word: str) -> str:
    return f"{word[:-3]}y" if word.endswith("ies") else word.removesuffix("s")
