"""Requests that cost money: the total stays below a cap, and no answer is paid for twice."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from text2sql.endpoint import Client, Filtered, Refused
from text2sql.errors import RERUN, UserError
from text2sql.schema.answers import AnswerJournal, PaidAnswer
from text2sql.schema.settings import OpenAI

_MESSAGE_TOKENS = 32  # more than any chat template adds to a message

Message = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Spending:
    """What the answers of a work folder cost: their number, tokens read and written, US dollars."""

    answers: int
    tokens_in: int
    tokens_out: int
    usd: float


class PaidClient(Client):
    """Asks a language model and keeps every answer in a journal."""

    _endpoint: OpenAI

    def __init__(self, settings: OpenAI, journal: AnswerJournal) -> None:
        super().__init__(settings)
        self._journal = journal
        self._reserved: dict[str, float] = {}  # US dollars, by request that is not answered yet
        self._released = asyncio.Event()
        self._refusal = ""  # the first one

    async def ask(self, messages: Sequence[Message]) -> PaidAnswer:
        """The model's answer: from the journal, or else from the endpoint, and then added to the journal.

        Raises:
            Refused, Stopped: see `complete`.
            UserError: as in `complete`, or the cap is reached, or the disk is full.
        """
        request = self._request(messages)
        name = _fingerprint(self._endpoint.base_url, request)
        if name in self._journal.answers:
            return self._journal.answers[name]
        tokens_in = _most_tokens(messages)
        async with self._reservation(name, tokens_in):
            try:
                answer = await self._paid(request, tokens_in)
            except Filtered:  # because of the content, so that it says nothing of the other requests
                raise
            except Refused as refusal:
                self._refusal = self._refusal or str(refusal)
                raise
            self._journal.append(name, answer)
        return answer

    def check_any_answered(self) -> None:
        """Check that not every request was refused: then their content is not the reason.

        Raises:
            UserError: requests were refused and none was ever answered.
        """
        if self._refusal and not self._journal.answers:
            remedy = "fix base_url, model, temperature or max_tokens_name"
            raise UserError(f"{self._endpoint.base_url}: refuses every request ({self._refusal}); {remedy}")

    def spending(self) -> Spending:
        """What all answers in the journal cost, including those of earlier runs."""
        kept = self._journal
        usd = self._endpoint.cost(kept.tokens_in, kept.tokens_out)
        return Spending(len(kept.answers), kept.tokens_in, kept.tokens_out, usd)

    def _request(self, messages: Sequence[Message]) -> dict[str, Any]:
        asked = self._endpoint
        request = {"model": asked.model, "messages": messages, asked.max_tokens_name: asked.max_tokens}
        return request if asked.temperature is None else {**request, "temperature": asked.temperature}

    async def _paid(self, request: Mapping[str, Any], tokens_in: int) -> PaidAnswer:
        """The answer; where the server does not say its tokens, they are charged at the most they can be."""
        completion = await self.complete(request)
        choice, usage = completion.choices[0], completion.usage
        text = choice.message.content
        # servers that do not count may send 0: impossible for a prompt, and for a text
        written = usage.completion_tokens if usage.completion_tokens or not text else None
        return PaidAnswer(
            text=text,
            finish=choice.finish_reason,
            tokens_in=usage.prompt_tokens or tokens_in,
            tokens_out=self._endpoint.max_tokens if written is None else written,
            declined=choice.declined,
        )

    @asynccontextmanager
    async def _reservation(self, name: str, tokens_in: int) -> AsyncIterator[None]:
        """Reserve the most that a request can cost, so that the answers never exceed the cap."""
        most = self._endpoint.cost(tokens_in, self._endpoint.max_tokens)
        while self._reserved and not self._affords(most):
            self._released.clear()
            await self._released.wait()
        if not self._affords(most):
            raise UserError(self._cap_message(most))
        self._reserved[name] = most
        try:
            yield
        finally:
            del self._reserved[name]
            self._released.set()

    def _affords(self, usd: float) -> bool:
        cap = self._endpoint.cap_usd
        return cap is None or self.spending().usd + sum(self._reserved.values()) + usd <= cap

    def _cap_message(self, most: float) -> str:
        spent, cap = self.spending(), self._endpoint.cap_usd
        state = f"{spent.usd:.4f} of {cap} US dollars are spent, and the next answer may cost {most:.4f}"
        return f"spending cap: {state}; {self._kept()}; raise the cap and {RERUN} to continue"

    def _kept(self) -> str:
        return f"answers kept in {self._journal.path}: {len(self._journal.answers)}"


def _fingerprint(base_url: str, request: Mapping[str, Any]) -> str:
    text = json.dumps([base_url, request], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _most_tokens(messages: Sequence[Message]) -> int:
    """An upper bound of the messages' tokens: a token of a byte-level tokenizer has at least one byte."""
    return sum(len(message["content"].encode()) + _MESSAGE_TOKENS for message in messages)
