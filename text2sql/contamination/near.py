"""Test questions that are nearly the same as another question, found by their rarest shingles.

The similarity of two questions is the Jaccard similarity of their sets of three-character shingles: the
number of shingles in both over the number in either. On Spider dev, trigrams separate rewordings from
other questions better than words, word pairs or longer shingles do.

The search is exact: a prefix filter (Bayardo, Ma, Srikant 2007; with several shingles at a time, Wang,
Li, Feng 2012) finds candidates, then the sets themselves are compared. A question with similarity of at
least `threshold` lacks at most size - threshold * size of a test question's shingles. So it has some of any
selection of that many and `_SPARE` more; only the rarest of a test question are looked up. How many of them
it must have follows from both sizes. Shingles are looked up by a hash, for a block of questions at a time;
hash collisions add candidates and never hide one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter

import numpy as np

SHINGLE = 3  # characters
_SPARE = 8  # the fastest on Spider and sql-create-context at thresholds from 0.6 to 0.8
_SLACK = 1e-9  # absorbs rounding errors in products of sizes
_HASH_BITS = 18
_CELLS = 1 << 21  # questions times test questions in a block: 16 MiB of counts
_FACTORS = np.array([0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D], dtype=np.uint32)  # odd, bits well mixed


def shingles(folded: str) -> frozenset[str]:
    """All three-character substrings of a folded question with a space added at both ends; none for ""."""
    text = f" {folded} "
    return frozenset([text[at : at + SHINGLE] for at in range(len(text) - SHINGLE + 1)])


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """Size of the intersection over size of the union, from 0 to 1; 0 for two empty sets."""
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared or 1)


class NearQuestions:
    """An index of folded questions, which finds those with Jaccard similarity of at least `threshold`."""

    def __init__(self, folded: Sequence[str], threshold: float) -> None:
        """`threshold` is above 0 and at most 1; questions are numbered from 0."""
        self._threshold = threshold
        self._sets = [shingles(text) for text in folded]
        prefixes = self._prefixes()
        self._starts, self._places = _postings([tokens for tokens, _ in prefixes])
        self._least = np.array([least for _, least in prefixes], dtype=np.int64)
        # similarity >= threshold means: intersection >= this share of the sum of both sizes
        self._share = threshold / (1 + threshold)
        lengths = np.array([len(tokens) for tokens, _ in prefixes])
        sizes = np.array([len(one) for one in self._sets])
        self._offsets = lengths - (1 - self._share) * sizes - _SLACK

    def nearest(self, folded: Sequence[str]) -> list[tuple[int, float] | None]:
        """For each text the most similar question, as (number, similarity), or None.

        Of equally similar questions the first is taken.
        """
        return [next(iter(near), None) for near in self.ranked(folded)]

    def ranked(self, folded: Sequence[str]) -> list[list[tuple[int, float]]]:
        """For each text its near questions, as (number, similarity), the most similar ones first."""
        found: list[list[tuple[int, float]]] = [[] for _ in folded]
        if not self._sets:
            return found
        step = max(1, _CELLS // len(self._sets))
        for start in range(0, len(folded), step):
            for row, places in self._candidates(folded[start : start + step]):
                found[start + row] = self._near(shingles(folded[start + row]), places)
        return found

    def _prefixes(self) -> list[tuple[np.ndarray, int]]:
        """For each question the hashes to look up, and how many of them a near question has at least."""
        frequency = Counter(shingle for one in self._sets for shingle in one)
        prefixes = []
        for one in self._sets:
            lacking = len(one) - math.ceil(self._threshold * len(one) - _SLACK)
            rare_first = sorted(one, key=lambda shingle: (frequency[shingle], shingle))
            tokens, _ = _hashes(rare_first[: lacking + _SPARE], pad="")
            prefixes.append((tokens, max(1, len(tokens) - lacking)))
        return prefixes

    def _candidates(self, folded: Sequence[str]) -> Iterator[tuple[int, list[int]]]:
        """Texts (by number) that have enough of a prefix, with the numbers of the questions it belongs to."""
        tokens, rows = _distinct_in_text(*_hashes(folded, pad=" "))
        counts = self._counts(tokens, rows, len(folded))
        row, place = np.nonzero(counts >= self._least)
        # the shingles missing from the prefix are at most those missing from the whole question
        sizes = np.bincount(rows, minlength=len(folded))
        enough = counts[row, place] >= self._offsets[place] + self._share * sizes[row]
        pairs = zip(row[enough].tolist(), place[enough].tolist(), strict=True)
        for text, group in groupby(pairs, key=itemgetter(0)):
            yield text, [question for _, question in group]

    def _counts(self, tokens: np.ndarray, rows: np.ndarray, texts: int) -> np.ndarray:
        """How many hashes of each prefix each text has; (texts, questions)."""
        starts, ends = self._starts[tokens], self._starts[tokens + 1]
        known = ends > starts
        starts, sizes, rows = starts[known], (ends - starts)[known], rows[known]
        before = np.cumsum(sizes) - sizes
        places = self._places[np.arange(sizes.sum()) + np.repeat(starts - before, sizes)]
        cells = np.repeat(rows, sizes) * len(self._sets) + places
        return np.bincount(cells, minlength=texts * len(self._sets)).reshape(texts, -1)

    def _near(self, wanted: frozenset[str], places: list[int]) -> list[tuple[int, float]]:
        pairs = sorted((-jaccard(wanted, self._sets[place]), place) for place in places)
        return [(place, -distance) for distance, place in pairs if -distance >= self._threshold]


def _hashes(texts: Sequence[str], pad: str) -> tuple[np.ndarray, np.ndarray]:
    """The hash of every shingle of all texts, and the number of its text; both of shape (shingles,)."""
    padded = [f"{pad}{text}{pad}" for text in texts]
    codes = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    rows = np.repeat(np.arange(len(padded)), [len(text) for text in padded])
    one, two, three = codes[:-2], codes[1:-1], codes[2:]
    mixed = one * _FACTORS[0] + two * _FACTORS[1] + three * _FACTORS[2]
    inside = rows[:-2] == rows[2:]  # a shingle does not reach into the next text
    return (mixed >> np.uint32(32 - _HASH_BITS))[inside].astype(np.int64), rows[:-2][inside]


def _distinct_in_text(tokens: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same hashes, without those that a text has already."""
    keys = np.sort((rows << _HASH_BITS) | tokens)
    keys = keys[np.concatenate([[True], keys[1:] != keys[:-1]])[: len(keys)]]
    return keys & ((1 << _HASH_BITS) - 1), keys >> _HASH_BITS


def _postings(prefixes: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The questions whose prefix has hash h: places[starts[h] : starts[h + 1]]."""
    tokens = np.concatenate([*prefixes, np.empty(0, dtype=np.int64)])
    places = np.repeat(np.arange(len(prefixes)), [len(prefix) for prefix in prefixes])
    sizes = np.bincount(tokens, minlength=1 << _HASH_BITS)
    return np.concatenate([[0], np.cumsum(sizes)]), places[np.argsort(tokens, kind="stable")]
