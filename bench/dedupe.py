"""How fast and how completely near-duplicates are found, compared with datasketch's MinHashLSH.

Both get the same folded questions, three-character shingles and threshold, and search the same blocks of rows
alternately. The rows are generated. See bench/README.md for what is printed.
"""

from __future__ import annotations

import random
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, islice

import click
from datasketch import MinHash, MinHashLSH

from text2sql.contamination.folding import fold_question
from text2sql.contamination.leaks import LeakFinder
from text2sql.contamination.near import jaccard, shingles
from text2sql.contamination.settings import Rules
from text2sql.records import TestQuestion, TrainingRow

TEST_ROWS = 1_034
BLOCK = 4_096
PERMUTATIONS = 128  # datasketch's default
PLANTED_EVERY = 50  # rows
LIMITS = {"ratio": 5.0, "growth": 1.25, "memory": 4_096}  # times, times, MiB
_COMMON = """what is the of a in which who how many are there were was when with and for to that list show
name number have has did do on by from at each all than more most least average total highest lowest
find give me different whose their order not or year date""".split()  # noqa: SIM905
_CONSONANTS, _VOWELS = "bbccddfgghkllmmnnnpprrrssstttvwxz", "aaaeeeeiioouy"


@dataclass
class Found:
    """CPU seconds that a search took, and the numbers of the planted rows that it found."""

    seconds: float = 0.0
    rows: set[int] = field(default_factory=set)

    def add(
        self, first: int, search: Callable[[Sequence[TrainingRow]], list[bool]], block: list[TrainingRow]
    ) -> None:
        """Time the search of a block, whose first row has this number."""
        started = time.process_time()
        hits = search(block)
        self.seconds += time.process_time() - started
        self.rows.update(first + at for at, hit in enumerate(hits) if hit)


