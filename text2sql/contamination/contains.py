"""Training questions that contain a test question, or are contained in one, found by the words in them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from text2sql.contamination.folding import fold_question

LEAST_WORDS = 6
"""Words of the shorter question: "How many singers are there" has five and is part of many questions."""

_EVIDENCE = re.compile(r"\s(evidence|hint|external knowledge)\s*:.*", re.IGNORECASE | re.DOTALL)


def without_evidence(question: str) -> str:
    """The question without what follows "Evidence:", as BIRD's questions have it."""
    return _EVIDENCE.sub("", question) if ":" in question else question


class ContainedQuestions:
    """An index of test questions, which finds those that a question contains or is contained in."""

    def __init__(self, questions: Sequence[str]) -> None:
        """`questions` are numbered from 0."""
        self._folded = [fold_question(question) for question in questions]
        self._places: dict[str, list[int]] = {}  # of the questions without their evidence
        for place, question in enumerate(questions):
            self._places.setdefault(fold_question(without_evidence(question)), []).append(place)
        self._by_word = self._rarest_words()
        self._rare = frozenset(self._by_word)
        self._by_run = self._runs()

    def same_without_evidence(self, question: str) -> int | None:
        """The first test question that equals this one only without the evidence of both, or None."""
        bare = fold_question(without_evidence(question))
        places = self._places.get(bare, []) if bare else []
        whole = fold_question(question) if places else ""
        return next((place for place in places if self._folded[place] != whole), None)

    def candidates(self, folded: str) -> list[tuple[int, float]]:
        """Test questions that contain this folded question or are contained in it, with the share of words.

        The share is the number of words of the shorter one over that of the longer one; the greatest is
        first, and of equal ones the first question. Both questions have at least LEAST_WORDS words.
        """
        words, padded = folded.split(), f" {folded} "
        if len(words) < LEAST_WORDS:
            return []
        rare = set(words) & self._rare
        inside = [text for word in rare for text in self._by_word[word] if text in padded]
        around = [text for text in self._by_run.get(" ".join(words[:LEAST_WORDS]), ()) if padded in text]
        found = [
            (place, self._share(text, len(words)))
            for text in {*inside, *around} - {padded}
            for place in self._places[text[1:-1]]
        ]
        return sorted(found, key=lambda pair: (-pair[1], pair[0]))

    def _share(self, text: str, words: int) -> float:
        length = len(text.split())
        return min(length, words) / max(length, words)

    def _rarest_words(self) -> dict[str, list[str]]:
        """The test questions of enough words, each under the one of its words that fewest of them have.

        With a space at both ends, as in `_runs`, so that only whole words are found.
        """
        long = [text for text in self._places if len(text.split()) >= LEAST_WORDS]
        frequency = Counter(word for text in long for word in set(text.split()))
        found: dict[str, list[str]] = {}
        for text in long:
            rarest = min(text.split(), key=lambda word: (frequency[word], word))
            found.setdefault(rarest, []).append(f" {text} ")
        return found

    def _runs(self) -> dict[str, list[str]]:
        """The test questions under each run of LEAST_WORDS words in them."""
        found: dict[str, list[str]] = {}
        for text in self._places:
            words = text.split()
            starts = range(len(words) - LEAST_WORDS + 1)
            for run in {" ".join(words[at : at + LEAST_WORDS]) for at in starts}:
                found.setdefault(run, []).append(f" {text} ")
        return found
