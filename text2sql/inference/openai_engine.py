"""Answers from a server that speaks OpenAI's protocol (chat completions)."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from text2sql.completions import Choice
from text2sql.endpoint import Client, Filtered, Refused, run_all
from text2sql.endpoint_settings import Endpoint
from text2sql.errors import UserError
from text2sql.inference.engine import Answer, Request
from text2sql.inference.settings import Decoding

_TOO_LONG = re.compile(r"context|too long|too many tokens", re.IGNORECASE)


class OpenAIEngine:
    """Sends one request per answer, several at a time.

    `extra_body` has additional fields for each request. A seed is sent only if tokens are drawn at random,
    and log-probabilities are requested only if the decoding needs them.
    Not covered: a server that serves another model under the same name, that gives other answers for the
    same seed, or whose model spends all tokens on thinking (see `extra_body`).
    A question that a content filter stops has an empty prediction, and the other questions are still asked.
    """

    def __init__(self, endpoint: Endpoint, decoding: Decoding, extra_body: Mapping[str, Any]) -> None:
        self._endpoint, self._decoding, self._extra_body = endpoint, decoding, dict(extra_body)

    @property
    def identity(self) -> Mapping[str, object]:
        """The server's address, the name of the model, and the additional fields of the requests."""
        return {
            "base_url": self._endpoint.base_url,
            "model": self._endpoint.model,
            "extra_body": self._extra_body,
        }

    @property
    def max_prompt_tokens(self) -> None:
        """None: only the server knows. A prompt that it refuses as too long gets an empty answer."""
        return None

    def plan(self, requests: Sequence[Request]) -> list[list[int]]:
        """One batch per request."""
        return [[number] for number in range(len(requests))]

    def generate(
        self, batches: Sequence[tuple[int, Sequence[Request]]]
    ) -> Iterator[tuple[int, list[Answer]]]:
        """Yield answers as they arrive.

        Raises:
            UserError: the server fails. Answers to requests that are already sent are yielded first.
        """
        client = Client(self._endpoint)
        return run_all(client, (self._answer(client, *batch) for batch in batches))

    async def _answer(
        self, client: Client, number: int, requests: Sequence[Request]
    ) -> tuple[int, list[Answer]]:
        return number, [await self._ask(client, request) for request in requests]

    async def _ask(self, client: Client, request: Request) -> Answer:
        try:
            choice = (await client.complete(self._body(request))).choices[0]
        except Filtered as stopped:
            _note(request, "stopped by a content filter, so its prediction is empty", str(stopped))
            return Answer("")
        except Refused as refusal:
            if not _TOO_LONG.search(str(refusal)):
                remedy = "fix predict.endpoint in params.yaml"
                raise UserError(f"{self._endpoint.base_url}: {refusal}; {remedy}") from refusal
            _note(request, "too long for the server, so its prediction is empty", str(refusal))
            return Answer("")
        if choice.declined:
            _note(request, "not answered, or not to the end", choice.declined)
        return _read(choice)

    def _body(self, request: Request) -> dict[str, Any]:
        decoding, extra = self._decoding, dict(self._extra_body)
        if decoding.repetition_penalty != 1:
            extra["repetition_penalty"] = decoding.repetition_penalty  # the name that vLLM and SGLang use
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


def _note(request: Request, what: str, said: str) -> None:
    question = request.messages[-1]["content"].rpartition("\n")[2]
    print(f"{what}: {question} ({said})", file=sys.stderr)


def _read(choice: Choice) -> Answer:
    """The answer; a refusal is kept like the text that it is."""
    tokens = choice.logprobs.content if choice.logprobs else None
    logprob = sum(token.logprob for token in tokens) / len(tokens) if tokens else None
    return Answer(choice.message.content or choice.message.refusal, logprob)
