"""How fast and how completely near-duplicates are found, compared with datasketch's MinHashLSH.

Both get the same folded questions, three-character shingles and threshold, and search the same blocks of rows
alternately. The rows are generated. Then the rule same_result on generated databases, compared with running
each query once. See bench/README.md for what is printed.
"""

from __future__ import annotations

import random
import resource
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import accumulate, islice
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from datasketch import MinHash, MinHashLSH

from text2sql.contamination.databases import NO_SCHEMA, Place
from text2sql.contamination.folding import fold_question
from text2sql.contamination.leaks import LeakFinder
from text2sql.contamination.near import jaccard, shingles
from text2sql.contamination.same_result import SameResults
from text2sql.contamination.settings import Rules
from text2sql.databases import database_path
from text2sql.records import TestQuestion, TrainingRow

TEST_ROWS = 1_034
BLOCK = 4_096
PERMUTATIONS = 128  # datasketch's default
PLANTED_EVERY = 50  # rows
DATABASES = 20
TABLE_ROWS = 200
# times, times, MiB, times, minutes
LIMITS = {"ratio": 5.0, "growth": 1.25, "memory": 4_096, "results": 12.0, "minutes": 10.0}
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
@click.option(
    "--results", default=20_000, show_default=True, help="Distinct queries for same_result; 0: none."
)
def main(rows: int, threshold: float, large: int, results: int) -> None:
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
    if results:
        good += same_result(results, rows)
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
        """Yield training rows; every fiftieth rewords a test question, whose number is yielded with it.

        Such a row has the test query: with another one it would not leak the question.
        """
        for number in range(count):
            place = self.random.randrange(len(test)) if number % PLANTED_EVERY == 0 else None
            question = self.question() if place is None else self.reworded(test[place].question)
            ddl, sql = self.schema_and_query() if place is None else (test[place].schema, test[place].gold)
            yield TrainingRow(str(number), "made", question, ddl, sql), place


def compare(texts: Texts, test: Sequence[TestQuestion], rows: int, threshold: float) -> bool:
    """Search all rows in both ways, alternating after every block; print seconds, their ratio and recall."""
    ours, theirs, planted = Found(), Found(), set()
    folded = [shingles(fold_question(question.question)) for question in test]
    rules = Rules(question=False, contains=False, near_question=threshold, same_sql=None)
    finder = LeakFinder(test, rules)
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


def same_result(queries: int, rows: int) -> list[bool]:
    """Time the rule on distinct queries, all on test databases, which is the worst case; print two lines.

    The peer runs each query once on its database, in one process and without any check.
    """
    rng = random.Random(11)
    with TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(DATABASES):
            write_database(folder, f"db{number}", rng)
        test = [
            TestQuestion(at, f"db{at % DATABASES}", "?", query(rng), "", "all") for at in range(TEST_ROWS)
        ]
        train = [
            TrainingRow(str(at), "made", "?", "", query(rng), f"db{at % DATABASES}") for at in range(queries)
        ]
        started = time.monotonic()
        with closing(SameResults(test, folder)) as results:
            ready = time.monotonic()
            for first in range(0, queries, BLOCK):
                results.find(train[first : first + BLOCK], lambda row: Place(NO_SCHEMA, row.db_id))
        seconds = time.monotonic() - ready
        ratio = seconds / run_once(folder, train)
    minutes = (ready - started + seconds * rows / queries) / 60
    figures = f"{queries} queries {seconds:.1f} s, {ratio:.1f} times as long as running each once"
    return [
        print_line("same_result", f"{figures}, limit {LIMITS['results']}", ratio <= LIMITS["results"]),
        print_line(
            "same_result",
            f"{rows} such rows {minutes:.1f} minutes, limit {LIMITS['minutes']}",
            minutes <= LIMITS["minutes"],
        ),
    ]


def write_database(folder: Path, name: str, rng: random.Random) -> None:
    """Write a database of two tables, of which one refers to the other."""
    path = database_path(folder, name)
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, age INTEGER, city TEXT);"
            "CREATE TABLE visit (id INTEGER PRIMARY KEY, person_id INTEGER REFERENCES person, cost REAL);"
        )
        people = [(at, f"p{at}", rng.randrange(18, 90), f"c{rng.randrange(12)}") for at in range(TABLE_ROWS)]
        visits = [(at, rng.randrange(TABLE_ROWS // 2), rng.random() * 100) for at in range(TABLE_ROWS)]
        connection.executemany("INSERT INTO person VALUES (?, ?, ?, ?)", people)
        connection.executemany("INSERT INTO visit VALUES (?, ?, ?)", visits)
        connection.commit()


def query(rng: random.Random) -> str:
    """Return a query with random values, in one of four forms."""
    age, city, cost = rng.randrange(18, 90), f"c{rng.randrange(12)}", round(rng.random() * 100, 2)
    return rng.choice(
        [
            f"SELECT name FROM person WHERE age > {age} AND city != '{city}'",
            f"SELECT city, count(*) FROM person WHERE age < {age} GROUP BY city",
            f"SELECT p.name FROM person p JOIN visit v ON p.id = v.person_id WHERE v.cost > {cost}",
            f"SELECT name FROM person WHERE id NOT IN (SELECT person_id FROM visit WHERE cost < {cost})",
        ]
    )


def run_once(folder: Path, rows: Sequence[TrainingRow]) -> float:
    """Return the seconds that it takes to run each query once."""
    paths = {name: database_path(folder, name) for name in {row.db_id for row in rows}}
    connections = {name: sqlite3.connect(path) for name, path in paths.items()}
    started = time.monotonic()
    for row in rows:
        connections[row.db_id].execute(row.sql).fetchall()
    seconds = time.monotonic() - started
    for connection in connections.values():
        connection.close()
    return seconds


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
