"""Rows per second of training with and without packing, with rows of which many are on one schema.

LLaMA-Factory trains a model with random weights for one pass over the same rows: unpacked, packed, and packed
with shared prefixes. bench/README.md explains the output.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
from pathlib import Path

import click

from bench.train import SEED, print_lengths
from scripts.profiles import load_profile
from text2sql.base_models.tiny import initialise, train_tokenizer
from text2sql.builtin.benchmark import build_benchmark
from text2sql.files import read_json, read_jsonl
from text2sql.training.dataset import turn, write_dataset
from text2sql.training.launch import launch
from text2sql.training.lengths import row_lengths
from text2sql.training.nodes import Nodes
from text2sql.training.recipe import PACKING, llamafactory_config
from text2sql.training.settings import Recipe

QUESTIONS = 50  # on one schema, as in Spider
SCHEMAS = 4  # of generated rows that make a schema of about Spider's length
LIMIT = 1.5  # times the rows per second of unpacked training
UNPACKED = Recipe(
    template="qwen3",
    cutoff_len=512,
    optimizer="adamw",
    learning_rate=1.0e-4,
    scheduler="cosine",
    warmup_ratio=0.05,
    weight_decay=0.01,
    precision="fp32",
    group_by_length=True,
    seed=SEED,
    logging_steps=10,
    save_steps=1000,
    threads=2,
    epochs=1.0,
    global_batch=12,
    device_batch=12,
)
PACKED = UNPACKED.replace(packing=True, group_by_length=False, global_batch=6, device_batch=1)
# a step of each kind has about 12 rows
SHARED = PACKED.replace(packing="shared_prefix", global_batch=3)
RECIPES = {"unpacked": UNPACKED, "packed": PACKED, "shared_prefix": SHARED}


@click.command()
@click.option("--rows", default=600, show_default=True, help="Training rows.")
@click.option("--rounds", default=3, show_default=True, help="Trainings of each kind, alternately.")
@click.option("--hidden", default=256, show_default=True, help="Width of the model, which has four layers.")
def main(rows: int, rounds: int, hidden: int) -> None:
    """Print rows per second of each kind; exit status 1 if shared prefixes are below the limit."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        make_inputs(place, rows, hidden)
        speeds: dict[str, list[float]] = {name: [] for name in RECIPES}
        for number in range(1, rounds + 1):
            for name, recipe in RECIPES.items():
                speeds[name].append(rows / train_once(recipe, place, f"{name}, round {number} of {rounds}"))
    sys.exit(0 if report({name: statistics.median(found) for name, found in speeds.items()}) else 1)


def make_inputs(place: Path, rows: int, hidden: int) -> None:
    """Write `place`/base and `place`/dataset: groups of `QUESTIONS` rows on one schema, in random order."""
    build_benchmark(place / "raw", SEED, train_rows=rows, test_rows=1)
    made = list(read_jsonl(place / "raw" / "train" / "embedded.jsonl"))
    rng = random.Random(SEED)
    schemas = [
        "\n".join(row["context"] for row in rng.sample(made, SCHEMAS)) for _ in range(0, rows, QUESTIONS)
    ]
    turns = [
        turn(schemas[number // QUESTIONS], row["prompt"], row["answer"])
        for number, row in enumerate(made[:rows])
    ]
    tiny = load_profile("embedded").fetch_model.tiny
    train_tokenizer((text for row in made for text in row.values()), tiny.vocab_size, place / "base")
    initialise(tiny.replace(seed=SEED, hidden_size=hidden, layers=4), place / "base")
    print_lengths(row_lengths(place / "base", turns, enough=0, answer_tokens=2))
    write_dataset(rng.sample(turns, len(turns)), place / "dataset")


def train_once(recipe: Recipe, place: Path, label: str) -> float:
    """Train for one pass over the rows; returns the seconds of the trainer's loop."""
    with tempfile.TemporaryDirectory(dir=place) as scratch:
        work = Path(scratch)
        config = llamafactory_config(recipe, place / "base", place / "dataset", work / "run")
        launch(recipe, config | {"save_strategy": "no"}, work, Nodes(), label)
        if (work / PACKING).is_file():
            print(f"{label}: {(work / PACKING).read_text(encoding='utf-8')}", flush=True)
        return float(read_json(work / "run" / "train_results.json")["train_runtime"])


def report(speeds: dict[str, float]) -> bool:
    """Print a line for each kind; returns whether shared prefixes reach the limit."""
    plain = speeds["unpacked"]
    for name, speed in speeds.items():
        print(f"{name:<13} {speed:.2f} rows/s, {speed / plain:.2f} times unpacked", flush=True)
    good = speeds["shared_prefix"] >= LIMIT * plain
    print(f"limit for shared_prefix: {LIMIT:.2f} times: {'good' if good else 'UNDER THE LIMIT'}")
    return good


if __name__ == "__main__":
    main()
