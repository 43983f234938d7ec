"""A local HTTP server with the chat completions protocol, and with faults on demand."""

from __future__ import annotations

import json
import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

from text2sql.schema.ddl import write_ddl
from text2sql.schema.prose import read_prose

LONG_S = 60.0  # longer than any test waits


@dataclass(frozen=True)
class Reply:
    """A reply: `text` in a chat completion, or `body`, or a fault.

    `content` stands in place of `text` where it has parts; `message` and `choice` are further fields of
    the message and of the choice; `usage` is tokens read and written, or the object itself.

    `hang` and `drip` never end, `cut` closes the connection in the middle of the body, `truncated` ends the
    JSON early. The reply is sent when `after` is set.
    """

    text: str | None = ""
    content: Sequence[Any] | None = None
    message: Mapping[str, Any] = field(default_factory=dict)
    choice: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    fault: Literal["hang", "drip", "cut", "truncated"] | None = None
    finish: str = "stop"
    usage: tuple[int, int] | Mapping[str, Any] | None = (100, 10)
    logprobs: tuple[float, ...] = ()
    after: threading.Event | None = None


@dataclass(frozen=True)
class Request:
    """A received request; `nth` counts the requests with the same messages, from 0."""

    messages: list[dict[str, str]]
    body: dict[str, Any]
    key: str
    nth: int

    @property
    def name(self) -> str:
        """Identifies the conversation."""
        return json.dumps(self.messages)

    @property
    def prose(self) -> str:
        """The prose of the schema that is to be converted."""
        return next(line for line in self.messages[1]["content"].splitlines() if " contains tables " in line)

    @property
    def right(self) -> str:
        """The correct CREATE TABLE text of that schema, without value hints."""
        return write_ddl(read_prose(self.prose)[1])


def refusal(
    status: int, message: str, code: str | int | None = None, param: str | None = None, **headers: str
) -> Reply:
    """An error in OpenAI's form."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    error = {"message": message, "code": code, "param": param}
    return Reply(status=status, headers=named, body=json.dumps({"error": error}))


def _llama_cpp_too_long() -> Reply:
    """As llama.cpp's server (xllamacpp 2026.10.11549) answers, with its own fields."""
    message = "request (9031 tokens) exceeds the available context size (1024 tokens), try increasing it"
    fields = {"type": "exceed_context_size_error", "n_prompt_tokens": 9031, "n_ctx": 1024}
    return Reply(status=400, body=json.dumps({"error": {"code": 400, "message": message, **fields}}))


# A prompt that is too long, as servers say it
TOO_LONG = {
    "vLLM 0.32.0": refusal(
        400,
        "This model's maximum context length is 2048 tokens. However, your prompt contains at least 2049 "
        "input tokens, which exceeds this limit even without any output tokens. Please reduce the length of "
        "the input prompt. (parameter=input_tokens, value=2049)",
        400,
        "input_tokens",
    ),
    "OpenAI, Azure": refusal(400, "Your input has too many tokens.", "context_length_exceeded", "messages"),
    "llama.cpp": _llama_cpp_too_long(),
    "SGLang": refusal(400, "The input (9031 tokens) is longer than the model's context length (512 tokens)."),
    "Anthropic": refusal(400, "prompt is too long: 213462 tokens > 200000 maximum"),
    "Gemini": refusal(
        400, "The input token count (1196265) exceeds the maximum number of tokens allowed (1048575)."
    ),
    "xAI": refusal(
        400, "This model's maximum prompt length is 131072 but the request contains 537812 tokens"
    ),
    "Groq": refusal(400, "Please reduce the length of the messages or completion."),
    "Mistral": refusal(
        400, "Prompt contains 200000 tokens, too large for model with 131072 maximum context length"
    ),
    "Alibaba": refusal(400, "Range of input length should be [1, 30720]"),
    "Text Generation Inference": refusal(
        422, "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 9031 and 20"
    ),
}
# Errors with the word "context" that say nothing of the prompt's length
OTHER_CONTEXTS = {
    "a gateway": "upstream: context deadline exceeded",
    "a field": "Unknown field 'context' in the request",
    "a setting": "num_ctx: the context size must be positive",
}


FILTERS = {
    "OpenAI, Azure": refusal(400, "The prompt triggered our policy", "content_filter"),
    "OpenAI, policy": refusal(400, "The prompt triggered our policy", "content_policy_violation"),
    "Alibaba": refusal(400, "The prompt triggered our policy", "data_inspection_failed"),
    "xAI": Reply(status=403, body='{"code": "denied", "error": "Content violates usage guidelines: policy"}'),
    "status 200": Reply(body='{"error": {"message": "against our policy", "code": "content_filter"}}'),
}

