"""From test questions to predictions: answers are drawn, voted on, and repaired.

A round asks the model about each question that has no query that runs: the first one about all, each
further one with the error of the last. All that a round found is kept in the work folder, so that a
run that is killed anywhere goes on there: the answers in its journal, the votes in a file that is
written whole (a query close to its time limit may end differently when it is run again).
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from text2sql.evaluation.execution.databases import database_files
from text2sql.evaluation.settings import EvaluationSettings
from text2sql.files import read_jsonl, write_jsonl
from text2sql.inference.engine import Answer, Engine, Request
from text2sql.inference.extract import extract_sql
from text2sql.inference.journal import generate_all
from text2sql.inference.questions import Chat
from text2sql.inference.settings import SamplingPlan
from text2sql.inference.voting import Ballot, Vote, vote
from text2sql.prompts import repair_turns
from text2sql.records import Prediction
from text2sql.workstore import hash_path


@dataclass(frozen=True, slots=True)
class Execution:
    """Where queries are run, if they are: databases in Spider's layout, and the limits of a query."""

    databases: Path
    limits: EvaluationSettings


def database_hashes(chats: Iterable[Chat], databases: Path) -> dict[str, list[str]]:
    """SHA-256 of each file that the chats' queries run on, by db_id. UserError: one is missing."""
    asked = sorted({chat.db_id for chat in chats})
    return {db_id: [hash_path(file) for file in database_files(databases, db_id)] for db_id in asked}


def predict_all(
    engine: Engine, chats: Sequence[Chat], plan: SamplingPlan, execution: Execution, work: Path, label: str
) -> list[Prediction]:
    """A prediction for each chat, in order; an empty one where the prompt is too long (see stderr).

    UserError: the disk is full, or the engine fails.
    """
    found: dict[int, Prediction] = {}
    waiting = list(chats)
    for number in range(1 + plan.max_repairs):
        asked = _draw(engine, waiting, plan, number, work, label)
        results = _votes(asked, plan, execution, work / f"votes{_suffix(number)}.jsonl")
        found |= {a.chat.row: _prediction(a, r, plan, number) for a, r in zip(asked, results, strict=True)}
        waiting = [_shown(a, r) for a, r in zip(asked, results, strict=True) if r.failure]
        if not waiting:
            break
    return [found.get(chat.row, Prediction(chat.row, "", "")) for chat in chats]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A chat, and the answers drawn to it in one round."""

    chat: Chat
    answers: list[Answer]


def _draw(
    engine: Engine, chats: Sequence[Chat], plan: SamplingPlan, number: int, work: Path, label: str
) -> list[_Asked]:
    """The answers of round `number`; chats that are too long are noted and left out."""
    requests = [
        Request(chat.messages, _seed(plan.seed, chat.row, number, sample))
        for chat in chats
        for sample in range(plan.samples)
    ]
    drawn = generate_all(engine, requests, work / f"journal{_suffix(number)}.jsonl", label)
    asked = []
    for at, chat in enumerate(chats):
        answers = [a for a in drawn[at * plan.samples : (at + 1) * plan.samples] if a is not None]
        if answers:  # the samples of a chat are all there or all too long
            asked.append(_Asked(chat, answers))
    _note_long(engine, chats, asked, label)
    return asked


def _note_long(engine: Engine, chats: Sequence[Chat], asked: Sequence[_Asked], label: str) -> None:
    rows = {chat.row for chat in chats} - {a.chat.row for a in asked}
    if rows:
        listed = ", ".join(map(str, sorted(rows)))
        print(
            f"{label}: {len(rows)} of {len(chats)} prompts exceed {engine.max_prompt_tokens} tokens (the "
            f"model's context less the answer) and get no answer: rows {listed}",
            file=sys.stderr,
        )


def _votes(asked: Sequence[_Asked], plan: SamplingPlan, execution: Execution, kept: Path) -> list[Vote]:
    """Which answer of each is taken; read from `kept` if the round got as far before."""
    if not plan.executes:
        return [Vote(0, 1.0, None)] * len(asked)
    if not kept.exists():
        ballots = [_ballot(a) for a in asked]
        write_jsonl(kept, vote(ballots, execution.databases, execution.limits))
    return [Vote(**row) for row in read_jsonl(kept)]


def _ballot(asked: _Asked) -> Ballot:
    queries = tuple(extract_sql(answer.text) for answer in asked.answers)
    return Ballot(asked.chat.db_id, queries, tuple(answer.logprob for answer in asked.answers))


def _prediction(asked: _Asked, result: Vote, plan: SamplingPlan, number: int) -> Prediction:
    raw = asked.answers[result.chosen].text
    return Prediction(
        asked.chat.row,
        extract_sql(raw),
        raw,
        agreement=result.agreement if plan.samples > 1 else None,
        tries=number + 1 if plan.max_repairs else None,
    )


def _shown(asked: _Asked, result: Vote) -> Chat:
    """The chat with the answer that was taken and with what is wrong with it."""
    answer = asked.answers[result.chosen].text
    turns = repair_turns(extract_sql(answer) or answer, str(result.failure))
    return replace(asked.chat, messages=[*asked.chat.messages, *turns])


def _seed(*place: int) -> int:
    """A number for one answer, from 0 to 2**32 - 1; different places share no random numbers."""
    return int.from_bytes(hashlib.sha256(repr(place).encode()).digest()[:4])


def _suffix(number: int) -> str:
    return f"-{number}" if number else ""
