"""Resumable generation: every finished batch is on disk before the next one is awaited.

The batches are planned from the complete list of requests, so a resumed run has the same batches and gives
the same answers as an uninterrupted one.
Not covered: another machine or number of threads, whose rounding may decide a near tie differently; a
server whose answers do not depend on the seed alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from text2sql.inference.engine import Answer, Engine, Request
from text2sql.journal import Journal
from text2sql.progress import Progress
from text2sql.records import Problem

_FIELDS = {"batch", "prompts", "raw"}
_OPTIONAL = {"logprob", "problem"}
_PROBLEMS = (*get_args(Problem), None)


class BatchJournal:
    """The answers of finished batches, in a journal of {"batch", "prompts", "raw"}.

    If the engine gives log-probabilities, "logprob" has one per answer; if an answer has a problem (see
    `Answer`), "problem" has one or null per answer. `finished` maps the number of a batch to its answers.
    """

    def __init__(self, path: Path, batches: Sequence[Sequence[int]]) -> None:
        """Read the finished batches from the file.

        Raises:
            UserError: a line does not belong to one of `batches`.
        """
        self._batches = batches
        self.finished: dict[int, list[Answer]] = {}
        self._journal = Journal(path, self._replay, "its batch is generated again")

    def append(self, batch: int, answers: list[Answer]) -> None:
        """Write the answers of a batch to disk.

        Raises:
            UserError: writing fails. The file is as it was before.
        """
        texts = [answer.text for answer in answers]
        entry: dict[str, Any] = {"batch": batch, "prompts": list(self._batches[batch]), "raw": texts}
        for name in ("logprob", "problem"):
            values = [getattr(answer, name) for answer in answers]
            if any(value is not None for value in values):
                entry[name] = values
        self._journal.append(entry, f"{len(self.finished)} of {len(self._batches)} batches are kept")
        self.finished[batch] = answers

    def _replay(self, entry: Any) -> str:
        if not self._is_valid(entry):
            return "not an entry of this run"
        columns = [entry["raw"], *(_optional(entry, name) for name in ("logprob", "problem"))]
        self.finished[entry["batch"]] = [Answer(*fields) for fields in zip(*columns, strict=True)]
        return ""

    def _is_valid(self, entry: Any) -> bool:
        if not isinstance(entry, dict) or set(entry) - _OPTIONAL != _FIELDS:
            return False
        batch = entry["batch"]
        if type(batch) is not int or not 0 <= batch < len(self._batches) or batch in self.finished:
            return False
        size = len(self._batches[batch])
        return (
            entry["prompts"] == list(self._batches[batch])
            and _is_list(entry["raw"], size, (str,))
            and _is_list(_optional(entry, "logprob"), size, (float, int, type(None)))
            and _is_list(_optional(entry, "problem"), size, (str, type(None)))
            and all(problem in _PROBLEMS for problem in _optional(entry, "problem"))
        )


def generate_all(
    engine: Engine, requests: Sequence[Request], journal: Path, label: str
) -> list[Answer | None]:
    """The answer to every request, None if its prompt is too long; answers in `journal` are reused.

    Raises:
        UserError: the journal belongs to other batches, the disk is full, or the engine fails.
    """
    batches = engine.plan(requests)
    kept = BatchJournal(journal, batches)
    done = sum(len(answers) for answers in kept.finished.values())
    progress = Progress(sum(map(len, batches)), "answers", label, done)
    waiting = [
        (number, [requests[n] for n in batch])
        for number, batch in enumerate(batches)
        if number not in kept.finished
    ]
    for number, answers in engine.generate(waiting):
        kept.append(number, answers)
        progress.advance(len(answers))
    found: list[Answer | None] = [None] * len(requests)
    for number, batch in enumerate(batches):
        for n, answer in zip(batch, kept.finished[number], strict=True):
            found[n] = answer
    return found


def _optional(entry: dict[str, Any], name: str) -> Any:
    """The values of an optional field, one per answer; None for each answer if the entry does not have it."""
    return entry.get(name, [None] * len(entry["raw"]))


def _is_list(value: Any, size: int, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, list) and len(value) == size and all(type(item) in kinds for item in value)