FAULTS = {
    "too many requests": refusal(429, "slow down", Retry_After="0.05"),
    "too many requests, by date": refusal(429, "slow down", Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"),
    "too many requests, at once": refusal(429, "slow down", Retry_After="0"),
    "too many requests, no word when": refusal(429, "slow down", Retry_After="soon"),
    "internal error": refusal(500, "sorry"),
    "bad gateway": Reply(status=502, body="<html>Bad gateway</html>"),
    "overloaded, and cut": Reply(status=503, body="x" * 99, fault="cut"),
    "hang": Reply(fault="hang"),
    "a byte now and then": Reply("x", fault="drip"),
    "cut": Reply("x", fault="cut"),
    "truncated": Reply("x", fault="truncated"),
    "empty body": Reply(body=""),
    "a page in place of JSON": Reply(body="<html>Sign in</html>"),
    "an error with status 200": Reply(body='{"error": {"message": "overloaded"}}'),
    "an error of its own status": Reply(body='{"error": {"message": "overloaded", "code": 503}}'),
    "an error in one word": Reply(body='{"error": "overloaded"}'),
    "no choices": Reply(body='{"choices": []}'),
    "half a character": Reply(body='{"choices": [{"message": {"content": "\\ud800"}}]}'),
    "another type": Reply(body='{"choices": [{"message": {"content": 7}}]}'),
}


_PARTS = ({"type": "text", "text": "SELECT"}, {"type": "text", "text": " 1"})
_THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "SELECT 2?"}]}

# Answers with the text "SELECT 1" as servers really send them: those that OpenAI's own types describe ...
TYPICAL = {
    "one text": Reply("SELECT 1"),
    "cut off": Reply("SELECT 1", finish="length"),
    "log-probabilities": Reply("SELECT 1", logprobs=(-0.5, -1.5)),
    "another form of log-probabilities": Reply("SELECT 1", choice={"logprobs": {"tokens": ["x"]}}),
    "thinking beside it": Reply("SELECT 1", message={"reasoning_content": "SELECT 2?"}),
    "no tools": Reply("SELECT 1", message={"tool_calls": [], "function_call": None, "audio": None}),
    "no usage": Reply("SELECT 1", usage=None),
    "details of usage": Reply(
        "SELECT 1",
        usage={
            "prompt_tokens": 100,
            "completion_tokens": 10,
            "total_tokens": 110,
            "completion_tokens_details": {"reasoning_tokens": 4},
        },
    ),
    "whole floats": Reply(
        "SELECT 1", usage={"prompt_tokens": 100.0, "completion_tokens": 10.0, "total_tokens": 110.0}
    ),
}
# ... and those that OpenAI's client lets through as they are
LENIENT = {
    "parts": Reply(content=_PARTS),
    "one part": Reply(content=[{"type": "text", "text": "SELECT 1"}]),
    "parts of text alone": Reply(content=["SELECT", " 1"]),
    "thinking among the parts": Reply(content=[_THOUGHT, *_PARTS]),
    "text with notes": Reply(content=[{"type": "text", "text": {"value": "SELECT 1", "annotations": []}}]),
    "nulls in usage": Reply("SELECT 1", usage={"prompt_tokens": None, "completion_tokens": None}),
    "half a token": Reply("SELECT 1", usage={"prompt_tokens": 99.5, "completion_tokens": 9.5}),
    "negative usage": Reply("SELECT 1", usage={"prompt_tokens": -1, "completion_tokens": -1}),
    "empty usage": Reply("SELECT 1", usage={}),
    "another end": Reply("SELECT 1", finish="eos"),
    "log-probabilities of another type": Reply("SELECT 1", choice={"logprobs": [-0.5]}),
    "a null among the log-probabilities": Reply(
        "SELECT 1", choice={"logprobs": {"content": [{"token": "x", "logprob": None}]}}
    ),
    "an infinite log-probability": Reply(
        "SELECT 1", choice={"logprobs": {"content": [{"token": "x", "logprob": -math.inf}]}}
    ),
    "usage without the tokens written": Reply("SELECT 1", usage={"prompt_tokens": 100, "total_tokens": 110}),
}
# Answers, paid like others, in which there is no text, and the words that say why
SORRY = "I cannot help with that."
DECLINED = {
    "refusal": (Reply(None, message={"refusal": SORRY}), SORRY),
    "refusal among the parts": (Reply(content=[{"type": "refusal", "refusal": SORRY}]), SORRY),
    "filter": (Reply(None, finish="content_filter"), "finish_reason content_filter"),
    "filter, Azure": (
        Reply(
            None,
            finish="content_filter",
            choice={"content_filter_results": {"hate": {"filtered": True}, "violence": {"filtered": False}}},
        ),
        "finish_reason content_filter, hate",
    ),
    "filter, no message": (
        Reply(finish="content_filter: SAFETY", choice={"message": None}),
        "finish_reason content_filter: SAFETY",
    ),
}


