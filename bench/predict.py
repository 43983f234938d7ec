"""Speed of prediction in batches, compared with one question at a time, with the same engine and model.

Without --weights the model is random and has the size of the built-in one. bench/README.md explains the
output.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click

from text2sql.base_models.settings import TinyModel
from text2sql.base_models.tiny import initialise, train_tokenizer
from text2sql.inference.engine import Request
from text2sql.inference.questions import read_chats
from text2sql.inference.settings import Batching, Decoding
from text2sql.inference.transformers_engine import TransformersEngine
from text2sql.inference.weights import resolve_weights
from text2sql.prompts import messages

LIMIT = 2.0  # times as fast as one by one
SHAPE = TinyModel(seed=0)  # as in profile embedded
BATCHES = Batching(batch_tokens=16_384, max_batch=48)
ONE_BY_ONE = Batching(batch_tokens=1, max_batch=1)
GREEDY = Decoding(max_new_tokens=80)
DRAWN = Decoding(max_new_tokens=80, temperature=0.8, top_p=0.95, likelihood=True)

existing = click.Path(exists=True, path_type=Path)


@click.command()
@click.option("--weights", type=existing, help="A model or adapter, such as models/full.")
@click.option("--questions", type=existing, help="JSON lines, such as data/test/test.jsonl.")
@click.option("--count", default=48, show_default=True, help="Number of questions.")
@click.option("--rounds", default=3, show_default=True, help="Runs of each; medians are printed.")
def main(weights: Path | None, questions: Path | None, count: int, rounds: int) -> None:
    """Print seconds and their ratio; exit status 1 if it is below the limit."""
    requests = read_requests(questions, count) if questions else generated_requests(count)
    with tempfile.TemporaryDirectory() as folder:
        model = weights or random_model(requests, Path(folder))
        good = [
            compare("greedy", model, GREEDY, requests, rounds),
            compare("drawn", model, DRAWN, requests, rounds),
        ]
    sys.exit(0 if all(good) else 1)


def read_requests(questions: Path, count: int) -> list[Request]:
    """The first `count` questions of a file of the pipeline."""
    return [Request(chat.messages, chat.row) for chat in read_chats(questions, False)[:count]]


def generated_requests(count: int) -> list[Request]:
    """Questions on schemas of one to four tables, so that the prompts have different lengths."""
    table = "CREATE TABLE concert_{} (id, name, year, stadium_id, singer_id, price);\n"
    return [
        Request(messages("".join(map(table.format, range(1 + n % 4))), f"Which names have price {n}?"), n)
        for n in range(count)
    ]


def random_model(requests: Sequence[Request], folder: Path) -> Path:
    """A random model with a tokenizer for the requests; nearly all its answers have the maximum length."""
    train_tokenizer([turn["content"] for r in requests for turn in r.messages], SHAPE.vocab_size, folder)
    initialise(SHAPE, folder)
    return folder


def compare(label: str, model: Path, decoding: Decoding, requests: Sequence[Request], rounds: int) -> bool:
    """Time both alternately, so that a slow minute of the machine affects both; print the medians."""
    single = TransformersEngine(resolve_weights(model), decoding, ONE_BY_ONE, threads=1)
    batched = TransformersEngine(resolve_weights(model), decoding, BATCHES, threads=1)
    for engine in (single, batched):
        answer(engine, requests[:1])  # loads the weights
    times = [(answer(single, requests), answer(batched, requests)) for _ in range(rounds)]
    a, b = (statistics.median(column) for column in zip(*times, strict=True))
    good = a / b >= LIMIT
    print(
        f"{label:<8} {len(requests)} questions: one by one {a:6.2f} s, in batches {b:6.2f} s, "
        f"{a / b:5.2f} times as fast, limit {LIMIT:.2f}: {'good' if good else 'UNDER THE LIMIT'}",
        flush=True,
    )
    return good


def answer(engine: TransformersEngine, requests: Sequence[Request]) -> float:
    """Answer all requests; returns the seconds."""
    started = time.perf_counter()
    batches = engine.plan(requests)
    for _ in engine.generate([(n, [requests[i] for i in batch]) for n, batch in enumerate(batches)]):
        pass
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
