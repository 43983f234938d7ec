"""An engine in several processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import ROOT
from text2sql.errors import UserError
from text2sql.inference.engine import Answer, Request
from text2sql.inference.engine_processes import Batch, EngineProcesses


class Echo:
    """Answers with its process, its share of the GPUs and the question; `faults` maps questions to errors."""

    identity: Mapping[str, object] = {}
    max_prompt_tokens = None

    def __init__(self, faults: Mapping[str, str]) -> None:
        self._faults = faults
        if "start" in faults:
            raise UserError("the model cannot be loaded")

    def plan(self, requests: Sequence[Request]) -> list[list[int]]:
        return [[number] for number in range(len(requests))]

    def generate(self, batches: Sequence[Batch]) -> Iterator[tuple[int, list[Answer]]]:
        for number, (request,) in batches:
            question = str(request.messages[0]["content"])
            if self._faults.get(question) == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if question in self._faults:
                raise UserError(f"{question} is refused")
            yield number, [Answer(f"{os.getpid()} {os.environ['PART']} {question}")]

    def close(self) -> None:
        pass


def batches(count: int) -> list[Batch]:
    return [(number, [Request([{"content": f"q{number}"}], 0)]) for number in range(count)]


def started(faults: Mapping[str, str] | None = None) -> EngineProcesses:
    return EngineProcesses(partial(Echo, faults or {}), [{"PART": "a"}, {"PART": "b"}])


@pytest.mark.slow
def test_neighbouring_batches_are_answered_once_by_one_process_that_stays() -> None:
    with closing(started()) as processes:
        found = {number: answer.text.split() for number, (answer,) in processes.generate(batches(5))}
        assert [(part, question) for _, part, question in map(found.get, range(5))] == [  # type: ignore[misc]
            ("a", "q0"),
            ("a", "q1"),
            ("b", "q2"),
            ("b", "q3"),
            ("b", "q4"),
        ]
        again = {answer.text.split()[0] for _, (answer,) in processes.generate(batches(2))}
        assert again == {pid for pid, _, _ in found.values()} and len(again) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("faults", "message"),
    [
        ({"q1": "refuse"}, "q1 is refused"),
        ({"start": "fail"}, "the model cannot be loaded"),
        ({"q3": "kill"}, "ended with status -9.*run the same command again"),
    ],
)
def test_a_fault_in_a_process_is_an_error_here(faults: Mapping[str, str], message: str) -> None:
    with closing(started(faults)) as processes, pytest.raises(UserError, match=message):
        list(processes.generate(batches(4)))


# Starts two processes, prints their ids, and then does what follows.
_PROGRAM = """
import os, signal, time
from tests.inference.test_engine_processes import batches, started
if __name__ == "__main__":
    processes = started()
    print(*(answer.text.split()[0] for _, (answer,) in processes.generate(batches(2))), flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("end", ["", "    os.kill(os.getpid(), signal.SIGKILL)"], ids=["ends", "is killed"])
def test_the_processes_end_with_the_program_that_started_them(tmp_path: Path, end: str) -> None:
    program = tmp_path / "program.py"
    program.write_text(_PROGRAM + end)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(program)], env=environment, capture_output=True, text=True, timeout=120
    )
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 2, done.stderr
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline, "a process outlives its program"
        time.sleep(0.05)
