"""From test questions to predictions: draws answers, chooses among them by vote, and repairs failed queries.

The first round asks the model about all questions, each further round about those without a query that
runs, with the error message of the last query. The results of each round are kept in the work folder, so
that a killed run resumes there: the answers in a journal, the choices in a file that is written at once (a
query close to its time limit may end differently when it is run again).
"""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from text2sql.databases import check_databases, database_path
from text2sql.errors import UserError
from text2sql.evaluation.execution.databases import database_files
from text2sql.evaluation.settings import EvaluationSettings
from text2sql.files import read_jsonl, write_jsonl
from text2sql.inference.advice import advice, unknown_name
from text2sql.inference.engine import Answer, Engine, Request
from text2sql.inference.extract import extract_sql
from text2sql.inference.journal import generate_all
from text2sql.inference.questions import Chat
from text2sql.inference.settings import SamplingPlan
from text2sql.inference.voting import Candidates, Choice, vote
from text2sql.prompts import noted, repaired
from text2sql.records import Prediction
from text2sql.schema.model import Schema
from text2sql.schema.sqlite import read_sqlite
from text2sql.workstore import hash_path

_PROBLEMS = {  # prompts that are too long are listed elsewhere
    "truncated": "answers are truncated; raise predict.max_new_tokens if the model ends its answers at all",
    "empty": "answers have no text",
    "declined": "answers were declined, by the model or by a content filter",
}


@dataclass(frozen=True, slots=True)
class Execution:
    """Where queries run, if at all: a folder of databases in Spider's layout, and the limits of a query."""

    databases: Path
    limits: EvaluationSettings


def database_hashes(chats: Iterable[Chat], databases: Path) -> dict[str, list[str]]:
    """SHA-256 of each database file that the queries of the chats run on, by db_id.

    Raises:
        UserError: a database is missing.
    """
    db_ids = sorted({chat.db_id for chat in chats})
    return {db_id: [hash_path(file) for file in database_files(databases, db_id)] for db_id in db_ids}


def executable_chats(chats: Sequence[Chat], databases: Path) -> list[Chat]:
    """The chats whose queries can be run: all except those of test sets without gold and without databases.

    Raises:
        UserError: databases of the other sets are missing; the message names them.
    """
    needing = {c.test_set for c in chats if c.scored or database_path(databases, c.db_id).is_file()}
    found = [chat for chat in chats if chat.test_set in needing]
    check_databases(databases, ((chat.test_set, chat.db_id) for chat in found))
    return found


def predict_all(
    engine: Engine, chats: Sequence[Chat], plan: SamplingPlan, execution: Execution, work: Path, label: str
) -> list[Prediction]:
    """A prediction for each chat, in order; empty if the prompt is too long (listed on stderr).

    If the plan runs queries, a chat whose queries cannot be run is asked once (see `executable_chats`).

    Raises:
        UserError: the disk is full, the engine fails, or databases are missing.
    """
    runnable = executable_chats(chats, execution.databases) if plan.executes else chats
    found = _rounds(engine, runnable, plan, execution, work, label) if runnable else {}
    rows = {chat.row for chat in runnable}
    others = [chat for chat in chats if chat.row not in rows]
    if others:
        _list_asked_once(others, label)
        (work / "once").mkdir(exist_ok=True)
        found |= _rounds(engine, others, SamplingPlan(seed=plan.seed), execution, work / "once", label)
    predictions = [found.get(chat.row, _not_asked(chat.row)) for chat in chats]
    _list_problems(predictions, label)
    return predictions


def _not_asked(row: int) -> Prediction:
    return Prediction(row, "", "", problems={"prompt_too_long": 1})


def _list_problems(predictions: Sequence[Prediction], label: str) -> None:
    counted: Counter[str] = Counter()
    for prediction in predictions:
        counted.update(prediction.problems or {})
    for problem, what in _PROBLEMS.items():
        if counted[problem]:
            print(f"{label}: {counted[problem]} {what}", file=sys.stderr)


def _list_asked_once(chats: Sequence[Chat], label: str) -> None:
    names = ", ".join(dict.fromkeys(chat.test_set for chat in chats if chat.test_set))
    of_sets = f" of test set {names}" if names else ""
    print(
        f"{label}: {len(chats)} questions{of_sets} have neither gold SQL nor databases; each is asked once, "
        "without a vote or a repair",
        file=sys.stderr,
    )


