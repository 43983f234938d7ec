"""What the exact search for examples costs: 1,034 questions against 126,641 training questions.

Vectors are random, of 384 numbers and length one, so no model is needed. The search is that of stage
retrieve_examples in Milvus Lite, with copying and opening the index. Plain is numpy: a product of matrices
and argpartition, on the same vectors, which are in memory already.
"""

from __future__ import annotations

import multiprocessing
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from text2sql.retrieval.index import DIGITS, Hit, build_index, search_index

DIMENSION = 384
RATIO, MEMORY_MIB = 4.0, 2048.0
TARGET_S = 5.0  # on a machine that does nothing else
_BLOCK = 128  # questions that plain numpy compares at a time, for memory


def unit_rows(count: int, seed: int) -> np.ndarray:
    """Random float32 rows of length one, shape (count, DIMENSION)."""
    rows = np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def plain(vectors: np.ndarray, queries: np.ndarray, limit: int) -> np.ndarray:
    """The numbers of the nearest rows of each query, shape (queries, limit), nearest first."""
    found = []
    for start in range(0, len(queries), _BLOCK):
        cosines = queries[start : start + _BLOCK] @ vectors.T
        best = np.argpartition(-cosines, limit - 1, axis=1)[:, :limit]
        order = np.argsort(-np.take_along_axis(cosines, best, axis=1), axis=1)
        found.append(np.take_along_axis(best, order, axis=1))
    return np.concatenate(found)


def searched(path: Path, queries: np.ndarray, limit: int) -> tuple[list[list[Hit]], float, float]:
    """The hits, the seconds, and the peak memory of this process (MiB), which does nothing else."""
    started = time.perf_counter()
    hits = search_index(path, queries, limit)
    seconds = time.perf_counter() - started
    # not getrusage's, which begins with the memory of the process that started this one
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return hits, seconds, int(peak) / 1024


def recall(
    hits: Sequence[Sequence[Hit]], nearest: np.ndarray, vectors: np.ndarray, queries: np.ndarray
) -> float:
    """Share of the hits whose cosine reaches the last of plain's; scores are rounded to DIGITS digits."""
    right = 0
    for query, found, exact in zip(queries, hits, nearest, strict=True):
        least = vectors[exact[-1]] @ query - 10**-DIGITS
        right += sum(vectors[int(row_id)] @ query >= least for row_id, _ in found)
    return right / nearest.size


@click.command()
@click.option("--rows", default=126_641, show_default=True)
@click.option("--questions", default=1_034, show_default=True)
@click.option("--limit", default=30, show_default=True, help="Candidates for a question.")
@click.option("--rounds", default=3, show_default=True, help="Searches of each kind; the best counts.")
def main(rows: int, questions: int, limit: int, rounds: int) -> None:
    """Print seconds, ratio, recall and peak memory; exit status 1 if a limit is exceeded."""
    vectors, queries = unit_rows(rows, 0), unit_rows(questions, 1)
    with (
        tempfile.TemporaryDirectory() as folder,
        multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool,
    ):
        path = Path(folder) / "examples.db"
        started = time.perf_counter()
        build_index(path, [str(number) for number in range(rows)], vectors)
        print(f"insertion of {rows:,} rows: {time.perf_counter() - started:.1f} s", flush=True)
        plain_times, times, peaks = [], [], []
        for _ in range(rounds):
            started = time.perf_counter()
            nearest = plain(vectors, queries, limit)
            plain_times.append(time.perf_counter() - started)
            hits, seconds, peak = pool.apply(searched, (path, queries, limit))
            times.append(seconds)
            peaks.append(peak)
    found = recall(hits, nearest, vectors, queries)
    ratio = min(times) / min(plain_times)
    print(f"search: {min(times):.1f} s, plain numpy {min(plain_times):.1f} s, ratio {ratio:.1f}")
    print(f"the target of {TARGET_S:.0f} s is {'met' if min(times) <= TARGET_S else 'not met'}")
    print(f"recall: {found:.4f}")
    print(f"peak memory of the search: {max(peaks):,.0f} MiB")
    sys.exit(0 if ratio <= RATIO and max(peaks) <= MEMORY_MIB and found == 1 else 1)


if __name__ == "__main__":
    main()
