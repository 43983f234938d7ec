"""A client of servers that speak OpenAI's protocol, with a rate limit, back-off and retries.

The openai package's own retries are off: they would not make the other requests wait after a 429, nor count
against the rate. The key comes from OPENAI_API_KEY alone; it is removed from everything the server returns,
and is in no file or message.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import re
import sys
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import openai
from pydantic import ValidationError

from text2sql.completions import Completion
from text2sql.endpoint_settings import KEY_VARIABLE, Endpoint
from text2sql.errors import RERUN, UserError

_NO_KEY = "none"  # the package needs a key, a server of your own often does not
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0  # the back-off doubles from the first to the longest
_LONGEST_HOLD_S = 300.0  # a longer Retry-After ends the run
_SECRET = 16  # least length of a secret; a shorter key may be a word that is also in the SQL
_SHOWN = 300  # characters of a server's message that are shown
# The codes of OpenAI, Azure and Alibaba, and the words of xAI and DeepSeek, for content that is not allowed
_FILTER = re.compile(
    r"content[ _]?filter|content[ _]?(management )?policy|ResponsibleAI|data_?inspection_?failed"
    r"|content (violates|exists risk)",
    re.IGNORECASE,
)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Failure:
    """What a server says instead of an answer; `form` names where it said so.

    `code`, `kind` ("type" in the answer) and `param`, the field of the request that is wrong, are "" where
    the server does not give them. `message` may contain the key.
    """

    form: str
    status: int
    message: str
    code: str = ""
    kind: str = ""
    param: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def names(self, name: str) -> bool:
        """Whether the failure is about the field `name` of the request, or mentions it."""
        return self.param == name or re.search(rf"\b{re.escape(name)}\b", self.message) is not None


class Refused(Exception):
    """The endpoint rejects this `request` (because it is too long, for instance); others may succeed."""

    def __init__(self, what: str, failure: Failure, request: Mapping[str, Any]) -> None:
        super().__init__(what)
        self.failure, self.request = failure, request


class Filtered(Refused):
    """A content filter of the server rejects this request because of what it says."""


class Stopped(Exception):
    """The run was ended by another request."""


class _Fault(Exception):
    """A request failed and may be sent again; the server asks to wait `hold` seconds (None: it does not)."""

    def __init__(self, what: str, hold: float | None = None) -> None:
        super().__init__(what)
        self.hold = hold


class Client:
    """Sends requests to an endpoint. A client belongs to one event loop; see `run_all`."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Read the key from OPENAI_API_KEY.

        Raises:
            UserError: the key has a character that no HTTP header can have.
        """
        self._endpoint, self._key = endpoint, _read_key()
        self._openai = openai.AsyncOpenAI(
            base_url=endpoint.base_url, api_key=self._key or _NO_KEY, max_retries=0
        )
        self._slots = asyncio.Semaphore(endpoint.concurrency)
        self._turn, self._next_start = asyncio.Lock(), 0.0  # of time.monotonic()
        self._stop = asyncio.Event()

    async def complete(self, request: Mapping[str, Any] | Callable[[], Mapping[str, Any]]) -> Completion:
        """The answer to `request`, which has the fields of the protocol, and further ones in `extra_body`.

        A function is called when the request's turn comes, with what earlier answers have shown by then.

        Raises:
            Refused: the endpoint rejects this request; it may accept others.
            Stopped: `stop` was called.
            UserError: the key, the model or the address is wrong, or there was no answer in all retries.
        """
        async with self._slots:
            retry = 0
            while True:
                await self._wait_turn()
                try:
                    return await self._send(request() if callable(request) else request)
                except _Fault as fault:
                    await self._wait_after(fault, retry)
                retry += 1

    def stop(self) -> None:
        """Send no more requests; answers to those that were sent are still accepted."""
        self._stop.set()

    async def close(self) -> None:
        """Close the connections."""
        await self._openai.close()

    # -- one request --

    async def _send(self, request: Mapping[str, Any]) -> Completion:
        create = self._openai.chat.completions.with_raw_response.create
        try:
            async with asyncio.timeout(self._endpoint.timeout_s):
                raw = await create(**request, timeout=self._endpoint.timeout_s)
        except (TimeoutError, openai.APITimeoutError) as error:
            raise _Fault(f"no complete answer within {self._endpoint.timeout_s:g} s") from error
        except openai.APIConnectionError as error:
            raise _Fault(self._clean(f"{error} {error.__cause__ or ''}")) from error
        except openai.APIStatusError as error:
            raise self._meaning(_failure(error), request) from error
        return self._read(raw.content, request)

    def _meaning(self, failure: Failure, request: Mapping[str, Any]) -> Exception:
        """The exception for an answer that is an error."""
        status, place = failure.status, self._endpoint.base_url
        said = self._clean(f"{failure.form}: {failure.message}")
        if status in (400, 403, 422) and _FILTER.search(f"{failure.code} {failure.message}"):
            return Filtered(f"a content filter stopped the request ({said})", failure, request)
        if status == 402 or failure.code == "insufficient_quota":
            return UserError(f"{place}: no credit left ({said}); {self._kept()}; add credit and {RERUN}")
        if status in (408, 409, 425, 429) or status >= 500:
            hold = _retry_after(failure.headers)
            if hold is None or hold <= _LONGEST_HOLD_S:
                return _Fault(said, hold)
            return UserError(f"{place}: asks to wait {hold:.0f} s ({said}); {self._kept()}; {RERUN} then")
        if status in (400, 413, 422) or (status == 403 and _is_about_a_field(failure, request)):
            return Refused(said, failure, request)
        return UserError(f"{place}: {self._fix(status, failure, said)}, and {RERUN}")

    def _fix(self, status: int, failure: Failure, said: str) -> str:
        """What is wrong for all requests, and how to change that."""
        model = self._endpoint.model
        if "model_not_found" in (failure.code, failure.kind) or failure.param == "model":
            return f"{said}; the server has no model {model!r} for this key: fix the name of the model"
        if status == 401:
            return f"refuses the key ({said}); `export {KEY_VARIABLE}=...`"
        if status == 403:
            return f"denies access ({said}); use a key that may use the model {model!r}, or another server"
        return f"{said}; fix the model ({model!r}) or base_url, which often ends in /v1"

    def _read(self, body: bytes, request: Mapping[str, Any]) -> Completion:
        try:
            completion = Completion.model_validate_json(body)
        except ValidationError as error:
            failure = _failure_in(body)
            if failure:
                raise self._meaning(failure, request) from error
            fault = error.errors()[0]
            said = f"no chat completion (base_url often ends in /v1): {'.'.join(map(str, fault['loc']))}"
            raise _Fault(self._clean(f"{said} {fault['msg']}")) from error
        choice = completion.choices[0]
        if choice.interrupted:
            raise _Fault(f"the server interrupted the answer (finish_reason {choice.finish_reason})")
        if len(self._key) >= _SECRET:
            for name in ("content", "refusal", "reasoning_content", "reasoning"):
                setattr(choice.message, name, self._without_key(getattr(choice.message, name)))
        return completion

    # -- waiting --

    async def _wait_turn(self) -> None:
        """Wait until the rate lets another request start; starts are evenly spaced."""
        async with self._turn:
            while True:  # another request may have been told to wait in the meantime
                seconds = self._next_start - time.monotonic()
                await self._pause(max(seconds, 0.0))
                if seconds <= 0:
                    break
            self._next_start = time.monotonic() + 60 / self._endpoint.requests_per_minute

    async def _wait_after(self, fault: _Fault, retry: int) -> None:
        """Wait before a retry; where the server names the time, all other requests wait as well.

        Raises:
            UserError: `max_retries` retries have failed.
        """
        place = self._endpoint.base_url
        if retry >= self._endpoint.max_retries:
            tried = f"no answer in {retry + 1} tries, the last time: {fault}"
            raise UserError(f"{place}: {tried}; {self._kept()}; {RERUN} to continue") from fault
        print(f"{place}: {fault}; trying again", file=sys.stderr)
        if fault.hold is not None:
            self._next_start = max(self._next_start, time.monotonic() + fault.hold)
        else:
            longest = min(_FIRST_PAUSE_S * 2**retry, _LONGEST_PAUSE_S)
            await self._pause(longest * random.uniform(0.5, 1.0))

    async def _pause(self, seconds: float) -> None:
        """Wait.

        Raises:
            Stopped: `stop` was called, before or while waiting.
        """
        if seconds > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), seconds)
        if self._stop.is_set():
            raise Stopped

    # -- messages --

    def _kept(self) -> str:
        """What a message says about the answers so far."""
        return "the answers so far are kept"

    def _clean(self, text: str) -> str:
        text = " ".join(self._without_key(text).split())
        return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, f"({KEY_VARIABLE})") if self._key else text


def run_all(client: Client, jobs: Iterable[Coroutine[Any, Any, Result]]) -> Iterator[Result]:
    """Run jobs that use `client`, which is closed at the end; yield the result of each as soon as it is done.

    When a job fails no more requests are sent; the jobs whose requests were sent are finished and yielded
    before the error is raised. When the caller stops early, or at Ctrl-C, they are cancelled. While the
    caller works on a result nothing is read from the server, but time-outs continue to run.
    """
    with asyncio.Runner() as runner:
        done: asyncio.Queue[asyncio.Task[Result]] = asyncio.Queue()
        tasks = [runner.get_loop().create_task(_stopping(client, job)) for job in jobs]
        failure: BaseException | None = None
        try:
            for task in tasks:
                task.add_done_callback(done.put_nowait)
            for _ in tasks:
                task = runner.run(done.get())
                error = task.exception()
                if error is None:
                    yield task.result()
                elif not isinstance(error, Stopped):  # the error that stopped it is raised by its own task
                    failure = failure or error
        finally:
            runner.run(_end(client, tasks))
    if failure:
        raise failure


async def _stopping(client: Client, job: Coroutine[Any, Any, Result]) -> Result:
    try:
        return await job
    except Exception:
        client.stop()  # at once: otherwise another request would take its place
        raise


async def _end(client: Client, tasks: Iterable[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await client.close()


def _read_key() -> str:
    """The key in OPENAI_API_KEY, "" if there is none.

    Raises:
        UserError: it has a character that no HTTP header can have.
    """
    key = os.environ.get(KEY_VARIABLE, "")
    if not all("!" <= character <= "~" for character in key):
        raise UserError(
            f"{KEY_VARIABLE}: contains a space, a line break or a character outside ASCII; export it again"
        )
    return key


def _is_about_a_field(failure: Failure, request: Mapping[str, Any]) -> bool:
    """Whether it is about a setting in the request; OpenAI sends 403 for a model without logprobs."""
    return any(failure.names(name) for name in request if name not in ("model", "messages", "extra_body"))


def _failure(error: openai.APIStatusError) -> Failure:
    """The failure in an answer with a status of 300 or more."""
    said = error.body.get("message") if isinstance(error.body, dict) else error.body
    message = said if isinstance(said, str) and said else error.response.text
    named = {"code": error.code, "kind": error.type, "param": error.param}
    texts = {name: str(value or "") for name, value in named.items()}
    form = f"HTTP {error.status_code}"
    return Failure(form, error.status_code, message, **texts, headers=error.response.headers)


def _failure_in(body: bytes) -> Failure | None:
    """The failure in an answer with status 200, as some gateways send it; None if there is none.

    Its code is a status where it is a number; otherwise the request is sent again.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    error = value.get("error") if isinstance(value, dict) else None
    fields = error if isinstance(error, dict) else {"message": error}
    code, message = fields.get("code"), fields.get("message")
    if not isinstance(message, str) or not message:
        return None
    if isinstance(code, int) and 400 <= code < 600:
        return Failure(f"HTTP 200 with error {code}", code, message)
    status = 400 if _FILTER.search(str(code)) else 500
    return Failure("HTTP 200 with an error", status, message, str(code or ""))


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds in the header, which is a number or a date (RFC 9110, 10.2.3); None without a positive time."""
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
