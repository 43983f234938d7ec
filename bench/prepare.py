"""How fast training rows are prepared, compared with only reading their JSON.

The rows are generated, of the length of sql-create-context; one core. See bench/README.md.
"""

from __future__ import annotations

import json
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from text2sql.preparation.settings import Prepare
from text2sql.preparation.training import Counts, prepare_training

LIMITS = {0.3: 20_000.0}
"""The least rows a second, by the share of rows that have a schema of their own."""

MEMORY_LIMIT_MIB = 4096
_SHARED = 200  # databases that the other rows use
_WORDS = "age city country date id name price rating season team title total year".split()  # noqa: SIM905


@click.command()
@click.option("--rows", default=126_641, show_default=True, help="Rows to generate for each line.")
@click.option("--rounds", default=3, show_default=True, help="Runs of each line; medians are printed.")
@click.option(
    "--own", default=(0.3, 1.0), multiple=True, show_default=True, help="Share of rows with their own schema."
)
@click.option("--seed", default=1, show_default=True)
def main(rows: int, rounds: int, own: tuple[float, ...], seed: int) -> None:
    """Print rows a second, the ratio to json.loads and peak memory; exit status 1 if a limit is exceeded."""
    good = []
    with tempfile.TemporaryDirectory() as name:
        for share in own:
            raw = write_rows(Path(name), rows, share, seed)
            good.append(compare(raw, rows, rounds, share))
    good.append(print_memory())
    sys.exit(0 if all(good) else 1)


def write_rows(folder: Path, rows: int, own: float, seed: int) -> Path:
    """Write FOLDER/raw/train/made.jsonl; a share of `own` has schemas of its own; returns FOLDER/raw."""
    raw = folder / "raw"
    (raw / "train").mkdir(parents=True, exist_ok=True)
    with open(raw / "train" / "made.jsonl", "w", encoding="utf-8") as file:
        for row in generate(rows, own, random.Random(seed)):
            file.write(json.dumps(row) + "\n")
    return raw


def generate(rows: int, own: float, rng: random.Random) -> Iterator[dict[str, str]]:
    """Rows with schemas in random order. Two in a hundred name a column that does not exist."""
    shared = [[_table(rng, f"t{number}_{at}") for at in range(3)] for number in range(_SHARED)]
    for number in range(rows):
        tables = [_table(rng, f"table_{number}")] if rng.random() < own else rng.choice(shared)
        name, columns = rng.choice(tables)
        column, condition = rng.sample(columns, 2)
        value = f"{rng.choice(_WORDS)} {rng.randrange(10_000)}"
        missing = "_x" if rng.random() < 0.02 else ""
        yield {
            "question": f"Of all in {name}, what is the highest {column} whose {condition} is {value}?",
            "context": "; ".join(
                f"CREATE TABLE {table} ({', '.join(f'{part} VARCHAR' for part in parts)})"
                for table, parts in tables
            ),
            "answer": f'SELECT MAX({column}{missing}) FROM {name} WHERE {condition} = "{value}"',
        }


def _table(rng: random.Random, name: str) -> tuple[str, list[str]]:
    return name, rng.sample(_WORDS, rng.randint(2, 6))


def compare(raw: Path, rows: int, rounds: int, own: float) -> bool:
    """Time both alternately, so that both are equally affected by other load; print the medians."""
    plain, ours = [], []
    for _ in range(rounds):
        plain.append(seconds(lambda: read(raw / "train" / "made.jsonl")))
        ours.append(seconds(lambda: prepare(raw)))
    a, b = statistics.median(plain), statistics.median(ours)
    size = (raw / "train" / "made.jsonl").stat().st_size / rows
    figures = f"{rows / b:7,.0f} rows/s of {size:.0f} bytes, {b / a:5.1f} times json.loads alone"
    label = f"{own:.0%} own schemas"
    if own not in LIMITS:
        print(f"{label:<18} {figures}", flush=True)
        return True
    return print_line(label, f"{figures}, limit {LIMITS[own]:,.0f} rows/s", rows / b >= LIMITS[own])


def read(path: Path) -> None:
    with open(path, "rb") as file:
        for line in file:
            json.loads(line)


def prepare(raw: Path) -> Counts:
    with tempfile.TemporaryDirectory() as output:
        return prepare_training(raw, Path(output), Prepare(sql_check="compile"))


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds, which depend less on other processes than wall-clock time."""
    start = time.process_time()
    work()
    return time.process_time() - start


def print_memory() -> bool:
    """Print the peak memory of this process; the rows are made as they are written."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return print_line("peak memory", f"{peak:.0f} MiB, limit {MEMORY_LIMIT_MIB}", peak <= MEMORY_LIMIT_MIB)


def print_line(label: str, figures: str, good: bool) -> bool:
    """Print one result and say whether it is within its limit."""
    print(f"{label:<18} {figures}: {'good' if good else 'OVER THE LIMIT'}", flush=True)
    return good


if __name__ == "__main__":
    main()