@click.command()
@click.option("--rows", default=126_641, show_default=True, help="Training rows.")
@click.option("--threshold", default=0.8, show_default=True, help="Least Jaccard similarity.")
@click.option("--large", default=0, help="Then time all rules on this many rows, without datasketch.")
def main(rows: int, threshold: float, large: int) -> None:
    """Print seconds, ratio, recall and peak memory, each with its limit; exit status 1 if one is exceeded."""
    texts = Texts(seed=7)
    test = [texts.test_question(row) for row in range(TEST_ROWS)]
    print(f"{rows} generated rows, {TEST_ROWS} test questions, Jaccard {threshold} of trigrams")
    good = [compare(texts, test, rows, threshold)]
    every = LeakFinder(test, Rules(near_question=threshold, same_sql="masked", same_database=True))
    small = microseconds(texts, test, rows, every)
    print(f"{'all rules':<16} {small:6.1f} µs a row, {small * rows / 1e6:.1f} s")
    if large:
        growth = microseconds(texts, test, large, every) / small
        figures = f"{large} rows take {growth:.2f} times as long a row, limit {LIMITS['growth']}"
        good.append(print_line("growth", figures, growth <= LIMITS["growth"]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    good.append(
        print_line("peak memory", f"{peak:.0f} MiB, limit {LIMITS['memory']}", peak <= LIMITS["memory"])
    )
    sys.exit(0 if all(good) else 1)


class Texts:
    """Questions, queries and schemas of generated words, as long as those of sql-create-context."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.rare = sorted({self.word() for _ in range(20_000)})
        self.random.shuffle(self.rare)
        self.shares = list(accumulate(1 / (rank + 20) for rank in range(len(self.rare))))  # Zipf

    def word(self) -> str:
        """A word of 4 to 9 letters: alternating vowels and consonants, some consonants doubled."""
        signs = [
            self.random.choice(_VOWELS if at % 2 else _CONSONANTS) for at in range(self.random.randint(4, 7))
        ]
        signs[2] += self.random.choice(["", "", *_CONSONANTS])
        return "".join(signs)

    def question(self) -> str:
        """A question of 5 to 18 words, of which three in five are common."""
        length = self.random.randint(5, 18)
        common = self.random.choices(_COMMON, k=length)
        rare = self.random.choices(self.rare, cum_weights=self.shares, k=length)
        words = [c if self.random.random() < 0.6 else r for c, r in zip(common, rare, strict=True)]
        return " ".join(words).capitalize() + "?"

    def schema_and_query(self) -> tuple[str, str]:
        """CREATE TABLE text of one table, and a query on it."""
        table, one, two, value = self.random.sample(self.rare, 4)
        return (
            f"CREATE TABLE t_{table} (id INTEGER, {one}_c TEXT, {two}_d TEXT);",
            f"SELECT {one}_c FROM t_{table} WHERE {two}_d = '{value}'",
        )

    def test_question(self, row: int) -> TestQuestion:
        ddl, sql = self.schema_and_query()
        return TestQuestion(row, "", self.question(), sql, ddl, "all")

    def reworded(self, question: str) -> str:
        """The question with one to three words replaced or with their first letter doubled."""
        words = question.split()
        for at in self.random.sample(range(len(words)), self.random.randint(1, 3)):
            replaced = self.random.random() < 0.5
            words[at] = self.random.choice(_COMMON) if replaced else words[at][:1] + words[at]
        return " ".join(words)

    def rows(self, test: Sequence[TestQuestion], count: int) -> Iterator[tuple[TrainingRow, int | None]]:
        """Yield training rows; every fiftieth rewords a test question, whose number is yielded with it."""
        for number in range(count):
            place = self.random.randrange(len(test)) if number % PLANTED_EVERY == 0 else None
            question = self.question() if place is None else self.reworded(test[place].question)
            yield TrainingRow(str(number), "made", question, *self.schema_and_query()), place


def compare(texts: Texts, test: Sequence[TestQuestion], rows: int, threshold: float) -> bool:
    """Search all rows in both ways, alternating after every block; print seconds, their ratio and recall."""
    ours, theirs, planted = Found(), Found(), set()
    folded = [shingles(fold_question(question.question)) for question in test]
    finder = LeakFinder(test, Rules(question=False, near_question=threshold, same_sql=None))
    minhash = minhash_search(folded, threshold)
    made = texts.rows(test, rows)
    for first in range(0, rows, BLOCK):
        pairs = list(islice(made, BLOCK))
        block = [row for row, _ in pairs]
        ours.add(first, lambda some: [bool(found) for found in finder.evidence(some)], block)
        theirs.add(first, minhash, block)
        for at, (row, place) in enumerate(pairs):
            if (
                place is not None
                and jaccard(shingles(fold_question(row.question)), folded[place]) >= threshold
            ):
                planted.add(first + at)
    return print_comparison(ours, theirs, planted)


def minhash_search(
    test: Sequence[frozenset[str]], threshold: float
) -> Callable[[Sequence[TrainingRow]], list[bool]]:
    """Return the search with datasketch; its candidates are verified, as ours are."""
    index = MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS)
    for place, wanted in enumerate(test):
        index.insert(place, signature(wanted))

    def search(block: Sequence[TrainingRow]) -> list[bool]:
        wanted = [shingles(fold_question(row.question)) for row in block]
        near = ((one, index.query(signature(one))) for one in wanted)
        return [any(jaccard(one, test[place]) >= threshold for place in places) for one, places in near]

    return search


def signature(wanted: frozenset[str]) -> MinHash:
    """Return the MinHash of a set, made in one batch, which is datasketch's fastest way."""
    made = MinHash(num_perm=PERMUTATIONS)
    made.update_batch([shingle.encode() for shingle in wanted])
    return made


def microseconds(texts: Texts, test: Sequence[TestQuestion], rows: int, finder: LeakFinder) -> float:
    """Return how long `finder` takes a row; making the rows does not count."""
    found, made = Found(), texts.rows(test, rows)
    for first in range(0, rows, BLOCK):
        block = [row for row, _ in islice(made, BLOCK)]
        found.add(first, lambda some: [bool(evidence) for evidence in finder.evidence(some)], block)
    return 1e6 * found.seconds / rows


def print_comparison(ours: Found, theirs: Found, planted: set[int]) -> bool:
    """Print the two lines of the comparison and say whether both are within their limits."""
    ratio = theirs.seconds / ours.seconds
    own, other = (len(planted & found.rows) / len(planted) for found in (ours, theirs))
    figures = f"ours {ours.seconds:.2f} s, MinHashLSH {theirs.seconds:.2f} s, ratio {ratio:.1f}"
    fast = print_line("seconds", f"{figures}, limit {LIMITS['ratio']}", ratio >= LIMITS["ratio"])
    figures = f"ours {own:.4f}, MinHashLSH {other:.4f} of {len(planted)} planted near-duplicates"
    return print_line("recall", figures, own == 1.0) and fast


def print_line(label: str, figures: str, good: bool) -> bool:
    """Print one result and say whether it is within its limit."""
    print(f"{label:<16} {figures}: {'good' if good else 'OVER THE LIMIT'}", flush=True)
    return good


if __name__ == "__main__":
    main()
