"""A language model converts schemas, over a server that misbehaves; nothing is paid twice or lost."""

from __future__ import annotations

import errno
import json
import logging
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, Told
from tests.openai_server import (
    DECLINED,
    FAULTS,
    FILTERS,
    LONG_S,
    Reply,
    Request,
    Serve,
    Server,
    refusal,
    timeout_for,
)
from text2sql import endpoint as endpoint_module
from text2sql.endpoint import run_all
from text2sql.errors import UserError
from text2sql.schema.answers import AnswerJournal, PaidAnswer
from text2sql.schema.convert import Conversion, Source
from text2sql.schema.ddl import Values
from text2sql.schema.openai_backend import JOURNAL, OpenAIBackend
from text2sql.schema.paid_client import PaidClient, _fingerprint
from text2sql.schema.settings import OpenAI

KEY = "sk-a-secret-of-4711"
SETTINGS = OpenAI(
    base_url="http://127.0.0.1:9/v1",
    model="writer",
    temperature=0.0,
    max_tokens=1000,
    max_tokens_name="max_tokens",
    concurrency=4,
    requests_per_minute=60_000,
    timeout_s=30.0,
    max_retries=3,
    usd_per_million_in=1.0,
    usd_per_million_out=10.0,
    cap_usd=None,
)


def changed(**changes: Any) -> OpenAI:
    return OpenAI(**{**dict(SETTINGS), **changes})


def source(number: int) -> Source:
    """A schema of two tables like no other number's."""
    prose = (
        f"shop{number} contains tables such as item, sale. Table item has columns such as id, name_{number}. "
        f"id is the primary key. The name_{number} contains values such as Tea. Table sale has columns such "
        "as item_id, order.  is the primary key. The item_id of sale is the foreign key of id of item."
    )
    return Source(number, f"shop{number}", prose)


def ddl(number: int) -> str:
    """The text that the rules write, and the obedient server."""
    return (
        f"CREATE TABLE item (id PRIMARY KEY, name_{number});\n"
        'CREATE TABLE sale (item_id REFERENCES item (id), "order");'
    )


def right(request: Request) -> Reply:
    return Reply(request.right)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(endpoint_module, "_FIRST_PAUSE_S", 0.01)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"


def backend(
    server: Server, work: Path, values: Values = "none", repairs: int = 2, **changes: Any
) -> OpenAIBackend:
    settings = changed(base_url=server.base_url, max_repairs=repairs, **changes)
    return OpenAIBackend(settings, values, work)


def convert(backend: OpenAIBackend, *numbers: int) -> dict[int, Conversion]:
    found = backend.convert_all([source(number) for number in numbers])
    return dict(sorted((source.row, conversion) for source, conversion in found))


# -- answers --


def test_a_right_answer_is_taken_as_it_is(serve: Serve, work: Path) -> None:
    server = serve(right)
    assert convert(backend(server, work), 0, 1, 2) == {
        number: Conversion(ddl(number), "openai", 1, ()) for number in range(3)
    }
    assert len(server.requests) == 3


def test_a_request_has_the_prose_the_model_and_the_limits(serve: Serve, work: Path) -> None:
    server = serve(right)
    convert(backend(server, work, max_tokens_name="max_completion_tokens", temperature=None), 5)
    (request,) = server.requests
    assert source(5).prose in request.body["messages"][1]["content"]
    assert {**request.body, "messages": []} == {
        "model": "writer",
        "messages": [],
        "max_completion_tokens": 1000,
    }
    assert request.key == KEY


@pytest.mark.parametrize("values", ["comment", "insert"])
def test_value_hints_are_asked_for_and_missed(serve: Serve, work: Path, values: Values) -> None:
    server = serve(right)  # which forgets them
    made = convert(backend(server, work, values, repairs=0), 1)[1]
    assert made.backend == "rules" and "'Tea'" in made.ddl
    assert "values" in server.requests[0].messages[1]["content"].rpartition("\n- ")[2]
    assert "lost its example value 'Tea'" in made.problems[0]


def test_a_faulty_answer_goes_back_with_the_exact_complaints(serve: Serve, work: Path) -> None:
    wrong = "CREATE TABLE item (id PRIMARY KEY, colour);"
    server = serve(lambda request: right(request) if len(request.messages) > 2 else Reply(wrong))
    assert convert(backend(server, work), 1)[1] == Conversion(ddl(1), "openai", 2, ())
    first, second = server.requests
    assert second.messages[:2] == first.messages
    assert second.messages[2] == {"role": "assistant", "content": wrong}
    assert second.messages[3]["content"].splitlines()[1:-1] == [
        "- column name_1 of table item is missing: add it",
        "- column colour of table item is not in the source: leave it out",
        "- table sale is missing: add it",
    ]


