"""Work spread over forked processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT
from text2sql.errors import UserError
from text2sql.processes import Stopped, spread, stopped_by_signals

# Spreads work that never ends, and prints the processes that do it.
_ENDLESS = """
import os, time
from text2sql.processes import spread
def work(item):
    os.write(1, f"{os.getpid()}\\n".encode())  # in one piece, also without a buffer
    time.sleep(600)
list(spread(work, [1, 2, 3], 2))
"""


@pytest.mark.parametrize("processes", [1, 2, 5])
def test_every_item_comes_back_once_with_its_number(processes: int) -> None:
    shared = object()  # cannot be pickled: it is forked
    found = dict(spread(lambda item: (item * 2, shared is not None), [10, 20, 30, 40], processes))
    assert found == {0: (20, True), 1: (40, True), 2: (60, True), 3: (80, True)}


def test_several_processes_do_the_work() -> None:
    def work(item: int) -> int:
        time.sleep(0.2)  # so that one process cannot do it all
        return os.getpid()

    doers = {pid for _, pid in spread(work, range(4), 2)}
    assert len(doers) == 2 and os.getpid() not in doers


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_of_the_work_comes_through(processes: int) -> None:
    def work(item: int) -> int:
        raise UserError(f"item {item} is bad")

    with pytest.raises(UserError, match="item 7 is bad"):
        list(spread(work, [7, 7], processes))


def test_a_killed_process_is_an_error_that_says_what_to_do() -> None:
    def work(item: int) -> int:
        if item == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    with pytest.raises(UserError, match="was killed, probably because the memory is full"):
        list(spread(work, [0, 1], 2))


def test_no_process_outlives_the_one_that_was_killed() -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", _ENDLESS]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        workers = [int(parent.stdout.readline()) for _ in range(2)]
        parent.kill()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < deadline, workers
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_a_block_once_and_then_has_its_old_effect(number: signal.Signals) -> None:
    with pytest.raises(Stopped) as stopped, stopped_by_signals():
        try:
            signal.raise_signal(number)
        finally:
            signal.raise_signal(number)  # is ignored
    assert stopped.value.number == number
    assert signal.getsignal(number) is signal.SIG_DFL


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopped_by_signals():
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
