"""Answers from a server that speaks OpenAI's protocol (chat completions)."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

import openai

from text2sql.inference.engine import Answer, Decoding, Request
from text2sql.records import UserError

_KEY = "OPENAI_API_KEY"
_NO_KEY = "none"  # the client wants one; servers of one's own ask for none
_TOO_LONG = re.compile(r"context|too long|too many tokens", re.IGNORECASE)
_RESUME = "what was answered is kept; then run the same command again, it goes on with the rest"


@dataclass(frozen=True)
class Endpoint:
    """Where answers come from: at most `concurrency` requests at a time, `timeout_s` for each try.

    A request that fails for a reason that may pass (no connection, status 408, 409, 429, 5xx) is
    tried again up to `retries` times, after the pause that Retry-After asks for, else after growing
    ones. `extra_body` has further fields of the request's JSON.
    """

    base_url: str
    model: str
    concurrency: int
    timeout_s: float
    retries: int
    extra_body: Mapping[str, Any]


class OpenAIEngine:
    """Asks for each answer on its own, several at a time.

    The key is read from OPENAI_API_KEY and appears in no message. A seed is sent where something is
    drawn at random, log-probabilities are asked for where the decoding asks for them.
    Not covered: a server that changes what it serves under the same name, that draws otherwise for
    the same seed, or that thinks aloud for all its tokens (see `extra_body`).
    """

    def __init__(self, endpoint: Endpoint, decoding: Decoding) -> None:
        self._endpoint = endpoint
        self._decoding = decoding
        self._key = os.environ.get(_KEY) or _NO_KEY
        self._client = openai.OpenAI(
            base_url=endpoint.base_url,
            api_key=self._key,
            timeout=endpoint.timeout_s,
            max_retries=endpoint.retries,
        )

    @property
    def identity(self) -> Mapping[str, object]:
        """The server's address, the model's name on it, and what is sent beside the usual."""
        endpoint = self._endpoint
        return {
            "base_url": endpoint.base_url,
            "model": endpoint.model,
            "extra_body": dict(endpoint.extra_body),
        }

    @property
    def room(self) -> None:
        """The server alone knows; what it finds too long gets an empty answer."""
        return None

    def plan(self, requests: Sequence[Request]) -> list[list[int]]:
        """Every request is a batch of its own."""
        return [[number] for number in range(len(requests))]

    def generate(
        self, batches: Sequence[tuple[int, Sequence[Request]]]
    ) -> Iterator[tuple[int, list[Answer]]]:
        """Yield answers as they come. UserError: the server fails; what is under way is yielded first."""
        pool = ThreadPoolExecutor(self._endpoint.concurrency)
        futures = {pool.submit(self._answer, requests): number for number, requests in batches}
        failure: UserError | None = None
        try:
            for future in as_completed(futures):
                try:
                    yield futures[future], future.result()
                except CancelledError:
                    continue
                except UserError as error:
                    failure = failure or error
                    _cancel(futures)
        finally:
            pool.shutdown(cancel_futures=True)
        if failure:
            raise failure

    def _answer(self, requests: Sequence[Request]) -> list[Answer]:
        return [self._ask(request) for request in requests]

    def _ask(self, request: Request) -> Answer:
        try:
            reply = self._client.chat.completions.create(**self._body(request))
        except openai.BadRequestError as error:
            if not _TOO_LONG.search(str(error)):
                raise self._failure(error, "mend predict.endpoint in params.yaml") from error
            return self._too_long(request, error)
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise self._failure(error, f"set {_KEY} to a key that it takes; {_RESUME}") from error
        except openai.NotFoundError as error:
            cure = "mend predict.endpoint.base_url or .models in params.yaml"
            raise self._failure(error, cure) from error
        except openai.OpenAIError as error:
            cure = f"tried {self._endpoint.retries + 1} times; start the server again; {_RESUME}"
            raise self._failure(error, cure) from error
        return self._read(reply)

    def _read(self, reply: Any) -> Answer:
        try:
            choice = reply.choices[0]
            tokens = choice.logprobs.content if choice.logprobs else None
            logprob = sum(token.logprob for token in tokens) / len(tokens) if tokens else None
            return Answer(choice.message.content or "", logprob)
        except (AttributeError, IndexError, TypeError) as error:  # the client checks no answer's form
            cure = "mend predict.endpoint.base_url (it usually ends in /v1)"
            raise self._failure(f"no chat completion: {str(reply)[:200]!r}", cure) from error

    def _body(self, request: Request) -> dict[str, Any]:
        decoding, extra = self._decoding, dict(self._endpoint.extra_body)
        if decoding.repetition_penalty != 1:
            extra["repetition_penalty"] = decoding.repetition_penalty  # vLLM's and SGLang's name
        body: dict[str, Any] = {
            "model": self._endpoint.model,
            "messages": list(request.messages),
            "max_tokens": decoding.max_new_tokens,
            "temperature": decoding.temperature,
            "top_p": decoding.top_p,
            "extra_body": extra,
        }
        if decoding.temperature:
            body["seed"] = request.seed
        if decoding.likelihood:
            body["logprobs"] = True
        return body

    def _too_long(self, request: Request, error: openai.BadRequestError) -> Answer:
        asked = request.messages[-1]["content"].rpartition("\n")[2]
        note = f"too long for the server, so its prediction is empty: {asked} ({self._said(error)})"
        print(note, file=sys.stderr)
        return Answer("")

    def _failure(self, error: object, cure: str) -> UserError:
        return UserError(f"{self._endpoint.base_url}: {self._said(error)}; {cure}")

    def _said(self, error: object) -> str:
        said = str(error).strip()
        return said if self._key == _NO_KEY else said.replace(self._key, "***")


def _cancel(futures: Mapping[Future[list[Answer]], int]) -> None:
    for future in futures:
        future.cancel()