def timeout_for(fault: Reply) -> float:
    """A timeout in seconds, short only for a fault without end, because a busy machine is slow to answer."""
    return 1.0 if fault.fault in ("hang", "drip") else LONG_S


class Server:
    """Replies as `script` says; records the requests, and the conversations with a complete answer."""

    def __init__(self, script: Callable[[Request], Reply]) -> None:
        self.script = script
        self.requests: list[Request] = []
        self.answered: Counter[str] = Counter()
        self.most_at_once = 0
        self.base_url = ""
        self._at_once = 0
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._closing = threading.Event()

    @contextmanager
    def running(self) -> Iterator[Server]:
        """Serve on a free port until the block ends."""
        http = _HTTP(("127.0.0.1", 0), _Handler)
        http.owner = self
        self.base_url = f"http://127.0.0.1:{http.server_port}/v1"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._closing.set()
            http.shutdown()
            http.server_close()
            thread.join()

    def handle(self, handler: _Handler) -> None:
        """Answer one request."""
        request = self._record(handler)
        try:
            reply = self.script(request)
            if reply.after:
                reply.after.wait(LONG_S)
            if self._sent(handler, reply):
                with self._lock:
                    self.answered[request.name] += 1
        finally:
            with self._lock:
                self._at_once -= 1

    def _record(self, handler: _Handler) -> Request:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        name = json.dumps(body["messages"])
        with self._lock:
            key = handler.headers["Authorization"].removeprefix("Bearer ")
            request = Request(body["messages"], body, key, self._seen[name])
            self._seen[name] += 1
            self.requests.append(request)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        return request

    def _sent(self, handler: _Handler, reply: Reply) -> bool:
        """Send the reply; returns whether it was a complete chat completion."""
        if reply.fault == "hang":
            handler.close_connection = True
            self._closing.wait(LONG_S)
            return False
        content = (reply.body if reply.body is not None else json.dumps(completion(reply))).encode()
        whole = content[: len(content) // 2] if reply.fault == "truncated" else content
        handler.send_response(reply.status)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(whole)))
        handler.end_headers()
        if reply.fault == "drip":
            self._drip(handler, whole)
        elif reply.fault == "cut":
            handler.wfile.write(whole[: len(whole) // 2])
            handler.close_connection = True
        else:
            handler.wfile.write(whole)
        return reply.fault is None and reply.body is None

    def _drip(self, handler: _Handler, content: bytes) -> None:
        """Send single bytes with short pauses, which take long in total."""
        handler.close_connection = True
        for at in range(len(content)):
            if self._closing.wait(0.1):
                return
            handler.wfile.write(content[at : at + 1])


class _HTTP(ThreadingHTTPServer):
    daemon_threads = True
    owner: Server


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _HTTP

    def do_POST(self) -> None:
        try:
            self.server.owner.handle(self)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client ended the connection, or was killed

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: tests check `Server.requests`."""


def completion(reply: Reply) -> dict[str, Any]:
    """The chat completion, with every field that OpenAI's reference requires, unless the reply changes it."""
    content = reply.text if reply.content is None else list(reply.content)
    message = {"role": "assistant", "content": content, "refusal": None, **reply.message}
    choice: dict[str, Any] = {
        "index": 0,
        "message": message,
        "finish_reason": reply.finish,
        "logprobs": _logprobs(reply.logprobs) if reply.logprobs else None,
        **reply.choice,
    }
    value = {"object": "chat.completion", "id": "x", "created": 1, "model": "fake", "choices": [choice]}
    return value if reply.usage is None else {**value, "usage": _usage(reply.usage)}


def _logprobs(values: Sequence[float]) -> dict[str, Any]:
    fixed: dict[str, Any] = {"token": "x", "bytes": None, "top_logprobs": []}
    tokens = [{**fixed, "logprob": value} for value in values]
    return {"content": tokens, "refusal": None}


def _usage(counted: tuple[int, int] | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(counted, Mapping):
        return counted
    read, written = counted
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


Serve = Callable[[Callable[[Request], Reply]], Server]  # the fixture `serve`
