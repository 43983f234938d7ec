"""Answers over HTTP: limits, retries, resuming, and a key that is never stored or shown."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.openai_server import (
    DECLINED,
    FILTERS,
    LENIENT,
    OTHER_CONTEXTS,
    SORRY,
    TOO_LONG,
    TYPICAL,
    Reply,
    Request,
    Serve,
    Server,
    refusal,
)
from text2sql import endpoint as endpoint_module
from text2sql.endpoint import Client
from text2sql.endpoint_settings import Endpoint
from text2sql.errors import UserError
from text2sql.inference import engine as engine_module
from text2sql.inference.engine import Answer
from text2sql.inference.journal import generate_all
from text2sql.inference.openai_engine import OpenAIEngine
from text2sql.inference.settings import Decoding
from text2sql.records import Problem

KEY = "sk-a-secret-of-4711"
REQUESTS = [
    engine_module.Request([{"role": "user", "content": f"CREATE TABLE t;\nQ{n}"}], n) for n in range(6)
]
DRAWN = Decoding(max_new_tokens=60, temperature=0.7, likelihood=True)
RECORDED = json.loads(Path(__file__).with_name("recorded_answers.json").read_text(encoding="utf-8"))
EXPECTED = [Answer(f"SELECT {n}") for n in range(6)]


def question(request: Request) -> int:
    return int(request.messages[-1]["content"].rpartition("Q")[2])


def echo(request: Request) -> Reply:
    return Reply(f"SELECT {question(request)}")


def except_for(number: int, reply: Reply) -> Callable[[Request], Reply]:
    """A script with the right answer to every question except `number`."""
    return lambda request: reply if question(request) == number else echo(request)


def engine(
    server: Server, decoding: Decoding | None = None, extra_body: dict[str, Any] | None = None, **changes: Any
) -> OpenAIEngine:
    settings: dict[str, Any] = {"concurrency": 2, "timeout_s": 10.0, "max_retries": 0}
    endpoint = Endpoint(base_url=server.base_url, model="qwen3", **settings | changes)
    return OpenAIEngine(endpoint, decoding or Decoding(max_new_tokens=60), extra_body or {})


def answers(one: OpenAIEngine, journal: Path) -> list[Answer | None]:
    return generate_all(one, REQUESTS, journal, "test")


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


@pytest.fixture(autouse=True)
def endpoint_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(endpoint_module, "_FIRST_PAUSE_S", 0.01)


def test_every_question_gets_its_own_answer(serve: Serve, journal: Path) -> None:
    assert answers(engine(serve(echo)), journal) == EXPECTED


def test_the_identity_is_address_model_and_additional_fields(serve: Serve) -> None:
    server = serve(echo)
    assert engine(server, extra_body={"top_k": 20}, timeout_s=1.0).identity == {
        "base_url": server.base_url,
        "model": "qwen3",
        "extra_body": {"top_k": 20},
    }


def test_a_greedy_request_has_no_seed_and_no_logprobs(serve: Serve, journal: Path) -> None:
    server = serve(echo)
    answers(engine(server), journal)
    body = next(request.body for request in server.requests if question(request) == 0)
    assert body == {
        "model": "qwen3",
        "messages": REQUESTS[0].messages,
        "max_tokens": 60,
        "temperature": 0.0,
    }


def test_a_request_for_a_drawn_answer_has_seed_and_logprobs(serve: Serve, journal: Path) -> None:
    decoding = Decoding(
        max_new_tokens=60, temperature=0.7, top_p=0.9, repetition_penalty=1.1, likelihood=True
    )
    server = serve(lambda _: Reply("SELECT 1", logprobs=(-0.5, -1.5)))
    found = answers(engine(server, decoding, extra_body={"top_k": 20}), journal)
    body = next(request.body for request in server.requests if question(request) == 3)
    assert found[3] == Answer("SELECT 1", -1.0)
    assert {key: body[key] for key in ("temperature", "top_p", "seed", "logprobs")} == {
        "temperature": 0.7,
        "top_p": 0.9,
        "seed": 3,
        "logprobs": True,
    }
    assert (body["repetition_penalty"], body["top_k"]) == (1.1, 20)


def test_an_answer_without_content_is_empty(serve: Serve, journal: Path) -> None:
    expected = [Answer("", problem="empty")] * len(REQUESTS)
    assert answers(engine(serve(lambda _: Reply(None))), journal) == expected


@pytest.mark.parametrize("recorded", RECORDED, ids=[one["server"] for one in RECORDED])
def test_recorded_answers_of_real_servers_are_read(
    serve: Serve, journal: Path, recorded: dict[str, Any]
) -> None:
    server = serve(lambda _: Reply(body=json.dumps(recorded["body"])))
    expected = Answer(recorded["text"], recorded["logprob"], recorded["problem"])
    assert answers(engine(server, DRAWN), journal) == [expected] * len(REQUESTS)


@pytest.mark.parametrize("finish", ["length", "max_tokens", "MAX_TOKENS", "model_length"])
def test_an_answer_that_reached_its_limit_is_truncated(serve: Serve, journal: Path, finish: str) -> None:
    server = serve(except_for(2, Reply("SELECT 2, (", finish=finish)))
    found = answers(engine(server), journal)
    assert found == [*EXPECTED[:2], Answer("SELECT 2, (", problem="truncated"), *EXPECTED[3:]]
    server.requests.clear()
    assert answers(engine(server), journal) == found  # the journal keeps it
    assert server.requests == []


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_a_thought_that_took_all_tokens_leaves_a_truncated_answer_and_the_remedy_is_named_once(
    serve: Serve, journal: Path, capsys: pytest.CaptureFixture[str], field: str
) -> None:
    thought = Reply(None, message={field: "Is it SELECT 7?"}, finish="length")
    found = answers(engine(serve(lambda _: thought)), journal)
    assert found == [Answer("", problem="truncated")] * len(REQUESTS)
    said = capsys.readouterr().err
    remedy = "raise predict.max_new_tokens (60), or switch thinking off in predict.endpoint.extra_body"
    assert said.count(remedy) == 1


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_an_answer_that_the_server_took_for_a_thought_is_the_answer(
    serve: Serve, journal: Path, field: str
) -> None:
    server = serve(lambda request: Reply(None, message={field: echo(request).text}))
    assert answers(engine(server), journal) == EXPECTED


@pytest.mark.parametrize("finish", ["abort", "error", "insufficient_system_resource"])
def test_an_answer_that_the_server_interrupted_is_requested_again_and_never_kept(
    serve: Serve, journal: Path, finish: str
) -> None:
    half = Reply("SEL", finish=finish)
    server = serve(lambda request: half if request.nth == 0 else echo(request))
    assert answers(engine(server, max_retries=1), journal) == EXPECTED
    journal.unlink()
    server.script = except_for(0, half)
    with pytest.raises(UserError, match=rf"interrupted the answer \(finish_reason {finish}\)"):
        answers(engine(server, concurrency=1), journal)
    assert not journal.exists() or 'SEL"' not in journal.read_text()


# -- a model that does not take every field --

# What OpenAI's reasoning models answer
ONLY_COMPLETION_TOKENS = refusal(
    400,
    "Unsupported parameter: 'max_tokens' is not supported with this model. "
    "Use 'max_completion_tokens' instead.",
    "unsupported_parameter",
    "max_tokens",
)
ONLY_TEMPERATURE_1 = refusal(
    400,
    "Unsupported value: 'temperature' does not support 0.0 with this model. Only the default (1) value is "
    "supported.",
    "unsupported_value",
    "temperature",
)
REJECTIONS = {
    "max_tokens": ONLY_COMPLETION_TOKENS,
    "temperature": ONLY_TEMPERATURE_1,
    "top_p": refusal(400, "`temperature` and `top_p` cannot both be specified for this model."),
    "seed": refusal(422, '[{"type": "extra_forbidden", "loc": ["body", "seed"]}]'),
    "logprobs": refusal(403, "You are not allowed to request logprobs from this model"),
}


def reasoning_model(request: Request) -> Reply:
    """Rejects one field after the other, as OpenAI's reasoning models do."""
    for name in ("max_tokens", "temperature", "top_p", "logprobs"):
        if name in request.body:
            return REJECTIONS[name]
    return echo(request)


