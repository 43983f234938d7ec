"""Generation that survives a kill: every finished batch is on disk before the next one starts.

The batches are planned from the whole list of prompts, so a resumed run forms the same ones, and
with greedy decoding it ends with the same answers as a run that was never stopped.
Not covered: another machine or thread count, whose rounding may turn a near tie the other way.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from text2sql.inference.engine import Engine
from text2sql.progress import Progress
from text2sql.records import UserError


class Journal:
    """The answers of finished batches, one JSON line each: {"batch", "prompts", "raw"}.

    `finished` maps a batch's number to its answers. A last line cut short by a kill is dropped with
    a note on stderr. UserError: any other line is not about one of `batches`.
    """

    def __init__(self, path: Path, batches: Sequence[Sequence[int]]) -> None:
        self._path = path
        self._batches = batches
        self.finished: dict[int, list[str]] = {}
        for number, line in enumerate(_whole_lines(path), 1):
            self._replay(number, line)

    def append(self, batch: int, raw: list[str]) -> None:
        """Put a batch's answers on disk. UserError: the disk does not take them."""
        entry = {"batch": batch, "prompts": list(self._batches[batch]), "raw": raw}
        try:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            kept = f"{len(self.finished)} of {len(self._batches)} batches are kept"
            message = f"{self._path}: {error.strerror}; {kept}; mend it and run the same command again"
            raise UserError(message) from error
        self.finished[batch] = raw

    def _replay(self, number: int, line: bytes) -> None:
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        if not self._expects(entry):
            cure = f"`rm {shlex.quote(str(self._path))}` and run again"
            raise UserError(f"{self._path}, line {number}: not an entry of this run; {cure}")
        self.finished[entry["batch"]] = entry["raw"]

    def _expects(self, entry: Any) -> bool:
        if not isinstance(entry, dict) or set(entry) != {"batch", "prompts", "raw"}:
            return False
        batch, raw = entry["batch"], entry["raw"]
        if type(batch) is not int or not 0 <= batch < len(self._batches) or batch in self.finished:
            return False
        texts = isinstance(raw, list) and all(isinstance(text, str) for text in raw)
        return texts and entry["prompts"] == list(self._batches[batch]) and len(raw) == len(entry["prompts"])


def generate_all(
    engine: Engine,
    prompts: Sequence[Sequence[int]],
    batches: Sequence[Sequence[int]],
    journal: Path,
    label: str,
) -> list[str]:
    """The answer to every prompt ("" for one in no batch); `journal` says which are there already.

    UserError: the journal belongs to other batches, or the disk is full.
    """
    log = Journal(journal, batches)
    done = sum(len(raw) for raw in log.finished.values())
    progress = Progress(sum(map(len, batches)), "questions", label, done)
    for number, batch in enumerate(batches):
        if number not in log.finished:
            log.append(number, engine.generate([prompts[n] for n in batch]))
            progress.advance(len(batch))
    answers = [""] * len(prompts)
    for number, batch in enumerate(batches):
        for prompt, raw in zip(batch, log.finished[number], strict=True):
            answers[prompt] = raw
    return answers


def _whole_lines(path: Path) -> list[bytes]:
    """The lines of the journal; a last one without its newline is cut off the file."""
    data = path.read_bytes() if path.exists() else b""
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        note = f"{path}: the last line was cut short; its batch is generated again"
        print(note, file=sys.stderr)
        os.truncate(path, whole)
    return data[:whole].splitlines()
