"""Answers over HTTP: bounded, tried again, resumed, and no word of the key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.inference.openai_server import Reply, Server, completion, failure, serving
from text2sql.inference.engine import Answer, Decoding, Request
from text2sql.inference.journal import generate_all
from text2sql.inference.openai_engine import Endpoint, OpenAIEngine
from text2sql.records import UserError

REQUESTS = [Request([{"role": "user", "content": f"CREATE TABLE t;\nQ{n}"}], n) for n in range(6)]
EXPECTED = [Answer(f"SELECT {n}") for n in range(6)]


def question(body: dict[str, Any]) -> int:
    return int(body["messages"][-1]["content"].rpartition("Q")[2])


def echo(body: dict[str, Any]) -> Reply:
    return completion(f"SELECT {question(body)}")


def failing_first(*failures: Reply) -> Callable[[dict[str, Any]], Reply]:
    """Answers that fail so, in this order, before all is well."""
    left = list(failures)
    return lambda body: left.pop(0) if left else echo(body)


def engine(server: Server, decoding: Decoding | None = None, **changes: Any) -> OpenAIEngine:
    settings: dict[str, Any] = {
        "concurrency": 2,
        "timeout_s": 10.0,
        "retries": 0,
        "extra_body": {},
    }
    endpoint = Endpoint(server.url, "qwen3", **settings | changes)
    return OpenAIEngine(endpoint, decoding or Decoding(60))


def answers(one: OpenAIEngine, journal: Path) -> list[Answer | None]:
    return generate_all(one, REQUESTS, journal, "test")


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def test_every_question_gets_its_own_answer(journal: Path) -> None:
    with serving(Server(echo)) as server:
        assert answers(engine(server), journal) == EXPECTED


def test_no_more_requests_are_open_than_allowed(journal: Path) -> None:
    with serving(Server(echo, delay_s=0.05)) as server:
        answers(engine(server, concurrency=3), journal)
    assert 1 < server.most_open <= 3


def test_a_greedy_request_says_so_and_no_more(journal: Path) -> None:
    with serving(Server(echo)) as server:
        answers(engine(server), journal)
    body = next(body for body in server.bodies if question(body) == 0)
    assert body == {
        "model": "qwen3",
        "messages": REQUESTS[0].messages,
        "max_tokens": 60,
        "temperature": 0.0,
        "top_p": 1.0,
    }


def test_a_drawn_answer_is_asked_for_with_its_seed_and_its_likelihood(journal: Path) -> None:
    decoding = Decoding(60, 0.7, 0.9, repetition_penalty=1.1, likelihood=True)
    with serving(Server(lambda _: completion("SELECT 1", [-0.5, -1.5]))) as server:
        found = answers(engine(server, decoding, extra_body={"top_k": 20}), journal)
    body = next(body for body in server.bodies if question(body) == 3)
    assert found[3] == Answer("SELECT 1", -1.0)
    assert {key: body[key] for key in ("temperature", "top_p", "seed", "logprobs")} == {
        "temperature": 0.7,
        "top_p": 0.9,
        "seed": 3,
        "logprobs": True,
    }
    assert (body["repetition_penalty"], body["top_k"]) == (1.1, 20)


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_failure_that_may_pass_is_tried_again_after_the_pause_asked_for(journal: Path, status: int) -> None:
    broken = failure(status, Retry_After="0.01")
    with serving(Server(failing_first(broken, broken))) as server:
        assert answers(engine(server, retries=2, concurrency=1), journal) == EXPECTED
    assert len(server.bodies) == len(REQUESTS) + 2


def test_an_endpoint_that_dies_midway_leaves_what_it_answered_and_says_how_to_go_on(
    journal: Path,
) -> None:
    dead = False

    def dies(body: dict[str, Any]) -> Reply:
        nonlocal dead
        dead = dead or question(body) == 3
        return failure(503, "out of service") if dead else echo(body)

    with (
        serving(Server(dies)) as server,
        pytest.raises(UserError, match=r"127\.0\.0\.1.*out of service.*then run the same command again"),
    ):
        answers(engine(server, concurrency=1), journal)
    kept = journal.read_bytes()
    assert kept.count(b"\n") == 3
    with serving(Server(echo)) as server:
        assert answers(engine(server), journal) == EXPECTED
    assert sorted(map(question, server.bodies)) == [3, 4, 5]  # nothing is asked twice
    assert journal.read_bytes().startswith(kept)


def test_answers_under_way_when_another_request_fails_are_kept(journal: Path) -> None:
    def slow_but_one(body: dict[str, Any]) -> Reply:
        return failure(500) if question(body) == 0 else echo(body)

    with serving(Server(slow_but_one, delay_s=0.05)) as server, pytest.raises(UserError):
        answers(engine(server, concurrency=3), journal)
    assert journal.read_bytes().count(b"\n") == len(server.bodies) - 1


def test_an_endpoint_that_is_not_there_is_named(journal: Path) -> None:
    with serving(Server(echo)) as server:
        pass
    with pytest.raises(UserError, match=r"127\.0\.0\.1.*Connection error.*start the server"):
        answers(engine(server), journal)


def test_a_request_that_takes_too_long_fails(journal: Path) -> None:
    with (
        serving(Server(echo, delay_s=0.3)) as server,
        pytest.raises(UserError, match="timed out"),
    ):
        answers(engine(server, timeout_s=0.05), journal)


def test_a_prompt_too_long_for_the_server_gets_an_empty_answer_and_is_listed(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def short(body: dict[str, Any]) -> Reply:
        too_long = failure(400, "This model's maximum context length is 100 tokens")
        return too_long if question(body) == 2 else echo(body)

    with serving(Server(short)) as server:
        found = answers(engine(server), journal)
    assert found == [*EXPECTED[:2], Answer(""), *EXPECTED[3:]]
    said = capsys.readouterr().err
    assert "too long for the server, so its prediction is empty: Q2" in said
    assert "maximum context length is 100 tokens" in said


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (failure(400, "unknown field logprobs"), "unknown field logprobs.*mend predict.endpoint"),
        (failure(404, "no model qwen3"), r"no model qwen3.*mend predict\.endpoint\.base_url or \.models"),
        (failure(401, "wrong key sk-secret"), r"wrong key \*\*\*.*set OPENAI_API_KEY"),
        ((200, {}, {"choices": []}), "no chat completion.*mend predict.endpoint.base_url"),
        ((200, {}, "hello"), "no chat completion"),
    ],
)
def test_a_refusal_is_reported_with_the_parameter_to_mend(
    journal: Path, monkeypatch: pytest.MonkeyPatch, reply: Reply, message: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with serving(Server(lambda _: reply)) as server, pytest.raises(UserError, match=message) as found:
        answers(engine(server), journal)
    assert "sk-secret" not in str(found.value)


def test_the_key_comes_from_the_environment_and_is_part_of_nothing_that_is_kept(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with serving(Server(echo)) as server:
        one = engine(server)
        answers(one, journal)
    assert server.keys == {"Bearer sk-secret"}
    assert "sk-secret" not in f"{one.identity}{journal.read_text()}"


def test_an_answer_without_content_is_an_empty_one(journal: Path) -> None:
    with serving(Server(lambda _: completion(None))) as server:
        assert answers(engine(server), journal) == [Answer("")] * len(REQUESTS)


def test_nothing_more_is_asked_for_when_the_answers_cannot_be_kept(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise UserError("No space left on device")

    monkeypatch.setattr("text2sql.inference.journal.Journal.append", full)
    with (
        serving(Server(echo, delay_s=0.2)) as server,
        pytest.raises(UserError, match="No space left"),
    ):
        answers(engine(server, concurrency=1), journal)
    assert len(server.bodies) < len(REQUESTS)
