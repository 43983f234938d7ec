"""Answers of a language model that outlive the process: each is on disk before anything else is sent.

Not covered: an answer that was still on its way when the process was killed; it was never read in
whole, so its request is sent again.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from text2sql.errors import UserError


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Answer(_Strict):
    """What a model said, why it stopped ("stop", "length", None if untold), and tokens read and written."""

    text: str
    finish: str | None
    tokens_in: int
    tokens_out: int


class _Entry(_Strict):
    request: str
    answer: Answer


class AnswerJournal:
    """Answers by request, one JSON line each: {"request", "answer"}; `request` is a hash.

    A last line cut short by a kill is cut off with a note on stderr. UserError: any other line is
    not an entry, or a request stands there twice.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answers: dict[str, Answer] = {}
        self.tokens_in = self.tokens_out = 0  # of all answers
        for number, line in enumerate(_whole_lines(path), 1):
            self._replay(number, line)

    def append(self, request: str, answer: Answer) -> None:
        """Put an answer on disk. UserError: the disk does not take it; the file ends as it did before."""
        line = _Entry(request=request, answer=answer).model_dump_json() + "\n"
        size = self.path.stat().st_size if self.path.exists() else 0
        try:
            with open(self.path, "ab") as file:
                file.write(line.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            if self.path.exists():
                os.truncate(self.path, size)  # other answers may still come in: no half line before them
            kept = f"answers kept: {len(self.answers)}"
            message = f"{self.path}: {error.strerror}; {kept}; mend it and run the same command again"
            raise UserError(message) from error
        self._keep(request, answer)

    def _replay(self, number: int, line: bytes) -> None:
        cure = f"`rm {shlex.quote(str(self.path))}` and run again, which asks and pays anew"
        try:
            entry = _Entry.model_validate_json(line)
        except ValidationError as error:
            raise UserError(f"{self.path}, line {number}: not an answer; {cure}") from error
        if entry.request in self.answers:
            raise UserError(f"{self.path}, line {number}: this request was answered before; {cure}")
        self._keep(entry.request, entry.answer)

    def _keep(self, request: str, answer: Answer) -> None:
        self.answers[request] = answer
        self.tokens_in += answer.tokens_in
        self.tokens_out += answer.tokens_out


def _whole_lines(path: Path) -> list[bytes]:
    """The lines of the journal; a last one without its newline is cut off the file."""
    data = path.read_bytes() if path.exists() else b""
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        print(f"{path}: the last line was cut short; its request is sent again", file=sys.stderr)
        os.truncate(path, whole)
    return data[:whole].splitlines()
