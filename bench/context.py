"""Context on Spider dev: recall of what gold queries use, the time of value hints, and of reading a database.

Times are those of this process on its cores: other work on the machine does not count. bench/README.md says
what the lines mean, docs/context.md has the recall.
"""

from __future__ import annotations

import json
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import click
from rapidfuzz import fuzz, process

from bench.evaluate import CORES
from text2sql.context.hints import ValueIndex
from text2sql.context.make import Asked, make_contexts
from text2sql.context.measure import recall
from text2sql.context.settings import Context
from text2sql.context.values import database_values, read_values
from text2sql.databases import database_path
from text2sql.errors import UserError
from text2sql.preparation.outside_data import data_folder
from text2sql.schema.ddl import write_ddl
from text2sql.schema.settings import Prompt
from text2sql.schema.sqlite import read_sqlite
from text2sql.workstore import WorkStore, hash_path

QUESTION_LIMIT_MS, READ_LIMIT_S, RATIO_LIMIT = 20, 1.0, 0.5
BUDGETS = (10, 15, 20, 30, None)
TABLES, COLUMNS, ROWS = 10, 8, 140_000  # of the large database
_SIMILAR = 88.0
_LONGEST = 4  # words that are compared with all values

Gold = tuple[str, str, str]
"""A name, CREATE TABLE text and a gold query."""


@click.command()
@click.option("--hints", default=5, show_default=True, help="Most value hints of a question.")
def main(hints: int) -> None:
    """Print recall, then times with their limits; exit status 1 if a limit is exceeded."""
    try:
        data = data_folder()
    except UserError as error:
        sys.exit(f"error: {error}")
    with tempfile.TemporaryDirectory() as folder:
        store = WorkStore(Path(folder) / "work")
        sets = read_sets(data)
        for name, (asked, golds) in sets.items():
            for budget in BUDGETS:
                print_recall(name, asked, golds, budget, hints, store)
        good = [*compare_hints(sets["Spider dev"][0], hints, store), time_reading(Path(folder))]
    sys.exit(0 if all(good) else 1)


def read_sets(data: Path) -> dict[str, tuple[list[Asked], list[Gold]]]:
    """Questions and gold queries of Spider dev and its two variants, by name."""
    files = {
        "Spider dev": ("spider/dev_sql.json", "input", "output"),
        "Spider-Syn": ("spider_syn/dev.json", "SpiderSynQuestion", "query"),
        "Spider-Realistic": ("spider_realistic/dev.json", "question", "query"),
    }
    schemas: dict[str, str] = {}
    found = {}
    for name, (file, question, gold) in files.items():
        asked, golds = list[Asked](), list[Gold]()
        for number, row in enumerate(json.loads((data / file).read_text(encoding="utf-8"))):
            db_id = row.get("db_id") or row["instruction"].split()[0]
            database = database_path(data / "spider" / "database", db_id)
            if db_id not in schemas:
                schemas[db_id] = write_ddl(read_sqlite(database))
            asked.append(Asked(str(number), database, db_id, row[question], schemas[db_id]))
            golds.append((str(number), schemas[db_id], row[gold]))
        found[name] = (asked, golds)
    return found


def print_recall(
    name: str, asked: Sequence[Asked], golds: Sequence[Gold], budget: int | None, hints: int, store: WorkStore
) -> None:
    """Print one row of the table in docs/context.md."""
    settings = Context(questions="data/test", value_hints=hints, link=budget)
    made, _ = make_contexts(asked, settings, Prompt(schema_types=True), store, CORES)
    found = recall(golds, made).figures()
    characters = sum(len(one.text) for one in made) / len(made)
    cells = [
        name,
        "all" if budget is None else str(budget),
        f"{found['questions']}",
        f"{found['table_recall']:.1f}",
        f"{found['column_recall']:.1f}",
        f"{found['lossy_questions']:.1f}",
        f"{found['value_recall']:.1f}",
        f"{found['value_precision']:.1f}",
        f"{characters:.0f}",
    ]
    print(f"| {' | '.join(cells)} |")


def compare_hints(asked: Sequence[Asked], hints: int, store: WorkStore) -> list[bool]:
    """Time the hints of every question, and rapidfuzz over all texts of its database."""
    values = {one.database: database_values(one.database, store) for one in asked}
    indexes = {file: ValueIndex(found) for file, found in values.items()}
    texts = {file: [text for c in found.columns for text in c.texts] for file, found in values.items()}
    own, peer = list[float](), list[float]()
    for one in asked:
        started = time.process_time()
        indexes[one.database].find(one.question, hints)
        between = time.process_time()
        over_all_values(one.question, texts[one.database], hints)
        own.append(between - started)
        peer.append(time.process_time() - between)
    slowest = 1000 * max(own)
    note = f"ms, the slowest of {len(own)}; the mean is {1000 * sum(own) / len(own):.2f} ms"
    return [
        print_line("hints of a question", slowest, QUESTION_LIMIT_MS, note),
        print_line(
            "hints / rapidfuzz over all values", sum(own) / sum(peer), RATIO_LIMIT, f"({sum(peer):.1f} s)"
        ),
    ]


def over_all_values(question: str, texts: Sequence[str], most: int) -> list[str]:
    """The texts most like a run of the question's words."""
    words = question.lower().rstrip("?.").split()
    runs = [
        " ".join(words[first:last])
        for first in range(len(words))
        for last in range(first + 1, min(first + _LONGEST, len(words)) + 1)
    ]
    found = [
        (score, text)
        for run in runs
        for text, score, _ in process.extract(
            run, texts, scorer=fuzz.ratio, processor=str.lower, score_cutoff=_SIMILAR, limit=most
        )
    ]
    return [text for _, text in sorted(found, reverse=True)[:most]]


def time_reading(folder: Path) -> bool:
    """Time hashing, reading and indexing a large database."""
    file = large_database(folder / "large.sqlite")
    megabytes = file.stat().st_size / 1e6
    started = time.process_time()
    hash_path(file)
    ValueIndex(read_values(file))
    taken = 100 * (time.process_time() - started) / megabytes
    return print_line("index", taken, READ_LIMIT_S, f"s for 100 MB, of a database of {megabytes:.0f} MB")


def large_database(file: Path) -> Path:
    """A database of about 100 MB: names, categories, dates and numbers."""
    chance = random.Random(1)
    words = ["".join(chance.choices("abcdefghijklmnopqrst", k=chance.randint(4, 9))) for _ in range(20_000)]
    with closing(sqlite3.connect(file)) as connection, connection:
        for table in range(TABLES):
            connection.execute(f"CREATE TABLE t{table} (id INTEGER PRIMARY KEY, a, b, c, d, e, f, g)")
            rows = (
                (
                    row,
                    f"{chance.choice(words)} {chance.choice(words)}",
                    words[row % 50],
                    chance.choice(words),
                    row * 7,
                    row / 3,
                    f"{2000 + row % 20}-01-{1 + row % 28:02}",
                    words[row % 3],
                )
                for row in range(ROWS)
            )
            connection.executemany(f"INSERT INTO t{table} VALUES ({', '.join('?' * COLUMNS)})", rows)
    return file


def print_line(label: str, figure: float, limit: float, note: str) -> bool:
    """Print one result; return whether it is within its limit."""
    verdict = "good" if figure <= limit else "OVER THE LIMIT"
    print(f"{label:<36}{figure:>8.2f}  limit {limit:g}  {verdict}  {note}")
    return figure <= limit


if __name__ == "__main__":
    main()