def test_sqlites_own_words_go_back(serve: Serve, work: Path) -> None:
    broken = "CREATE TABLE sale (order);"
    server = serve(lambda request: right(request) if len(request.messages) > 2 else Reply(broken))
    convert(backend(server, work), 1)
    assert 'near "order": syntax error' in server.requests[1].messages[3]["content"]


@pytest.mark.parametrize("repairs", [0, 1, 3])
def test_after_the_last_repair_the_rules_take_over_and_say_so(serve: Serve, work: Path, repairs: int) -> None:
    server = serve(lambda request: Reply("I cannot."))
    made = convert(backend(server, work, repairs=repairs), 1)[1]
    assert (made.ddl, made.backend, made.attempts) == (ddl(1), "rules", repairs + 2)
    assert made.problems == (
        f"converted by rules, not by writer: answer {repairs + 1} falls short: "
        "table item is missing: add it (and 1 more)",
    )
    assert len(server.requests) == repairs + 1


def test_an_answer_that_was_cut_off_is_reported(serve: Serve, work: Path) -> None:
    server = serve(lambda request: Reply(request.right[:40], finish="length", usage=(9, 1000)))
    (problem,) = convert(backend(server, work, repairs=0), 1)[1].problems
    assert problem.endswith("it was cut off after 1000 tokens")


def test_prose_that_does_not_fit_is_named_before_anything_is_paid(serve: Serve, work: Path) -> None:
    server = serve(right)
    broken = replace(source(7), prose="shop has no tables")
    with pytest.raises(UserError, match=r"row 7 .*does not fit"):
        list(backend(server, work).convert_all([source(0), broken]))
    assert server.requests == []


# -- answers that are accepted, refusals and content filters --


@pytest.mark.parametrize("parts", [["{}"], [{"type": "text", "text": "{}"}], [{"type": "thinking"}, "{}"]])
def test_an_answer_in_parts_is_paid_once(serve: Serve, work: Path, parts: list[Any]) -> None:
    def script(request: Request) -> Reply:
        return Reply(content=json.loads(json.dumps(parts).replace("{}", json.dumps(request.right)[1:-1])))

    server = serve(script)
    assert convert(backend(server, work), 1) == {1: Conversion(ddl(1), "openai", 1, ())}
    assert len(server.requests) == 1


@pytest.mark.parametrize(("reply", "said"), DECLINED.values(), ids=DECLINED.keys())
def test_a_refusal_is_paid_once_and_leaves_its_schema_to_the_rules(
    serve: Serve, work: Path, reply: Reply, said: str
) -> None:
    server = serve(lambda request: reply if "shop1 " in request.prose else right(request))
    made = convert(backend(server, work), 0, 1, 2)
    assert [one.backend for one in made.values()] == ["openai", "rules", "openai"]
    assert (made[1].ddl, made[1].attempts) == (ddl(1), 2)
    (problem,) = made[1].problems
    assert problem.startswith("converted by rules, not by writer: ") and said in problem
    again = backend(server, work)
    assert convert(again, 0, 1, 2) == made
    assert len(server.requests) == again.spending.answers == 3


def test_an_answer_that_a_filter_cut_off_is_taken_if_it_is_right(serve: Serve, work: Path) -> None:
    server = serve(lambda request: replace(right(request), finish="content_filter"))
    assert convert(backend(server, work), 1) == {1: Conversion(ddl(1), "openai", 1, ())}


@pytest.mark.parametrize("reply", FILTERS.values(), ids=FILTERS.keys())
@pytest.mark.parametrize("numbers", [(1,), (0, 1)])
def test_a_filtered_request_leaves_its_schema_to_the_rules(
    serve: Serve, work: Path, reply: Reply, numbers: tuple[int, ...]
) -> None:
    server = serve(lambda request: reply if "shop1 " in request.prose else right(request))
    made = convert(backend(server, work), *numbers)
    assert (made[1].ddl, made[1].backend, made[1].attempts) == (ddl(1), "rules", 1)
    assert re.search(r"rules, not by writer: a content filter .*policy", made[1].problems[0])
    assert made.get(0, Conversion("", "openai", 1, ())).backend == "openai"
    assert len(server.requests) == len(numbers)


