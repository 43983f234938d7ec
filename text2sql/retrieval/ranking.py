"""Rankings of the examples that were found for a question, and the choice of those that are shown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from rapidfuzz.distance import Indel

from text2sql.processes import spread
from text2sql.progress import Progress
from text2sql.records import ConvertedQuestion, TrainingRow
from text2sql.retrieval.index import DIGITS, Hit
from text2sql.retrieval.rerank import Key, Reranker
from text2sql.retrieval.skeleton import skeleton

_TOKEN = re.compile(r"\w+|[<>=!|]+|\S")  # of a skeleton


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


def by_draft(
    drafts: Sequence[str], found: Sequence[Sequence[Hit]], rows: Mapping[str, TrainingRow]
) -> list[list[Hit]]:
    """Order the hits of each question by how much their queries have the form of its draft, a first query.

    The score is that of `likeness`, 0 where the candidate's query does not parse; ties by cosine, then id. A
    question whose draft does not parse keeps its hits as they are, with their cosines.

    After DAIL-SQL (Gao et al. 2023, arXiv:2308.15363), which prefers, among the questions most alike, those
    whose queries are like a preliminary one. It keeps the order of the questions among all queries above a
    threshold; here the order is that of the queries, so there is no threshold to set.
    """
    progress = Progress(len(drafts), "questions", "rank by draft")
    rankings: list[list[Hit]] = []
    for draft, hits in zip(drafts, found, strict=True):
        rankings.append(_by_draft(skeleton(draft), hits, rows))
        progress.advance()
    return rankings


def _by_draft(wanted: str | None, hits: Sequence[Hit], rows: Mapping[str, TrainingRow]) -> list[Hit]:
    if wanted is None:
        return list(hits)
    forms = [skeleton(rows[row_id].sql) for row_id, _ in hits]
    scored = [
        (round(likeness(wanted, form), DIGITS) if form else 0.0, hit)
        for form, hit in zip(forms, hits, strict=True)
    ]
    scored.sort(key=lambda each: (-each[0], -each[1][1], each[1][0]))
    return [(row_id, score) for score, (row_id, _) in scored]


def likeness(one: str, other: str) -> float:
    """How alike two skeletons are, 0 to 1; 1 only for equal ones.

    Twice the length of their longest common subsequence of tokens, divided by the tokens of both (rapidfuzz's
    Indel similarity). DAIL-SQL takes Jaccard's index of the sets of tokens, which is 1 for one join and three
    as well, because sets have neither number nor order.
    """
    return Indel.normalized_similarity(_TOKEN.findall(one), _TOKEN.findall(other))


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
