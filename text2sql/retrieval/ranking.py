"""Rankings of the examples that were found for a question, and the choice of those that are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from text2sql.processes import spread
from text2sql.progress import Progress
from text2sql.records import ConvertedQuestion, TrainingRow
from text2sql.retrieval.index import DIGITS, Hit
from text2sql.retrieval.rerank import Key, Reranker


def rerank(
    questions: Sequence[ConvertedQuestion],
    found: Sequence[Sequence[Hit]],
    rows: Mapping[str, TrainingRow],
    reranker: Reranker,
    key: Key,
    processes: int,
) -> list[list[Hit]]:
    """Order the hits of each question by the score of the reranker, ties by id."""

    def rank(number: int) -> list[Hit]:
        ids = [row_id for row_id, _ in found[number]]
        scores = reranker.score(questions[number], [rows[row_id] for row_id in ids], key)
        scored = [(i, round(score, DIGITS)) for i, score in zip(ids, scores, strict=True)]
        return sorted(scored, key=lambda hit: (-hit[1], hit[0]))

    candidates = {row_id for hits in found for row_id, _ in hits}
    reranker.prepare(questions, [rows[row_id] for row_id in sorted(candidates)], key)
    progress = Progress(len(questions), "questions", f"rerank by {key}")
    rankings: dict[int, list[Hit]] = {}
    for number, ranking in spread(rank, range(len(questions)), processes):
        rankings[number] = ranking
        progress.advance()
    return [rankings[number] for number in range(len(questions))]


def distinct(ranking: Sequence[Hit], questions: Mapping[str, str]) -> list[Hit]:
    """The hits in their order, without those whose question an earlier one has; `questions` by row id."""
    best: dict[str, Hit] = {}
    for hit in ranking:
        best.setdefault(questions[hit[0]], hit)
    return list(best.values())


def choose(
    ranking: Sequence[Hit], top_k: int, mmr_lambda: float, vectors: Mapping[str, np.ndarray]
) -> list[Hit]:
    """The `top_k` best hits; with a lambda below 1 each is also as unlike those before as it can be.

    Maximal marginal relevance (Carbonell & Goldstein 1998): lambda times the score, minus (1 - lambda) times
    the highest cosine with a hit taken before; equal ones in the order of the ranking. `vectors` has a row
    of length one for each hit, and is not used with lambda 1.
    """
    if mmr_lambda == 1:
        return list(ranking[:top_k])
    taken: list[Hit] = []
    waiting = list(ranking)
    while waiting and len(taken) < top_k:
        best = max(waiting, key=lambda hit: _marginal(hit, taken, mmr_lambda, vectors))
        waiting.remove(best)
        taken.append(best)
    return taken


def _marginal(hit: Hit, taken: Sequence[Hit], mmr_lambda: float, vectors: Mapping[str, np.ndarray]) -> float:
    nearest = max((float(vectors[hit[0]] @ vectors[other]) for other, _ in taken), default=0.0)
    return round(mmr_lambda * hit[1] - (1 - mmr_lambda) * nearest, DIGITS)