def test_a_server_that_denies_access_ends_the_run_at_once(serve: Serve, work: Path) -> None:
    server = serve(lambda request: refusal(403, "not in your country"))
    with pytest.raises(UserError, match=r"denies access \(HTTP 403: not in your country\)"):
        convert(backend(server, work, concurrency=1), 0, 1, 2)
    assert len(server.requests) == 1


# -- a server that misbehaves --


@pytest.mark.parametrize("fault", ["too many requests", "hang", "truncated"])
def test_a_fault_is_tried_again_and_costs_nothing(serve: Serve, work: Path, fault: str) -> None:
    server = serve(lambda request: FAULTS[fault] if request.nth < 2 else right(request))
    made = backend(server, work, timeout_s=timeout_for(FAULTS[fault]))
    assert convert(made, 1) == {1: Conversion(ddl(1), "openai", 1, ())}
    assert len(server.requests) == 3
    assert (made.spending.answers, made.spending.tokens_in, made.spending.tokens_out) == (1, 100, 10)


@pytest.mark.parametrize("fault", ["internal error", "cut", "truncated"])
def test_a_server_that_stays_silent_ends_the_run_with_what_is_kept(
    serve: Serve, work: Path, fault: str
) -> None:
    server = serve(lambda request: FAULTS[fault] if "shop1 " in request.prose else right(request))
    with pytest.raises(UserError, match=r"no answer in 3 tries, .*answers kept in .*: 1; run the same"):
        convert(backend(server, work, max_retries=2, concurrency=1), 0, 1)
    assert sum("shop1 " in request.prose for request in server.requests) == 3
    server.script = right
    assert convert(backend(server, work), 0, 1) == {n: Conversion(ddl(n), "openai", 1, ()) for n in (0, 1)}
    assert sum("shop0 " in request.prose for request in server.requests) == 1


def test_a_request_that_is_refused_leaves_its_schema_to_the_rules(serve: Serve, work: Path) -> None:
    too_long = refusal(400, "maximum context length exceeded")
    server = serve(lambda request: too_long if "shop1 " in request.prose else right(request))
    made = convert(backend(server, work), 0, 1)
    assert made[0].backend == "openai"
    assert (made[1].ddl, made[1].backend, made[1].attempts) == (ddl(1), "rules", 1)
    assert made[1].problems[0].endswith("the endpoint refuses: HTTP 400: maximum context length exceeded")


def test_a_server_that_refuses_every_request_ends_the_run(serve: Serve, work: Path) -> None:
    server = serve(lambda request: refusal(400, "max_tokens is not supported"))
    with pytest.raises(UserError, match=r"refuses every request .*max_tokens is not supported.*fix base_url"):
        convert(backend(server, work), 0, 1)


def test_answers_on_their_way_are_kept_when_another_request_ends_the_run(serve: Serve, work: Path) -> None:
    refused = threading.Event()

    def script(request: Request) -> Reply:
        if "shop0 " in request.prose:
            return replace(right(request), after=refused)
        threading.Timer(0.3, refused.set).start()
        return refusal(401, "who are you?")

    server = serve(script)
    with pytest.raises(UserError, match="refuses the key"):
        convert(backend(server, work, concurrency=2), 0, 1, 2, 3)
    assert len(AnswerJournal(work / JOURNAL).answers) == 1
    assert len(server.requests) == 2


# -- limits --


def test_tokens_and_cost_are_counted_over_all_runs(serve: Serve, work: Path) -> None:
    server = serve(right)
    convert(backend(server, work), 0)
    made = backend(server, work)
    convert(made, 0, 1)
    assert asdict(made.spending) == {"answers": 2, "tokens_in": 200, "tokens_out": 20, "usd": 0.0004}


def test_an_answer_without_a_count_is_charged_as_the_longest(serve: Serve, work: Path) -> None:
    server = serve(lambda request: replace(right(request), usage=None))
    made = backend(server, work)
    convert(made, 0)
    text = "".join(message["content"] for message in server.requests[0].messages)
    assert made.spending.tokens_out == 1000
    assert made.spending.tokens_in >= len(text.encode())


