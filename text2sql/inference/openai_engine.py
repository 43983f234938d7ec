"""Answers from a server that speaks OpenAI's protocol (chat completions)."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from text2sql.completions import Choice
from text2sql.endpoint import Client, Failure, Filtered, Refused, run_all
from text2sql.endpoint_settings import Endpoint
from text2sql.errors import UserError
from text2sql.inference.engine import Answer, Request
from text2sql.inference.settings import Decoding
from text2sql.records import Problem

# `code` of OpenAI, Azure and Groq, and `type` of llama.cpp's server, for a prompt that is too long
_TOO_LONG_CODES = ("context_length_exceeded", "string_above_max_length", "exceed_context_size_error")
_TOO_LONG = re.compile(
    "|".join(
        [
            r"maximum context length",  # OpenAI, Azure, vLLM, SGLang, DeepSeek, Mistral, OpenRouter
            r"context length is only \d+",  # vLLM
            r"longer than the (maximum model length|model's context length)",  # vLLM; SGLang, Together
            r"too long to fit into the model",  # vLLM, prompts with images
            r"exceeds? the available context size",  # llama.cpp
            r"exceeds? the (maximum allowed input length|context window)",  # SGLang; OpenAI
            r"(prompt|input) (is )?too long",  # Anthropic, Ollama
            r"greater than the context length",  # LM Studio
            r"maximum prompt length",  # xAI
            r"input token count .*exceeds",  # Gemini
            r"range of input length should be",  # Alibaba
            r"exceeded model token limit",  # Moonshot
            r"reduce the length of the messages",  # OpenAI, Groq
            r"must have less than \d+ tokens|`max_new_tokens` must be <=",  # Text Generation Inference
        ]
    ),
    re.IGNORECASE,
)
_UNSUPPORTED_CODES = ("unsupported_parameter", "unsupported_value", "unknown_parameter")
_UNSUPPORTED = re.compile(
    r"unsupported|unrecogni[sz]ed|unknown|unexpected|deprecated|only the default|may only be|cannot both be"
    r"|not (be )?(supported|permitted|allowed|enabled|available)|(does|do) not support|extra_forbidden",
    re.IGNORECASE,
)
# The fields that are left out if the server does not know them, and what that means. top_p is before
# temperature, because some models of Anthropic accept only one of the two.
_LEFT_OUT = {
    "max_tokens": "max_completion_tokens is sent instead, which counts the tokens of a thought too",
    "logprobs": "it is left out, so that a tie between samples goes to the answer drawn first",
    "seed": "it is left out, so that another run gives other answers",
    "top_p": "it is left out, so that the server's own value holds",
    "temperature": "it is left out, so that the server's own value holds and another run gives other answers",
}
_KEYS = {
    "max_tokens": "predict.max_new_tokens",
    "max_completion_tokens": "predict.max_new_tokens",
    "temperature": "predict.temperature",
    "top_p": "predict.top_p",
    "repetition_penalty": "predict.repetition_penalty",
    "seed": "predict.endpoint.extra_body (seed: null leaves it out)",
    "logprobs": "predict.endpoint.extra_body (logprobs: null leaves it out)",
}
_SHOWN = 200  # characters of a question
_LARGEST_SEED = 2**31 - 1  # Gemini reads it as a signed number of 32 bits


class OpenAIEngine:
    """Sends one request per answer, several at a time.

    `extra_body` has additional fields for each request; they replace the engine's own, and null leaves one
    out. top_p and a seed are sent only if tokens are drawn at random, and log-probabilities are requested
    only if the decoding needs them. A field of `_LEFT_OUT` that the server rejects is left out from then on,
    with a note on stderr; this depends on the server and the model alone, so a resumed run does the same.
    Not covered: a server that serves another model under the same name, that gives other answers for the
    same seed, or whose own sampling settings (top_k, min_p) change what is drawn (see `extra_body`).
    A question that a content filter stops has an empty prediction, and the other questions are still asked.
    """

    def __init__(self, endpoint: Endpoint, decoding: Decoding, extra_body: Mapping[str, Any]) -> None:
        self._endpoint, self._decoding, self._extra_body = endpoint, decoding, dict(extra_body)
        self._rejected: set[str] = set()  # names of `_LEFT_OUT`
        self._thought_too_long = False

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
            choice = await self._complete(client, request)
        except Filtered as stopped:
            _note(request, "stopped by a content filter, so its prediction is empty", str(stopped))
            return Answer("", problem="declined")
        except Refused as refusal:
            if not _is_too_long(refusal.failure):
                remedy = self._remedy(refusal.failure)
                raise UserError(f"{self._endpoint.base_url}: {refusal}; {remedy}") from refusal
            _note(request, "too long for the server, so its prediction is empty", str(refusal))
            return Answer("", problem="prompt_too_long")
        if choice.declined:
            _note(request, "not answered, or not to the end", choice.declined)
        elif choice.truncated and not choice.text:
            self._note_thought(request)
        return _read(choice)

    async def _complete(self, client: Client, request: Request) -> Choice:
        """The answer; a request with a field that the server rejects is sent again without it.

        Raises:
            Refused, Filtered: the server rejects the request for another reason.
            UserError: the server fails.
        """
        while True:
            try:
                return (await client.complete(lambda: self._body(request))).choices[0]
            except Refused as refusal:
                name = _rejected_field(refusal.failure, refusal.request)
                if name is None:
                    raise
                self._leave_out(name, str(refusal))

    def _body(self, request: Request) -> dict[str, Any]:
        extra = {name: value for name, value in self._extra_body.items() if value is not None}
        if self._decoding.repetition_penalty != 1 and "repetition_penalty" not in self._extra_body:
            extra["repetition_penalty"] = self._decoding.repetition_penalty  # vLLM's and SGLang's name
        asked = {"model": self._endpoint.model, "messages": list(request.messages)}
        return {**asked, **self._fields(request), "extra_body": extra}

    def _fields(self, request: Request) -> dict[str, Any]:
        """The fields of the protocol that say how the answer is drawn."""
        decoding = self._decoding
        limit = "max_completion_tokens" if "max_tokens" in self._rejected else "max_tokens"
        fields: dict[str, Any] = {limit: decoding.max_new_tokens, "temperature": decoding.temperature}
        if decoding.temperature:
            fields |= {"top_p": decoding.top_p, "seed": request.seed & _LARGEST_SEED}
        if decoding.likelihood:
            fields["logprobs"] = True
        own = {*self._extra_body, *self._rejected}
        if "max_completion_tokens" in own:
            own.add("max_tokens")  # no server accepts both
        return {name: value for name, value in fields.items() if name not in own}

    def _leave_out(self, name: str, said: str) -> None:
        if name not in self._rejected:  # requests of the same time are rejected for the same reason
            self._rejected.add(name)
            place = f"{self._endpoint.base_url}, model {self._endpoint.model}"
            print(f"{place}: rejects {name} ({said}); {_LEFT_OUT[name]}", file=sys.stderr)

    def _remedy(self, failure: Failure) -> str:
        """The key in params.yaml that the server's message is about."""
        if failure.param == "model":
            return "fix the name of the model in predict.endpoint.models in params.yaml"
        named = [name for name in (*self._extra_body, *_KEYS) if failure.names(name)]
        sent = [name for name in named if name in self._extra_body or name not in ("seed", "logprobs")]
        if not sent:
            return "fix predict.endpoint in params.yaml"
        own = f"predict.endpoint.extra_body ({sent[0]})"
        return f"change {own if sent[0] in self._extra_body else _KEYS[sent[0]]} in params.yaml"

    def _note_thought(self, request: Request) -> None:
        """Say once that the tokens did not suffice for a thought."""
        if not self._thought_too_long:
            self._thought_too_long = True
            limit = f"predict.max_new_tokens ({self._decoding.max_new_tokens})"
            remedy = f"raise {limit}, or switch thinking off in predict.endpoint.extra_body"
            _note(request, "the answer was truncated before it had any text", f"a thought, perhaps; {remedy}")


