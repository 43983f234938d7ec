"""Calls in turn."""

from __future__ import annotations

import threading

import pytest

from text2sql.web.workers import QueueFull, Workers


def test_calls_are_done_one_at_a_time_in_the_order_of_their_arrival() -> None:
    workers, gate, done = Workers(1, 10), threading.Event(), list[int]()
    first = workers.submit(gate.wait)
    others = [workers.submit(lambda number=number: done.append(number)) for number in range(5)]  # type: ignore[misc]
    assert workers.busy and done == []
    gate.set()
    first.result()
    for call in others:
        call.result()
    assert done == [0, 1, 2, 3, 4]
    assert not workers.busy


def test_a_call_is_refused_when_as_many_wait_as_may_and_taken_again_later() -> None:
    workers, gate = Workers(1, 1), threading.Event()
    calls = [workers.submit(gate.wait), workers.submit(gate.wait)]
    with pytest.raises(QueueFull):
        workers.call(gate.wait)
    gate.set()
    for call in calls:
        call.result()
    assert workers.call(lambda: 3) == 3


def test_an_error_reaches_the_caller_and_does_not_end_the_thread() -> None:
    workers = Workers(1, 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            workers.call(lambda: 1 / 0)