@pytest.mark.parametrize(
    ("usage", "read", "wrote"),
    [
        ({}, None, 1000),
        ({"prompt_tokens": None, "completion_tokens": None, "total_tokens": 12.0}, None, 1000),
        ({"prompt_tokens": 0, "completion_tokens": 0}, None, 1000),
        ({"prompt_tokens": 12.0, "completion_tokens": None}, 12, 1000),
        ({"prompt_tokens": None, "completion_tokens": 7.0}, None, 7),
        ({"prompt_tokens": "many", "completion_tokens": -7}, None, 1000),
    ],
)
def test_a_count_that_is_unknown_is_charged_at_the_most(
    serve: Serve, work: Path, usage: dict[str, Any], read: int | None, wrote: int
) -> None:
    server = serve(lambda request: replace(right(request), usage=usage))
    made = backend(server, work)
    assert convert(made, 0)[0].backend == "openai"
    text = "".join(message["content"] for message in server.requests[0].messages)
    assert made.spending.tokens_out == wrote
    assert made.spending.tokens_in == read if read else made.spending.tokens_in >= len(text.encode())
    assert len(server.requests) == 1


def test_answers_without_a_count_stay_below_the_cap(serve: Serve, work: Path) -> None:
    server = serve(lambda request: replace(right(request), usage={"prompt_tokens": None}))
    capped = backend(server, work, cap_usd=0.04)  # an answer costs 0.01 dollars at the most, and its prompt
    with pytest.raises(UserError, match="cap"):
        convert(capped, *range(9))
    assert len(server.requests) == 3 and 0.03 < capped.spending.usd <= 0.04


def test_no_tokens_are_charged_for_an_empty_answer_of_no_tokens(serve: Serve, work: Path) -> None:
    made = backend(serve(lambda request: replace(DECLINED["refusal"][0], usage=(90, 0))), work)
    convert(made, 0)
    assert (made.spending.tokens_in, made.spending.tokens_out) == (90, 0)


@pytest.mark.parametrize("concurrency", [1, 8])
def test_the_cap_is_never_passed_and_a_higher_one_goes_on(serve: Serve, work: Path, concurrency: int) -> None:
    server = serve(lambda request: replace(right(request), usage=(1000, 1000)))  # 0.011 dollars
    capped = backend(server, work, concurrency=concurrency, cap_usd=0.06)
    with pytest.raises(UserError, match=r"cap: 0.0\d+ of 0.06 US dollars .*answers kept .*raise"):
        convert(capped, *range(9))
    paid = len(server.requests)
    assert 4 <= paid <= 5
    assert capped.spending.answers == paid and capped.spending.usd <= 0.06
    assert len(convert(backend(server, work, cap_usd=1.0), *range(9))) == 9
    assert len(server.requests) == 9


def test_a_cap_that_does_not_cover_one_request_sends_none(serve: Serve, work: Path) -> None:
    server = serve(right)
    with pytest.raises(UserError, match=r"0.0000 of 0.001 US dollars"):
        convert(backend(server, work, cap_usd=0.001), 0)
    assert server.requests == []


# -- the key --


def test_the_key_is_in_no_file_message_log_or_conversion(
    serve: Serve, work: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = serve(lambda request: Reply(f"your key is {KEY}"))
    made = convert(backend(server, work, repairs=1), 0)
    server.script = lambda request: refusal(401, f"Incorrect API key provided: {KEY}")
    with pytest.raises(UserError) as error:
        convert(backend(server, work), 1)
    files = b"".join(path.read_bytes() for path in work.rglob("*") if path.is_file())
    assert b"your key is (OPENAI_API_KEY)" in files
    assert "HTTP Request: POST" in caplog.text
    assert KEY not in f"{files!r} {made} {error.value} {capfd.readouterr()} {caplog.text}"


def test_a_word_used_as_a_key_may_occur_in_an_answer(
    serve: Serve, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "item")
    assert convert(backend(serve(right), work), 0)[0].backend == "openai"


# -- the journal --


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "f87b7906766d59fcd1221d82c4bc330e87b9ae9411672c2b4c24ded60ca49a65"),
        (
            {"max_tokens_name": "max_completion_tokens", "temperature": None},
            "67dde97750c34b4eca3454d6bbf6fce705d1df72ea1ccb0a390f4fa33db03123",
        ),
    ],
)
def test_answers_of_earlier_versions_are_found(work: Path, changes: dict[str, Any], name: str) -> None:
    work.mkdir()
    answer = PaidAnswer(text="paid", finish="stop", tokens_in=1, tokens_out=1)
    AnswerJournal(work / JOURNAL).append(name, answer)
    client = PaidClient(changed(**changes), AnswerJournal(work / JOURNAL))
    messages = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Wie heißt das?"}]
    assert list(run_all(client, [client.ask(messages)])) == [answer]  # nothing listens at the address


