"""Generation resumes where it was stopped, even if the last line of the journal is incomplete."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from text2sql.errors import UserError
from text2sql.inference.engine import Answer, Request
from text2sql.inference.journal import BatchJournal, generate_all

REQUESTS = [Request([{"role": "user", "content": str(n)}], n) for n in range(7)]
BATCHES = [[6, 2], [0, 1, 3], [5]]  # request 4 is in none
TEXTS = ["say 0", "say 1", "say 2 é\u2028", "say 3", "", "say 5", "say 6"]
ANSWERS = [None if n == 4 else Answer(text) for n, text in enumerate(TEXTS)]


class FakeEngine:
    """Answers at once and records the requests; is interrupted at the batch with request `stops_at`."""

    identity: Mapping[str, object] = {}
    max_prompt_tokens = 10

    def __init__(self, stops_at: int | None = None, logprob: float | None = None) -> None:
        self.asked: list[list[int]] = []
        self._stops_at = stops_at
        self._logprob = logprob

    def plan(self, requests: Sequence[Request]) -> list[list[int]]:
        assert list(requests) == REQUESTS
        return BATCHES

    def generate(
        self, batches: Sequence[tuple[int, Sequence[Request]]]
    ) -> Iterator[tuple[int, list[Answer]]]:
        for number, requests in batches:
            seeds = [request.seed for request in requests]
            if self._stops_at in seeds:
                raise KeyboardInterrupt
            self.asked.append(seeds)
            yield number, [Answer(TEXTS[seed], self._logprob) for seed in seeds]


def run(journal: Path, engine: FakeEngine) -> list[Answer | None]:
    return generate_all(engine, REQUESTS, journal, "test")


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def test_answers_come_in_the_order_of_the_requests(journal: Path) -> None:
    assert run(journal, FakeEngine()) == ANSWERS


def test_a_finished_run_is_not_generated_again(journal: Path) -> None:
    run(journal, FakeEngine())
    second = FakeEngine()
    assert run(journal, second) == ANSWERS
    assert second.asked == []


def test_a_stopped_run_resumes_with_the_batch_it_stopped_in(journal: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(journal, FakeEngine(stops_at=5))
    second = FakeEngine()
    assert run(journal, second) == ANSWERS
    assert second.asked == [[5]]


def test_a_journal_cut_at_any_byte_leads_to_the_same_answers(journal: Path) -> None:
    run(journal, FakeEngine())
    whole = journal.read_bytes()
    for size in range(len(whole)):
        journal.write_bytes(whole[:size])
        engine = FakeEngine()
        assert run(journal, engine) == ANSWERS
        assert journal.read_bytes() == whole
        assert len(engine.asked) == len(BATCHES) - whole[:size].count(b"\n")


def test_a_line_cut_short_is_reported(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal.write_text('{"batch": 0, "pro')
    run(journal, FakeEngine())
    assert f"{journal}: the last line was cut short" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "[]",
        '{"batch": 0, "prompts": [6, 2]}',
        '{"batch": 0, "prompts": [2, 6], "raw": ["a", "b"]}',
        '{"batch": 0, "prompts": [6, 2], "raw": ["a"]}',
        '{"batch": 0, "prompts": [6, 2], "raw": ["a", null]}',
        '{"batch": 9, "prompts": [6, 2], "raw": ["a", "b"]}',
        '{"batch": true, "prompts": [0, 1, 3], "raw": ["a", "b", "c"]}',
        '{"batch": 0, "prompts": [6, 2], "raw": ["a", "b"], "logprob": [-0.1]}',
        '{"batch": 0, "prompts": [6, 2], "raw": ["a", "b"], "logprob": ["-1", null]}',
        '{"batch": 0, "prompts": [6, 2], "raw": ["a", "b"], "problem": ["truncated"]}',
        '{"batch": 0, "prompts": [6, 2], "raw": ["a", "b"], "problem": ["lost", null]}',
        '{"batch": 0, "prompts": [6, 2], "raw": ["a", "b"], "problem": [[], null]}',
        '{"batch": 2, "prompts": [5], "raw": ["say 5"]}',  # repeated
    ],
)
def test_a_line_of_another_run_is_refused_by_number(journal: Path, line: str) -> None:
    journal.write_text('{"batch": 2, "prompts": [5], "raw": ["say 5"]}\n' + line + "\n")
    with pytest.raises(UserError, match=r"journal.jsonl, line 2: .*`rm "):
        run(journal, FakeEngine())


def test_a_full_disk_is_reported_with_what_is_kept(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = BatchJournal(journal, BATCHES)
    log.append(0, [Answer("say 6"), Answer("say 2")])

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"No space left on device; 1 of 3 batches are kept"):
        log.append(1, [Answer("say 0"), Answer("say 1"), Answer("say 3")])
    assert journal.read_text().count("\n") == 1 and journal.read_text().endswith("}\n")


def test_each_batch_is_one_line_that_names_its_prompts(journal: Path) -> None:
    run(journal, FakeEngine())
    entries = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [entry["prompts"] for entry in entries] == BATCHES


def test_entries_of_answers_without_logprob_have_three_fields(journal: Path) -> None:
    run(journal, FakeEngine())
    assert all(set(json.loads(line)) == {"batch", "prompts", "raw"} for line in journal.open())


def test_logprobs_are_kept_to_the_last_digit(journal: Path) -> None:
    first = run(journal, FakeEngine(logprob=-0.1234567890123))
    assert first[0] == Answer("say 0", -0.1234567890123)
    assert run(journal, FakeEngine(stops_at=0)) == first


def test_problems_are_kept_and_null_for_answers_without(journal: Path) -> None:
    log = BatchJournal(journal, BATCHES)
    answers = [Answer("say 6", problem="truncated"), Answer("say 2", -0.5)]
    log.append(0, answers)
    entry = json.loads(journal.read_text())
    assert (entry["problem"], entry["logprob"]) == (["truncated", None], [None, -0.5])
    assert BatchJournal(journal, BATCHES).finished == {0: answers}


def test_batches_that_finished_out_of_order_are_reused(journal: Path) -> None:
    run(journal, FakeEngine())
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text(lines[2] + lines[0])
    second = FakeEngine()
    assert run(journal, second) == ANSWERS
    assert second.asked == [BATCHES[1]]