def _rounds(
    engine: Engine, chats: Sequence[Chat], plan: SamplingPlan, execution: Execution, work: Path, label: str
) -> dict[int, Prediction]:
    """The predictions by row, without those of chats that are too long."""
    found: dict[int, Prediction] = {}
    waiting = list(chats)
    schema_of = _schemas(execution.databases, label)
    for number in range(1 + plan.max_repairs):
        answered = draw(engine, waiting, plan, number, work, label)
        choices = _choices(answered, plan, execution, work / f"votes{_suffix(number)}.jsonl")
        pairs = list(zip(answered, choices, strict=True))
        found |= {a.chat.row: _prediction(a, choice, plan, number) for a, choice in pairs}
        waiting = [_repair_chat(a, choice, schema_of) for a, choice in pairs if choice.failure]
        if not waiting:
            break
    return found


@dataclass(frozen=True, slots=True)
class Answered:
    """A chat with its answers of one round."""

    chat: Chat
    answers: list[Answer]


def draw(
    engine: Engine, chats: Sequence[Chat], plan: SamplingPlan, number: int, work: Path, label: str
) -> list[Answered]:
    """The answers of round `number`; chats that are too long are listed on stderr and left out."""
    requests = [
        Request(chat.messages, _seed(plan.seed, chat.row, number, sample))
        for chat in chats
        for sample in range(plan.samples)
    ]
    drawn = generate_all(engine, requests, work / f"journal{_suffix(number)}.jsonl", label)
    answered = []
    for at, chat in enumerate(chats):
        answers = [a for a in drawn[at * plan.samples : (at + 1) * plan.samples] if a is not None]
        if answers:  # either all samples of a chat have an answer, or its prompt is too long
            answered.append(Answered(chat, answers))
    _list_too_long(engine, chats, answered, label)
    return answered


def _list_too_long(engine: Engine, chats: Sequence[Chat], answered: Sequence[Answered], label: str) -> None:
    rows = {chat.row for chat in chats} - {a.chat.row for a in answered}
    if rows:
        listed = ", ".join(map(str, sorted(rows)))
        print(
            f"{label}: {len(rows)} of {len(chats)} prompts exceed {engine.max_prompt_tokens} tokens (the "
            f"model's context minus max_new_tokens) and get no answer: rows {listed}",
            file=sys.stderr,
        )


def _choices(
    answered: Sequence[Answered], plan: SamplingPlan, execution: Execution, kept: Path
) -> list[Choice]:
    """The chosen answer of each chat; read from the file `kept` if an earlier run wrote it."""
    if not plan.executes:
        return [Choice(0, 1.0, None)] * len(answered)
    if not kept.exists():
        write_jsonl(kept, vote(list(map(_candidates, answered)), execution.databases, execution.limits))
    return [Choice(**row) for row in read_jsonl(kept)]


def _candidates(answered: Answered) -> Candidates:
    queries = tuple(extract_sql(answer.text) for answer in answered.answers)
    return Candidates(answered.chat.db_id, queries, tuple(answer.logprob for answer in answered.answers))


def _prediction(answered: Answered, choice: Choice, plan: SamplingPlan, number: int) -> Prediction:
    raw = answered.answers[choice.chosen].text
    return Prediction(
        answered.chat.row,
        extract_sql(raw),
        raw,
        agreement=choice.agreement if plan.samples > 1 else None,
        tries=number + 1 if plan.max_repairs else None,
        problems=dict(sorted(Counter(a.problem for a in answered.answers if a.problem).items())) or None,
    )


def _schemas(databases: Path, label: str) -> Callable[[str], Schema | None]:
    """A function that reads the schema of a database once; None, said on stderr, where it has none."""

    @cache
    def read(db_id: str) -> Schema | None:
        try:
            return read_sqlite(database_path(databases, db_id))
        except UserError as error:
            print(f"{label}: no notes on the names of {db_id}: {error}", file=sys.stderr)
            return None

    return read


def _repair_chat(answered: Answered, choice: Choice, schema_of: Callable[[str], Schema | None]) -> Chat:
    """The chat with a note on the name that is not there, or followed by the chosen answer and its error.

    A small model that sees its own query mostly repeats it, so a note comes without it, and only once.
    """
    chat, failure = answered.chat, str(choice.failure)
    unknown = unknown_name(failure)
    schema = schema_of(chat.db_id) if unknown else None
    note = advice(unknown, schema) if unknown and schema else ""
    if note and not any(note in message["content"] for message in chat.messages):
        return replace(chat, messages=noted(chat.messages, note))
    answer = answered.answers[choice.chosen].text
    return replace(chat, messages=repaired(chat.messages, extract_sql(answer) or answer, failure))


def _seed(*place: int) -> int:
    """The seed of one answer, from 0 to 2**32 - 1: a hash of `place`, so that seeds are independent."""
    return int.from_bytes(hashlib.sha256(repr(place).encode()).digest()[:4])


def _suffix(number: int) -> str:
    return f"-{number}" if number else ""