def test_a_refusal_is_kept_with_its_words_and_other_answers_as_before(work: Path) -> None:
    work.mkdir()
    journal = AnswerJournal(work / JOURNAL)
    plain = PaidAnswer(text="paid", finish=None, tokens_in=1, tokens_out=1)
    declined = PaidAnswer(
        text="", finish="stop", tokens_in=1, tokens_out=1, declined="the model refuses: No."
    )
    journal.append("a", plain)
    journal.append("b", declined)
    first = (work / JOURNAL).read_text().splitlines()[0]
    assert json.loads(first)["answer"] == {"text": "paid", "finish": None, "tokens_in": 1, "tokens_out": 1}
    assert AnswerJournal(work / JOURNAL).answers == {"a": plain, "b": declined}


def test_what_was_answered_is_never_asked_again(serve: Serve, work: Path) -> None:
    server = serve(lambda request: right(request) if len(request.messages) > 2 else Reply("Hm."))
    first = convert(backend(server, work), *range(5))
    assert convert(backend(server, work), *range(5)) == first
    assert set(server.answered.values()) == {1} and len(server.answered) == 10


def test_another_question_to_the_model_is_another_request(serve: Serve, work: Path) -> None:
    server = serve(right)
    convert(backend(server, work), 0)
    convert(backend(server, work, temperature=1.0), 0)
    convert(backend(server, work, model="reader"), 0)
    assert [request.body["model"] for request in server.requests] == ["writer", "writer", "reader"]


def test_an_answer_is_synced_before_the_next_request_of_its_schema(
    serve: Serve, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    unsynced: list[Request] = []
    fsync = os.fsync

    def noted(number: int) -> None:
        fsync(number)
        synced.append(number)

    monkeypatch.setattr(os, "fsync", noted)

    def script(request: Request) -> Reply:
        if len(synced) < len(request.messages) // 2 - 1:
            unsynced.append(request)
        return Reply("Hm.")

    convert(backend(serve(script), work, repairs=3), 0)
    assert unsynced == [] and len(synced) == 4


def test_a_journal_cut_at_any_byte_costs_one_answer_at_most(serve: Serve, work: Path) -> None:
    server = serve(right)
    first = convert(backend(server, work, concurrency=1), 0, 1)
    whole = (work / JOURNAL).read_bytes()
    for size in range(0, len(whole), 23):
        (work / JOURNAL).write_bytes(whole[:size])
        server.requests.clear()
        assert convert(backend(server, work, concurrency=1), 0, 1) == first
        assert len(server.requests) == 2 - whole[:size].count(b"\n")
        assert sorted((work / JOURNAL).read_bytes().splitlines()) == sorted(whole.splitlines())


ENTRY = '{"request":"a","answer":{"text":"t","finish":null,"tokens_in":1,"tokens_out":1}}'


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nonsense", "not an answer"),
        ("[]", "not an answer"),
        ("\udcff", "not an answer"),
        (ENTRY.replace("1", '"1"'), "not an answer"),
        (ENTRY.replace('"text":"t",', ""), "not an answer"),
        (ENTRY, "answered before"),
    ],
)
def test_a_line_that_is_no_answer_is_refused_by_number(work: Path, line: str, said: str) -> None:
    work.mkdir()
    (work / JOURNAL).write_bytes(f"{ENTRY}\n{line}\n".encode(errors="surrogateescape"))
    with pytest.raises(UserError, match=rf"answers.jsonl, line 2: .*{said}; `rm "):
        AnswerJournal(work / JOURNAL)


