"""A faulty endpoint: the request rate, waiting, retries and the end of the run."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from openai import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    OpenAI,
    PermissionDeniedError,
    RateLimitError,
)
from openai.types.chat import ChatCompletion
from pydantic import ValidationError

from tests.openai_server import (
    DECLINED,
    FAULTS,
    FILTERS,
    LENIENT,
    LONG_S,
    TYPICAL,
    Reply,
    Request,
    Serve,
    Server,
    completion,
    refusal,
    timeout_for,
)
from text2sql import endpoint as endpoint_module
from text2sql.completions import Completion, Usage
from text2sql.endpoint import Client, Filtered, Refused, run_all
from text2sql.endpoint_settings import Endpoint, EndpointSettings
from text2sql.errors import UserError
from text2sql.settings import checked

KEY = "sk-a-secret-of-4711"
ENDPOINT = Endpoint(
    base_url="http://127.0.0.1:9/v1", model="writer", concurrency=4, timeout_s=30.0, max_retries=3
)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(endpoint_module, "_FIRST_PAUSE_S", 0.01)


def right(request: Request) -> Reply:
    return Reply(f"to {asked(request)}")


def asked(request: Request) -> int:
    return int(request.messages[0]["content"])


def ask(endpoint: Endpoint, numbers: int) -> list[str]:
    """The answers to so many questions."""
    client = Client(endpoint)

    async def answer(number: int) -> str:
        messages = [{"role": "user", "content": str(number)}]
        completion = await client.complete({"model": "writer", "messages": messages})
        return completion.choices[0].message.content or ""

    return sorted(run_all(client, map(answer, range(numbers))))


def of(server: Server, **changes: Any) -> Endpoint:
    return Endpoint(**{**dict(ENDPOINT), "base_url": server.base_url, **changes})


# -- faults --


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_reported_and_the_request_is_sent_again(
    serve: Serve, fault: Reply, capfd: pytest.CaptureFixture[str]
) -> None:
    server = serve(lambda request: fault if request.nth < 2 else right(request))
    assert ask(of(server, timeout_s=timeout_for(fault)), 1) == ["to 0"]
    assert len(server.requests) == 3
    assert capfd.readouterr().err.count("trying again") == 2


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match=r"^http://127.0.0.1:9/v1: no answer in 2 tries, .*Connection"):
        ask(Endpoint(**{**dict(ENDPOINT), "max_retries": 1}), 1)


def test_no_request_comes_before_the_time_that_the_server_named(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, until, early = threading.Event(), [0.0], []
    wait_after = Client._wait_after

    async def noted(self: Client, *fault: Any) -> None:
        held.set()
        await wait_after(self, *fault)

    def script(request: Request) -> Reply:
        if asked(request) == 0 and request.nth == 0:
            until[0] = time.monotonic() + 0.4
            return refusal(429, "slow down", Retry_After="0.5")
        if asked(request) == 1:  # on its way since before; then its place is free for others
            return replace(right(request), after=held)
        if time.monotonic() < until[0]:
            early.append(request)
        return right(request)

    monkeypatch.setattr(Client, "_wait_after", noted)
    assert len(ask(of(serve(script), concurrency=2), 6)) == 6
    assert held.is_set() and early == []


def test_a_wait_of_hours_ends_the_run(serve: Serve) -> None:
    server = serve(lambda request: refusal(429, "tomorrow", Retry_After="7200"))
    with pytest.raises(UserError, match=r"asks to wait 7200 s .*the answers so far are kept"):
        ask(of(server), 1)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (refusal(401, f"Incorrect API key provided: {KEY}"), r"refuses the key .*`export OPENAI_API_KEY="),
        (refusal(403, "not in your country"), r"denies access .*not in your country.*use a key .* 'writer'"),
        (Reply(body='{"error": {"message": "flagged", "code": 403}}'), r"denies access .*error 403: flagged"),
        (refusal(402, "pay first"), "no credit left"),
        (refusal(429, "You exceeded your quota", "insufficient_quota"), "no credit left"),
        (refusal(404, "The model `writer` does not exist"), r"fix the model \('writer'\) or base_url"),
        (Reply(status=405, body="<html>"), "HTTP 405: <html>"),
    ],
)
def test_a_failure_that_a_retry_cannot_fix_ends_the_run_at_once(
    serve: Serve, reply: Reply, said: str
) -> None:
    server = serve(lambda request: reply)
    with pytest.raises(UserError, match=said) as error:
        ask(of(server, concurrency=1), 5)
    assert len(server.requests) == 1
    assert KEY not in str(error.value)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refused_request_is_distinguished_from_an_endpoint_that_fails(serve: Serve, status: int) -> None:
    server = serve(lambda request: refusal(status, "too long"))
    with pytest.raises(Refused, match=f"^HTTP {status}: too long$"):
        ask(of(server), 1)


@pytest.mark.parametrize("reply", FILTERS.values(), ids=FILTERS.keys())
def test_a_content_filter_is_named_with_the_servers_words_and_not_asked_again(
    serve: Serve, reply: Reply
) -> None:
    server = serve(lambda request: reply)
    with pytest.raises(Filtered, match=r"^a content filter stopped the request \(HTTP .*: .*policy\)$"):
        ask(of(server), 1)
    assert len(server.requests) == 1


# -- answers in the forms that servers send --


def completion_of(server: Server) -> Completion:
    client = Client(of(server))
    request = client.complete({"model": "writer", "messages": [{"role": "user", "content": "0"}]})
    return next(iter(list(run_all(client, [request]))))


@pytest.mark.parametrize("reply", {**TYPICAL, **LENIENT}.values(), ids={**TYPICAL, **LENIENT}.keys())
def test_an_answer_is_accepted_in_every_form(serve: Serve, reply: Reply) -> None:
    server = serve(lambda request: reply)
    (choice,) = completion_of(server).choices
    assert (choice.message.content, choice.declined) == ("SELECT 1", "")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ((100, 10), (100, 10)),
        ({"prompt_tokens": 12.0, "completion_tokens": 0.0}, (12, 0)),
        ({"prompt_tokens": 12.5, "completion_tokens": "7"}, (13, 7)),
        ({"prompt_tokens": None, "completion_tokens": 7}, (None, 7)),
        ({"prompt_tokens": -1, "completion_tokens": True}, (None, None)),
        ({"prompt_tokens": float("nan"), "completion_tokens": "many"}, (None, None)),
        ({"prompt_tokens": {}, "completion_tokens": float("inf")}, (None, None)),
        ({}, (None, None)),
        (None, (None, None)),
    ],
)
def test_tokens_are_whole_numbers_or_unknown(
    serve: Serve, usage: Any, expected: tuple[int | None, int | None]
) -> None:
    found = completion_of(serve(lambda request: Reply("x", usage=usage))).usage
    assert (found.prompt_tokens, found.completion_tokens) == expected


@pytest.mark.parametrize("usage", ["null", "[]", "7", '"none"'])
def test_usage_of_another_type_is_unknown(serve: Serve, usage: str) -> None:
    body = json.dumps(completion(Reply("x", usage=None)))[:-1] + f', "usage": {usage}}}'
    found = completion_of(serve(lambda request: Reply(body=body)))
    assert (found.choices[0].message.content, found.usage) == ("x", Usage())


def test_of_several_choices_only_the_first_is_read(serve: Serve) -> None:
    body = completion(Reply("x"))
    body["choices"].append({"message": None})
    found = completion_of(serve(lambda request: Reply(body=json.dumps(body))))
    assert [choice.message.content for choice in found.choices] == ["x"]


@pytest.mark.parametrize(("reply", "said"), DECLINED.values(), ids=DECLINED.keys())
def test_a_refusal_and_a_content_filter_are_named_with_the_servers_words(
    serve: Serve, reply: Reply, said: str
) -> None:
    (choice,) = completion_of(serve(lambda request: reply)).choices
    assert choice.message.content == "" and said in choice.declined
    assert choice.declined.startswith(("the model refuses: ", "a content filter stopped the answer ("))


# -- the stand-in and OpenAI's own client --


@pytest.mark.parametrize("reply", TYPICAL.values(), ids=TYPICAL.keys())
def test_typical_answers_of_the_stand_in_have_openais_types(reply: Reply) -> None:
    parsed = ChatCompletion.model_validate(completion(reply))
    assert parsed.choices[0].message.content == "SELECT 1"


@pytest.mark.parametrize("reply", LENIENT.values(), ids=LENIENT.keys())
def test_lenient_answers_of_the_stand_in_have_other_types_than_openais(reply: Reply) -> None:
    with pytest.raises(ValidationError):
        ChatCompletion.model_validate(completion(reply))


@pytest.mark.parametrize("reply", {**TYPICAL, **LENIENT}.values(), ids={**TYPICAL, **LENIENT}.keys())
def test_openais_client_lets_every_answer_of_the_stand_in_through(serve: Serve, reply: Reply) -> None:
    server = serve(lambda request: reply)
    with OpenAI(base_url=server.base_url, api_key="none", max_retries=0) as client:
        found = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "0"}])
    sent = completion(reply)
    assert found.choices[0].message.content == sent["choices"][0]["message"]["content"]
    assert found.choices[0].finish_reason == reply.finish
    counted = found.usage.completion_tokens if found.usage else None
    assert counted == sent.get("usage", {}).get("completion_tokens")


@pytest.mark.parametrize(("reply", "said"), DECLINED.values(), ids=DECLINED.keys())
def test_openais_client_lets_refusals_and_filters_of_the_stand_in_through(
    serve: Serve, reply: Reply, said: str
) -> None:
    server = serve(lambda request: reply)
    with OpenAI(base_url=server.base_url, api_key="none", max_retries=0) as client:
        found = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "0"}])
    assert json.loads(found.to_json(warnings=False))["choices"] == completion(reply)["choices"]


@pytest.mark.parametrize(
    ("reply", "kind", "code"),
    [
        (FILTERS["OpenAI, Azure"], BadRequestError, "content_filter"),
        (FILTERS["xAI"], PermissionDeniedError, None),
        (
            refusal(401, "Incorrect API key provided", "invalid_api_key"),
            AuthenticationError,
            "invalid_api_key",
        ),
        (refusal(403, "not in your country"), PermissionDeniedError, None),
        (refusal(429, "slow down", "insufficient_quota"), RateLimitError, "insufficient_quota"),
    ],
)
def test_openais_client_reads_the_errors_of_the_stand_in(
    serve: Serve, reply: Reply, kind: type[APIStatusError], code: str | None
) -> None:
    server = serve(lambda request: reply)
    with (
        OpenAI(base_url=server.base_url, api_key="none", max_retries=0) as client,
        pytest.raises(kind) as error,
    ):
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "0"}])
    assert error.value.code == code


# -- pace --


def test_no_more_requests_are_on_their_way_than_allowed(serve: Serve) -> None:
    gate, both = threading.Event(), threading.Barrier(3, action=lambda: gate.set())

    def script(request: Request) -> Reply:
        if not gate.is_set():
            both.wait(LONG_S)  # the first three are here together
        return right(request)

    server = serve(script)
    assert len(ask(of(server, concurrency=3), 12)) == 12
    assert server.most_at_once == 3


def test_requests_start_as_far_apart_as_the_rate_says(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, starts = [1000.0], []

    async def pause(self: Client, seconds: float) -> None:
        clock[0] += seconds

    def script(request: Request) -> Reply:
        starts.append(clock[0])
        return right(request)

    monkeypatch.setattr(endpoint_module, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(Client, "_pause", pause)
    ask(of(serve(script), concurrency=1, requests_per_minute=20), 4)
    assert starts == [1000.0, 1003.0, 1006.0, 1009.0]


# -- key and address --


def test_the_key_is_sent_and_cut_out_of_answers(serve: Serve) -> None:
    server = serve(lambda request: Reply(f"your key is {KEY}"))
    assert ask(of(server), 1) == ["your key is (OPENAI_API_KEY)"]
    assert server.requests[0].key == KEY


def test_the_users_own_server_needs_no_key(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    server = serve(lambda request: Reply("none"))
    assert ask(of(server), 1) == ["none"]


def test_a_missing_key_is_named_if_the_server_needs_one(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(UserError, match=r"none given.*`export OPENAI_API_KEY="):
        ask(of(serve(lambda request: refusal(401, "none given"))), 1)


@pytest.mark.parametrize("key", ["sk-1\n", "sk 1", "sk-ä1", "\t"])
def test_a_key_that_is_no_valid_header_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(UserError, match="OPENAI_API_KEY: contains a space") as error:
        Client(ENDPOINT)
    assert key not in str(error.value)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://user:sk-1@host/v1", "contains a user, a password or a query"),
        ("https://host/v1?key=sk-1", "contains a user, a password or a query"),
        ("http://user:sk-1@[host/v1", "contains a user, a password or a query"),
        ("host/v1", "not an address"),
        ("http://[host/v1", "not an address"),
        ("http://host:99999/v1", "not an address"),
        ("", "not an address"),
    ],
)
def test_an_address_is_an_address_and_nothing_more(address: str, said: str) -> None:
    settings = {"base_url": address, "model": "writer"}
    with pytest.raises(UserError, match=rf"^params: base_url: .*{said}") as error:
        checked(Endpoint, settings, "params")
    with pytest.raises(ValidationError, match=said) as direct:
        Endpoint.model_validate(settings)
    assert "sk-1" not in f"{error.value} {direct.value}"


def test_a_server_that_is_not_named_has_no_model() -> None:
    with pytest.raises(ValidationError, match="base_url"):
        EndpointSettings().with_model("writer")