def _is_too_long(failure: Failure) -> bool:
    return bool({failure.code, failure.kind} & {*_TOO_LONG_CODES} or _TOO_LONG.search(failure.message))


def _rejected_field(failure: Failure, sent: Mapping[str, Any]) -> str | None:
    """The field of the request `sent` that the server does not support; None if that is not its reason."""
    if _is_too_long(failure):
        return None
    if failure.code not in _UNSUPPORTED_CODES and not _UNSUPPORTED.search(failure.message):
        return None
    optional = [name for name in _LEFT_OUT if name in sent]
    if failure.param in optional:
        return failure.param
    return next((name for name in optional if failure.names(name)), None)


def _note(request: Request, what: str, said: str) -> None:
    question = request.messages[-1]["content"].rpartition("\n")[2]
    shown = question if len(question) <= _SHOWN else f"{question[:_SHOWN]}..."
    print(f"{what}: {shown} ({said})", file=sys.stderr)


def _read(choice: Choice) -> Answer:
    """The answer; a refusal is kept like the text that it is."""
    tokens = choice.logprobs.content if choice.logprobs else None
    logprob = sum(token.logprob for token in tokens) / len(tokens) if tokens else None
    return Answer(choice.text, logprob, _problem(choice))


def _problem(choice: Choice) -> Problem | None:
    if choice.declined:
        return "declined"
    if choice.truncated:
        return "truncated"
    return None if choice.text.strip() else "empty"