def test_a_full_disk_ends_the_run_and_leaves_whole_lines(
    serve: Serve, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(right)
    convert(backend(server, work), 0)
    before = (work / JOURNAL).read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(UserError, match="No space left on device; answers kept: 1"):
            convert(backend(server, work, concurrency=1), 0, 1, 2)
    assert (work / JOURNAL).read_bytes() == before
    assert len(server.requests) == 2
    assert len(convert(backend(server, work), 0, 1, 2)) == 3


def test_two_runs_do_not_share_a_journal(serve: Serve, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told()
    running = backend(serve(right), work).convert_all([source(0), source(1)])
    next(running)
    monkeypatch.setattr("sys.stderr", told)
    server = serve(right)
    found: list[dict[int, Conversion]] = []
    second = threading.Thread(target=lambda: found.append(convert(backend(server, work), 2)))
    second.start()
    assert told.waits.wait(60)
    assert not server.requests and not found
    running.close()
    second.join(60)
    assert found == [{2: Conversion(ddl(2), "openai", 1, ())}]


def test_a_run_that_is_stopped_sends_no_more_requests(
    serve: Serve, work: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server = serve(lambda request: right(request) if "shop0 " in request.prose else Reply(fault="hang"))
    running = backend(server, work, concurrency=2).convert_all([source(number) for number in range(9)])
    assert next(running)[0].row == 0
    running.close()
    assert len(server.requests) <= 3
    assert capfd.readouterr().err == ""


# -- kills --

SCHEMAS, KILLS, AT_ONCE = 200, 6, 16
DRIVER = """
import json, sys
from dataclasses import asdict
from pathlib import Path
from tests.schema.test_openai_backend import AT_ONCE, SCHEMAS, changed, endpoint_module, source
from text2sql.schema.openai_backend import OpenAIBackend

endpoint_module._FIRST_PAUSE_S = 0.02
settings = changed(
    base_url=sys.argv[1], concurrency=AT_ONCE, timeout_s=1.0, max_retries=6, max_repairs=3
)
backend = OpenAIBackend(settings, "none", Path(sys.argv[2]))
found = backend.convert_all(list(map(source, range(SCHEMAS))))
made = {one.row: asdict(conversion) for one, conversion in found}
print(json.dumps([made, asdict(backend.spending)]))
"""


def misbehaving(request: Request) -> Reply:
    """What a schema meets depends on its number, on the round of the conversation and on the try."""
    number = int(request.prose.split()[0].removeprefix("shop"))
    first_round = len(request.messages) == 2
    faults = [
        refusal(429, "slow down", Retry_After="0.01"),
        refusal(500, "sorry"),
        Reply("x", fault="cut"),
        Reply("x", fault="truncated"),
        Reply(fault="hang") if number % 40 == 4 else refusal(503, "overloaded"),
    ]
    if request.nth == 0 and first_round and number % 10 < 5:
        return faults[number % 5]
    if first_round and number % 4 == 1:
        return Reply("CREATE TABLE item (id PRIMARY KEY,")
    if first_round and number % 4 == 2:
        return Reply(request.right.replace(f", name_{number}", ""))
    if first_round and number % 4 == 3:
        return Reply(f"Here's the schema:\n```sql\n{request.right}\n```\nThat's it; enjoy!")
    return right(request)


def start(server: Server, work: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", DRIVER, server.base_url, str(work)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def kill_after(process: subprocess.Popen[str], server: Server, requests: int, seconds: float) -> None:
    """Kill the process once it has sent so many requests, and a moment later than that."""
    goal = len(server.requests) + requests
    while len(server.requests) < goal:
        assert process.poll() is None, "the run ended before it was killed"
        time.sleep(0.001)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.slow
def test_kills_at_random_moments_lose_nothing_and_pay_nothing_twice(serve: Serve, work: Path) -> None:
    journal, chance = work / JOURNAL, random.Random(4)
    asked_again: list[str] = []

    def script(request: Request) -> Reply:
        name = _fingerprint(server.base_url, request.body)
        if journal.exists() and name.encode() in journal.read_bytes():
            asked_again.append(name)  # its answer was on disk when it came in
        return misbehaving(request)

    server = serve(script)
    for _ in range(KILLS):
        kill_after(start(server, work), server, chance.randint(1, 40), chance.uniform(0, 0.05))
        lines = journal.read_bytes().split(b"\n") if journal.exists() else [b""]
        assert all(json.loads(line)["answer"] for line in lines[:-1])
    out, _ = (last := start(server, work)).communicate(timeout=LONG_S)
    assert last.returncode == 0
    made, spending = json.loads(out)
    assert {int(row): (one["ddl"], one["backend"]) for row, one in made.items()} == {
        number: (ddl(number), "openai") for number in range(SCHEMAS)
    }
    assert asked_again == []
    # what was paid and is not on disk was still on its way when the process died
    assert server.answered.total() - spending["answers"] <= KILLS * AT_ONCE


@pytest.mark.slow
def test_without_kills_every_conversation_is_answered_once(serve: Serve, work: Path) -> None:
    server = serve(misbehaving)
    out, _ = start(server, work).communicate(timeout=LONG_S)
    made, spending = json.loads(out)
    assert set(server.answered.values()) == {1}
    assert spending["answers"] == len(server.answered) == sum(one["attempts"] for one in made.values())
