"""Answers of a language model that were paid for: each is on disk before anything else is sent.

Not covered: an answer that was still on its way when the process was killed; it was never read in
whole, so its request is sent again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from text2sql.journal import Journal


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class PaidAnswer(_Strict):
    """A model's text, why it ended ("stop", "length"; None if unknown), and the tokens read and written.

    `declined` is why the text is missing or incomplete: the model refuses, or a content filter stopped it.
    """

    text: str
    finish: str | None
    tokens_in: int
    tokens_out: int
    declined: str = ""


class _Entry(_Strict):
    request: str
    answer: PaidAnswer


class AnswerJournal:
    """Answers by request, in a journal of {"request", "answer"}; `request` is a hash."""

    def __init__(self, path: Path) -> None:
        """Read what the file holds.

        Raises:
            UserError: a line is not an entry, or its request is there twice.
        """
        self.answers: dict[str, PaidAnswer] = {}
        self.tokens_in = self.tokens_out = 0  # of all answers
        self._journal = Journal(
            path, self._replay, "its request is sent again", loss=", which asks and pays anew"
        )

    @property
    def path(self) -> Path:
        """The file."""
        return self._journal.path

    def append(self, request: str, answer: PaidAnswer) -> None:
        """Put an answer on disk.

        Raises:
            UserError: the disk does not take it. The file ends as it did before.
        """
        entry = _Entry(request=request, answer=answer)
        self._journal.append(
            entry.model_dump(exclude_defaults=True), kept=f"answers kept: {len(self.answers)}"
        )
        self._keep(entry)

    def _replay(self, value: Any) -> str:
        try:
            entry = _Entry.model_validate(value)
        except ValidationError:
            return "not an answer"
        if entry.request in self.answers:
            return "this request was answered before"
        self._keep(entry)
        return ""

    def _keep(self, entry: _Entry) -> None:
        self.answers[entry.request] = entry.answer
        self.tokens_in += entry.answer.tokens_in
        self.tokens_out += entry.answer.tokens_out