def test_a_reasoning_model_needs_no_setting(
    serve: Serve, journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve(reasoning_model)
    assert answers(engine(server, DRAWN, concurrency=1), journal) == EXPECTED
    assert len(server.requests) == len(REQUESTS) + 4  # remembered from the first question on
    body = {k: v for k, v in server.requests[-1].body.items() if k not in ("messages", "seed")}
    assert body == {"model": "qwen3", "max_completion_tokens": 60}
    said = capsys.readouterr().err
    assert [said.count(f"model qwen3: rejects {name} ") for name in REJECTIONS] == [1, 1, 1, 0, 1]


@pytest.mark.parametrize("name", REJECTIONS)
def test_a_rejected_field_is_left_out_with_a_note_also_while_others_are_on_their_way(
    serve: Serve, journal: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    server = serve(lambda request: REJECTIONS[name] if name in request.body else echo(request))
    assert answers(engine(server, DRAWN, concurrency=6), journal) == EXPECTED
    assert capsys.readouterr().err.count(f"rejects {name} ") == 1
    assert "max_completion_tokens" in server.requests[-1].body or name != "max_tokens"


def test_what_a_server_rejects_does_not_change_the_identity(serve: Serve, journal: Path) -> None:
    one = engine(serve(reasoning_model), DRAWN)
    before = one.identity
    answers(one, journal)
    assert one.identity == before


def test_a_field_that_is_still_rejected_under_its_other_name_ends_the_run(
    serve: Serve, journal: Path
) -> None:
    neither = refusal(400, "Unsupported parameter: 'max_completion_tokens'", "unsupported_parameter")
    limited = "max_completion_tokens"
    server = serve(lambda request: neither if limited in request.body else ONLY_COMPLETION_TOKENS)
    with pytest.raises(UserError, match=r"change predict\.max_new_tokens in params\.yaml"):
        answers(engine(server, concurrency=1), journal)
    assert len(server.requests) == 2


def test_additional_fields_replace_the_engines_own_and_null_leaves_one_out(
    serve: Serve, journal: Path
) -> None:
    server = serve(lambda _: Reply("SELECT 1"))
    extra = {"temperature": None, "logprobs": None, "seed": 7, "max_completion_tokens": 500, "top_k": 20}
    answers(engine(server, DRAWN, extra_body=extra), journal)
    body = {k: v for k, v in server.requests[0].body.items() if k != "messages"}
    assert body == {"model": "qwen3", "top_p": 1.0, "seed": 7, "max_completion_tokens": 500, "top_k": 20}


def test_a_seed_has_at_most_31_bits(serve: Serve, journal: Path) -> None:
    server = serve(echo)
    request = engine_module.Request(REQUESTS[0].messages, 2**32 - 1)
    generate_all(engine(server, DRAWN), [request], journal, "test")
    assert server.requests[0].body["seed"] == 2**31 - 1


# -- a server that fails --


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_temporary_failure_is_retried(serve: Serve, journal: Path, status: int) -> None:
    broken = refusal(status, "it broke", Retry_After="0.01")
    server = serve(lambda request: broken if request.nth < 2 else echo(request))
    assert answers(engine(server, max_retries=2), journal) == EXPECTED
    assert len(server.requests) == 3 * len(REQUESTS)


def test_a_pause_that_a_server_requests_delays_every_question(
    serve: Serve, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, until, early = threading.Event(), [0.0], []
    wait_after = Client._wait_after

    async def noted(self: Client, *fault: Any) -> None:
        known.set()
        await wait_after(self, *fault)

    def script(request: Request) -> Reply:
        if question(request) == 0 and request.nth == 0:
            until[0] = time.monotonic() + 0.4
            return refusal(429, "slow down", Retry_After="0.5")
        if (
            question(request) == 1
        ):  # answered once the engine knows of the pause, so that a new request could start
            return replace(echo(request), after=known)
        if time.monotonic() < until[0]:
            early.append(request)
        return echo(request)

    monkeypatch.setattr(Client, "_wait_after", noted)
    assert answers(engine(serve(script), max_retries=1), journal) == EXPECTED
    assert known.is_set() and early == []


@pytest.mark.parametrize("fault", ["hang", "drip"])
def test_an_answer_that_never_ends_fails_at_the_timeout(serve: Serve, journal: Path, fault: Any) -> None:
    server = serve(lambda _: Reply("SELECT 1", fault=fault))
    with pytest.raises(UserError, match=r"no complete answer within 0\.3 s"):
        answers(engine(server, timeout_s=0.3), journal)
    assert len(server.requests) == 2  # both were sent at the same time


def test_a_server_that_fails_midway_leaves_its_answers_and_the_error_says_how_to_resume(
    serve: Serve, journal: Path
) -> None:
    server = serve(except_for(3, refusal(503, "out of service")))
    message = (
        r"127\.0\.0\.1.*out of service.*the answers so far are kept; run the same command again to continue"
    )
    with pytest.raises(UserError, match=message):
        answers(engine(server, concurrency=1), journal)
    kept = journal.read_bytes()
    assert kept.count(b"\n") == 3
    server.script = echo
    server.requests.clear()
    assert answers(engine(server), journal) == EXPECTED
    assert sorted(map(question, server.requests)) == [3, 4, 5]  # nothing is asked twice
    assert journal.read_bytes().startswith(kept)


def test_answers_to_requests_already_sent_when_another_fails_are_kept(serve: Serve, journal: Path) -> None:
    together = threading.Barrier(3)

    def script(request: Request) -> Reply:
        together.wait(10)
        if question(request):
            time.sleep(0.3)  # the failure comes first
        return except_for(0, refusal(500, "it broke"))(request)

    server = serve(script)
    with pytest.raises(UserError, match="it broke"):
        answers(engine(server, concurrency=3), journal)
    assert len(server.requests) == 3
    assert journal.read_bytes().count(b"\n") == 2


def test_a_prompt_too_long_for_the_server_gets_an_empty_answer_and_is_listed(
    serve: Serve, journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    too_long = refusal(400, "This model's maximum context length is 100 tokens")
    found = answers(engine(serve(except_for(2, too_long))), journal)
    assert found == [*EXPECTED[:2], Answer("", problem="prompt_too_long"), *EXPECTED[3:]]
    said = capsys.readouterr().err
    assert "too long for the server, so its prediction is empty: Q2" in said
    assert "maximum context length is 100 tokens" in said


@pytest.mark.parametrize("reply", TOO_LONG.values(), ids=TOO_LONG.keys())
def test_a_prompt_that_is_too_long_is_recognised_on_every_server(
    serve: Serve, journal: Path, reply: Reply
) -> None:
    found = answers(engine(serve(except_for(2, reply))), journal)
    assert found == [*EXPECTED[:2], Answer("", problem="prompt_too_long"), *EXPECTED[3:]]


@pytest.mark.parametrize("message", OTHER_CONTEXTS.values(), ids=OTHER_CONTEXTS.keys())
def test_another_error_with_the_word_context_ends_the_run(serve: Serve, journal: Path, message: str) -> None:
    with pytest.raises(UserError, match=r"fix predict\.endpoint in params\.yaml"):
        answers(engine(serve(lambda _: refusal(400, message))), journal)
    assert not journal.exists() or journal.read_bytes() == b""


@pytest.mark.parametrize("reply", FILTERS.values(), ids=FILTERS.keys())
def test_a_question_that_a_content_filter_stops_gets_an_empty_answer_and_is_listed(
    serve: Serve, journal: Path, capsys: pytest.CaptureFixture[str], reply: Reply
) -> None:
    server = serve(except_for(2, reply))
    declined = Answer("", problem="declined")
    assert answers(engine(server), journal) == [*EXPECTED[:2], declined, *EXPECTED[3:]]
    said = capsys.readouterr().err
    assert "stopped by a content filter, so its prediction is empty: Q2" in said and "policy" in said
    assert len(server.requests) == len(REQUESTS)


@pytest.mark.parametrize(("reply", "words"), DECLINED.values(), ids=DECLINED.keys())
def test_a_refusal_is_an_answer_and_is_listed(
    serve: Serve, journal: Path, capsys: pytest.CaptureFixture[str], reply: Reply, words: str
) -> None:
    server = serve(except_for(2, reply))
    found = answers(engine(server), journal)
    declined = Answer(words if words == SORRY else "", problem="declined")
    assert found == [*EXPECTED[:2], declined, *EXPECTED[3:]]
    said = capsys.readouterr().err
    assert "not answered, or not to the end: Q2" in said and words in said
    assert len(server.requests) == len(REQUESTS)


@pytest.mark.parametrize("reply", {**TYPICAL, **LENIENT}.values(), ids={**TYPICAL, **LENIENT}.keys())
def test_an_answer_is_accepted_in_every_form(serve: Serve, journal: Path, reply: Reply) -> None:
    decoding = Decoding(max_new_tokens=60, temperature=0.7, likelihood=True)
    server = serve(lambda _: reply)
    found = answers(engine(server, decoding), journal)
    problem: Problem | None = "truncated" if reply.finish == "length" else None
    assert found == [Answer("SELECT 1", -1.0 if reply.logprobs else None, problem)] * len(REQUESTS)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (refusal(403, f"not for {KEY}"), r"denies access .*not for \(OPENAI_API_KEY\).*use a key"),
        (refusal(400, f"unknown field logprobs {KEY}"), "unknown field logprobs.*fix predict.endpoint"),
        (
            refusal(400, "max_tokens is too large: 60. This model supports at most 16", "invalid_value"),
            r"change predict\.max_new_tokens in params\.yaml",
        ),
        (
            refusal(400, f"no such model for {KEY}", param="model"),
            r"no such model.*fix the name of the model in predict\.endpoint\.models",
        ),
        (
            refusal(404, f"The model `qwen3` does not exist, {KEY}", "model_not_found"),
            r"the server has no model 'qwen3' for this key: fix the name of the model",
        ),
        (  # vLLM 0.32.0, as the next two
            refusal(404, "The model `qwen3` does not exist. Valid aliases: tiny.", 404, "model"),
            r"Valid aliases: tiny.*the server has no model 'qwen3'",
        ),
        (
            refusal(400, "max_tokens=60 cannot be greater than max_model_len=20", 400, "max_tokens"),
            r"change predict\.max_new_tokens in params\.yaml",
        ),
        (
            refusal(
                400, "temperature must be non-negative, got 0 (parameter=temperature)", 400, "temperature"
            ),
            r"change predict\.temperature in params\.yaml",
        ),
        (
            refusal(404, f"no model qwen3 for {KEY}"),
            r"no model qwen3.*fix the model \('qwen3'\) or base_url",
        ),
        (refusal(401, f"wrong key {KEY}"), r"wrong key \(OPENAI_API_KEY\).*`export OPENAI_API_KEY="),
        (refusal(503, f"{KEY} waits"), r"no answer in 1 tries.*\(OPENAI_API_KEY\) waits"),
        (Reply(body='{"choices": []}'), "no chat completion.*base_url often ends in /v1"),
        (Reply(body=f'"{KEY}"'), "no chat completion"),
    ],
)
def test_a_refusal_is_reported_with_the_remedy_and_without_the_key(
    serve: Serve, journal: Path, capfd: pytest.CaptureFixture[str], reply: Reply, message: str
) -> None:
    server = serve(lambda _: reply)
    with pytest.raises(UserError, match=message) as found:
        answers(engine(server, concurrency=1), journal)
    assert len(server.requests) == 1
    assert KEY not in f"{found.value} {capfd.readouterr()}"


def test_the_key_is_read_from_the_environment_and_not_stored(serve: Serve, journal: Path) -> None:
    server = serve(lambda request: replace(echo(request), text=f"SELECT '{KEY}'"))
    one = engine(server)
    answers(one, journal)
    assert {request.key for request in server.requests} == {KEY}
    assert KEY not in f"{one.identity}{journal.read_text()}"


def test_no_more_requests_are_sent_if_answers_cannot_be_stored(
    serve: Serve, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise UserError("No space left on device")

    monkeypatch.setattr("text2sql.inference.journal.BatchJournal.append", full)
    server = serve(echo)
    with pytest.raises(UserError, match="No space left"):
        answers(engine(server, concurrency=1), journal)
    assert len(server.requests) < len(REQUESTS)
