"""Generation that survives a kill: every finished batch is on disk before the next one is waited for.

The batches are planned from the whole list of requests, so a resumed run forms the same ones, and
it ends with the same answers as a run that was never stopped.
Not covered: another machine or thread count, whose rounding may turn a near tie the other way; an
endpoint whose answers do not follow the seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from text2sql.inference.engine import Answer, Engine, Request
from text2sql.journal import Journal
from text2sql.progress import Progress

_FIELDS = {"batch", "prompts", "raw"}


class BatchJournal:
    """The answers of finished batches, in a journal of {"batch", "prompts", "raw"}.

    Where an engine tells log-probabilities, "logprob" has one for each answer. `finished` maps a
    batch's number to its answers.
    """

    def __init__(self, path: Path, batches: Sequence[Sequence[int]]) -> None:
        """Read what the file holds.

        Raises:
            UserError: a line is not about one of `batches`.
        """
        self._batches = batches
        self.finished: dict[int, list[Answer]] = {}
        self._journal = Journal(path, self._replay, "its batch is generated again")

    def append(self, batch: int, answers: list[Answer]) -> None:
        """Put a batch's answers on disk.

        Raises:
            UserError: the disk does not take them. The file ends as it did before.
        """
        texts, logprobs = [a.text for a in answers], [a.logprob for a in answers]
        entry: dict[str, Any] = {"batch": batch, "prompts": list(self._batches[batch]), "raw": texts}
        if any(logprob is not None for logprob in logprobs):
            entry["logprob"] = logprobs
        self._journal.append(entry, f"{len(self.finished)} of {len(self._batches)} batches are kept")
        self.finished[batch] = answers

    def _replay(self, entry: Any) -> str:
        if not self._expects(entry):
            return "not an entry of this run"
        logprobs = entry.get("logprob", [None] * len(entry["raw"]))
        self.finished[entry["batch"]] = [Answer(*pair) for pair in zip(entry["raw"], logprobs, strict=True)]
        return ""

    def _expects(self, entry: Any) -> bool:
        if not isinstance(entry, dict) or set(entry) - {"logprob"} != _FIELDS:
            return False
        batch = entry["batch"]
        if type(batch) is not int or not 0 <= batch < len(self._batches) or batch in self.finished:
            return False
        size = len(self._batches[batch])
        logprobs = entry.get("logprob", [None] * size)
        return (
            entry["prompts"] == list(self._batches[batch])
            and _is_list(entry["raw"], size, (str,))
            and _is_list(logprobs, size, (float, int, type(None)))
        )


def generate_all(
    engine: Engine, requests: Sequence[Request], journal: Path, label: str
) -> list[Answer | None]:
    """The answer to every request, None to one that is too long; `journal` says which are there already.

    UserError: the journal belongs to other batches, the disk is full, or the engine fails.
    """
    batches = engine.plan(requests)
    log = BatchJournal(journal, batches)
    done = sum(len(answers) for answers in log.finished.values())
    progress = Progress(sum(map(len, batches)), "answers", label, done)
    waiting = [
        (number, [requests[n] for n in batch])
        for number, batch in enumerate(batches)
        if number not in log.finished
    ]
    for number, answers in engine.generate(waiting):
        log.append(number, answers)
        progress.advance(len(answers))
    found: list[Answer | None] = [None] * len(requests)
    for number, batch in enumerate(batches):
        for n, answer in zip(batch, log.finished[number], strict=True):
            found[n] = answer
    return found


def _is_list(value: Any, size: int, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, list) and len(value) == size and all(type(item) in kinds for item in value)
