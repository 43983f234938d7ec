"""An OpenAI-compatible endpoint, asked with care: paced, capped, retried, and never twice for one answer.

The package's own retries are off: they would not hold the other requests back after a 429, nor
count against the rate. The key comes from OPENAI_API_KEY alone; it is cut out of whatever the
server says, and no file or message holds it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.parse import urlsplit

import openai
from pydantic import BaseModel, Field, ValidationError

from text2sql.records import UserError
from text2sql.schema.answers import Answer, AnswerJournal

KEY_VARIABLE = "OPENAI_API_KEY"
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0  # of the back-off, which doubles
_LONGEST_HOLD_S = 300.0  # of Retry-After; a server that asks for more is left alone
_MESSAGE_TOKENS = 32  # more than any chat template puts around one message
_SECRET = 16  # characters that a secret has at least; a shorter key is a word, which SQL may hold as well
_SHOWN = 300  # characters of a server's words in a message
_AGAIN = "run the same command again"
_MILLION = 1_000_000

Message = Mapping[str, str]


class Refused(Exception):
    """The endpoint will not take this very request (too long, for instance); others may fare better."""


class Stopped(Exception):
    """Another request has ended the run."""


class _Fault(Exception):
    """No whole answer this time; `hold` seconds are the server's wish (None: it named none)."""

    def __init__(self, what: str, hold: float | None = None) -> None:
        super().__init__(what)
        self.hold = hold


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where and how a model is asked; `base_url` ends where `/chat/completions` begins.

    `temperature` None leaves it to the server. `max_tokens` limits one answer and is sent under the
    name `max_tokens_name` (OpenAI's reasoning models want max_completion_tokens). `timeout_s` is for
    a whole answer, `max_retries` for one request. Prices are in US dollars; without `cap_usd`, what
    all answers of a work folder may cost together, there is no limit. UserError: `base_url` is no
    address, or holds a secret. Not covered: what a provider takes for answers that never came whole.
    """

    base_url: str
    model: str
    temperature: float | None
    max_tokens: int
    max_tokens_name: Literal["max_tokens", "max_completion_tokens"]
    concurrency: int
    requests_per_minute: float
    timeout_s: float
    max_retries: int
    usd_per_million_in: float
    usd_per_million_out: float
    cap_usd: float | None

    def __post_init__(self) -> None:
        _check_address(self.base_url)

    def cost(self, tokens_in: int, tokens_out: int) -> float:
        """US dollars."""
        return (tokens_in * self.usd_per_million_in + tokens_out * self.usd_per_million_out) / _MILLION


@dataclass(frozen=True, slots=True)
class Spending:
    """What the answers of a work folder took: their number, tokens read and written, US dollars."""

    answers: int
    tokens_in: int
    tokens_out: int
    usd: float


class Client:
    """Asks `endpoint` and keeps every answer in `journal`. Belongs to one event loop; close it there."""

    def __init__(self, endpoint: Endpoint, journal: AnswerJournal) -> None:
        self._endpoint, self._journal, self._key = endpoint, journal, read_key()
        self._openai = openai.AsyncOpenAI(base_url=endpoint.base_url, api_key=self._key, max_retries=0)
        self._slots = asyncio.Semaphore(endpoint.concurrency)
        self._turn, self._next_start = asyncio.Lock(), 0.0  # of time.monotonic()
        self._stop = asyncio.Event()
        self._reserved: dict[str, float] = {}  # US dollars by request on its way
        self._released = asyncio.Condition()
        self._refusal = ""  # the first one

    async def ask(self, messages: Sequence[Message]) -> Answer:
        """The model's answer: from the journal, or from the endpoint and then in the journal.

        Refused: the endpoint takes other requests, perhaps, but not this one. Stopped: `stop` was
        called. UserError: the key, the model or the address is wrong, the endpoint stays without an
        answer, the cap is reached, or the disk is full.
        """
        request = self._request(messages)
        name = _fingerprint(self._endpoint.base_url, request)
        if name in self._journal.answers:
            return self._journal.answers[name]
        async with self._slots:
            try:
                return await self._asked(name, request, _most_tokens(messages))
            except Refused as refusal:
                self._refusal = self._refusal or str(refusal)
                raise
            except UserError:
                self.stop()  # before the slot is free for another request
                raise

    def check_taken(self) -> None:
        """UserError: requests were refused and none was ever answered, so it is not their content."""
        if self._refusal and not self._journal.answers:
            cure = "mend base_url, model, temperature or max_tokens_name"
            raise UserError(f"{self._endpoint.base_url}: refuses every request ({self._refusal}); {cure}")

    def stop(self) -> None:
        """Send nothing more; what is on its way may still come in."""
        self._stop.set()

    async def close(self) -> None:
        """Close the connections."""
        await self._openai.close()

    def spending(self) -> Spending:
        """What all answers in the journal took, those of earlier runs included."""
        kept = self._journal
        usd = self._endpoint.cost(kept.tokens_in, kept.tokens_out)
        return Spending(len(kept.answers), kept.tokens_in, kept.tokens_out, usd)

    # -- one request --

    def _request(self, messages: Sequence[Message]) -> dict[str, Any]:
        asked = self._endpoint
        request = {"model": asked.model, "messages": messages, asked.max_tokens_name: asked.max_tokens}
        return request if asked.temperature is None else {**request, "temperature": asked.temperature}

    async def _asked(self, name: str, request: Mapping[str, Any], tokens_in: int) -> Answer:
        async with self._reservation(name, tokens_in):
            answer = await self._answered(request, tokens_in)
            self._journal.append(name, answer)
        return answer

    async def _answered(self, request: Mapping[str, Any], tokens_in: int) -> Answer:
        retry = 0
        while True:
            await self._wait_turn()
            try:
                return await self._send(request, tokens_in)
            except _Fault as fault:
                await self._wait_after(fault, retry)
            retry += 1

    async def _send(self, request: Mapping[str, Any], tokens_in: int) -> Answer:
        create = self._openai.chat.completions.with_raw_response.create
        try:
            async with asyncio.timeout(self._endpoint.timeout_s):
                raw = await create(**request, timeout=self._endpoint.timeout_s)
        except (TimeoutError, openai.APITimeoutError) as error:
            raise _Fault(f"no whole answer within {self._endpoint.timeout_s:g} s") from error
        except openai.APIConnectionError as error:
            raise _Fault(self._clean(f"{error} {error.__cause__ or ''}")) from error
        except openai.APIStatusError as error:
            raise self._judged(error) from error
        return self._read(raw.content, tokens_in)

    def _judged(self, error: openai.APIStatusError) -> Exception:
        """What an answer with a status of 300 or more means for the run."""
        status, place = error.status_code, self._endpoint.base_url
        said = self._clean(f"HTTP {status}: {_words(error)}")
        if status == 402 or error.code == "insufficient_quota":
            return UserError(f"{place}: no credit left ({said}); {self._kept()}; top it up and {_AGAIN}")
        if status in (408, 409, 425, 429) or status >= 500:
            hold = _retry_after(error.response.headers)
            if hold is None or hold <= _LONGEST_HOLD_S:
                return _Fault(said, hold)
            return UserError(f"{place}: asks to wait {hold:.0f} s ({said}); {self._kept()}; {_AGAIN} then")
        if status in (400, 413, 422):
            return Refused(said)
        if status in (401, 403):
            return UserError(f"{place}: refuses the key ({said}); `export {KEY_VARIABLE}=...` and {_AGAIN}")
        cure = f"mend the model ({self._endpoint.model!r}) or base_url, which often ends in /v1"
        return UserError(f"{place}: {said}; {cure}, and {_AGAIN}")

    def _read(self, body: bytes, tokens_in: int) -> Answer:
        try:
            completion = _Completion.model_validate_json(body)
        except ValidationError as error:
            fault = error.errors()[0]
            where = ".".join(map(str, fault["loc"]))
            raise _Fault(self._clean(f"not a chat completion: {where} {fault['msg']}")) from error
        choice = completion.choices[0]
        text = choice.message.content or ""
        # without a count the answer is charged as if it were as long as it may be
        usage = completion.usage or _Usage(
            prompt_tokens=tokens_in, completion_tokens=self._endpoint.max_tokens
        )
        return Answer(
            text=self._without_key(text) if len(self._key) >= _SECRET else text,
            finish=choice.finish_reason,
            tokens_in=usage.prompt_tokens,
            tokens_out=usage.completion_tokens,
        )

    # -- waiting --

    async def _wait_turn(self) -> None:
        """Wait until the rate lets another request start; starts are evenly spaced."""
        async with self._turn:
            while True:  # a hold may come in meanwhile
                seconds = self._next_start - time.monotonic()
                await self._pause(max(seconds, 0.0))
                if seconds <= 0:
                    break
            self._next_start = time.monotonic() + 60 / self._endpoint.requests_per_minute

    async def _wait_after(self, fault: _Fault, retry: int) -> None:
        """Back off; where the server names the time, every other request waits for it as well.

        UserError: there have been `max_retries` already.
        """
        place = self._endpoint.base_url
        if retry >= self._endpoint.max_retries:
            tried = f"no answer in {retry + 1} tries, the last time: {fault}"
            raise UserError(f"{place}: {tried}; {self._kept()}; {_AGAIN} to go on") from fault
        print(f"{place}: {fault}; trying again", file=sys.stderr)
        if fault.hold is not None:
            self._next_start = max(self._next_start, time.monotonic() + fault.hold)
        else:
            longest = min(_FIRST_PAUSE_S * 2**retry, _LONGEST_PAUSE_S)
            await self._pause(longest * random.uniform(0.5, 1.0))

    async def _pause(self, seconds: float) -> None:
        """Wait. Stopped: `stop` was called, before or meanwhile."""
        if seconds > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), seconds)
        if self._stop.is_set():
            raise Stopped

    # -- money --

    @asynccontextmanager
    async def _reservation(self, name: str, tokens_in: int) -> AsyncIterator[None]:
        """Set aside the most that a request can cost, so that no answer passes the cap."""
        most = self._endpoint.cost(tokens_in, self._endpoint.max_tokens)
        async with self._released:
            await self._released.wait_for(lambda: self._affords(most) or not self._reserved)
            if not self._affords(most):
                raise UserError(self._cap_message(most))
            self._reserved[name] = most
        try:
            yield
        finally:
            async with self._released:
                del self._reserved[name]
                self._released.notify_all()

    def _affords(self, usd: float) -> bool:
        cap = self._endpoint.cap_usd
        return cap is None or self.spending().usd + sum(self._reserved.values()) + usd <= cap

    def _cap_message(self, most: float) -> str:
        spent, cap = self.spending(), self._endpoint.cap_usd
        state = f"{spent.usd:.4f} of {cap} US dollars are spent, and the next answer may cost {most:.4f}"
        return f"spending cap: {state}; {self._kept()}; raise the cap and {_AGAIN} to go on"

    # -- words --

    def _kept(self) -> str:
        return f"answers kept in {self._journal.path}: {len(self._journal.answers)}"

    def _clean(self, text: str) -> str:
        text = " ".join(self._without_key(text).split())
        return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, f"({KEY_VARIABLE})")


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Usage(BaseModel):
    prompt_tokens: int = Field(ge=0)
    completion_tokens: int = Field(ge=0)


class _Completion(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None


def read_key() -> str:
    """The key in OPENAI_API_KEY. UserError: there is none, or it holds what no header can."""
    key = os.environ.get(KEY_VARIABLE, "")
    if not key:
        cure = f"`export {KEY_VARIABLE}=...` (any word for a server without keys)"
        raise UserError(f"{KEY_VARIABLE}: not set; {cure} and {_AGAIN}")
    if not all("!" <= character <= "~" for character in key):
        raise UserError(
            f"{KEY_VARIABLE}: holds a blank, a line break or a letter outside ASCII; export it anew"
        )
    return key


def _check_address(base_url: str) -> None:
    """UserError: not the address of a server, or one with a secret in it, which is then not shown."""
    try:
        parts = urlsplit(base_url)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        whole = False
    if "@" in base_url or "?" in base_url:
        raise UserError(f"base_url: holds a user, a password or a query; the key goes into {KEY_VARIABLE}")
    if not whole:
        raise UserError(f"base_url {base_url!r}: not an address; write one like http://localhost:8000/v1")


def _words(error: openai.APIStatusError) -> str:
    said = error.body.get("message") if isinstance(error.body, dict) else None
    return str(said) if said else error.response.text


def _fingerprint(base_url: str, request: Mapping[str, Any]) -> str:
    text = json.dumps([base_url, request], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _most_tokens(messages: Sequence[Message]) -> int:
    """More tokens than the messages can have: a token of a byte-level tokenizer holds at least one byte."""
    return sum(len(message["content"].encode()) + _MESSAGE_TOKENS for message in messages)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the header names, as a number or a date (RFC 9110, 10.2.3); None if it names none."""
    value = headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = parsedate_to_datetime(value)
        except ValueError:
            return None
        zoned = date if date.tzinfo else date.replace(tzinfo=UTC)
        seconds = (zoned - datetime.now(UTC)).total_seconds()
    return seconds if seconds > 0 and math.isfinite(seconds) else None
