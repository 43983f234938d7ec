"""Threads that do calls in turn, and refuse further ones when too many wait."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, TypeVar

T = TypeVar("T")


class QueueFull(Exception):
    """As many calls wait as may."""


class Workers:
    """`count` threads that do calls in the order of their arrival; at most `waiting` further ones wait.

    The threads do not keep the program from ending.
    """

    def __init__(self, count: int, waiting: int) -> None:
        self._room, self._pending = count + waiting, 0
        self._lock = Lock()
        self._jobs: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        for _ in range(count):
            Thread(target=self._work, daemon=True).start()

    @property
    def busy(self) -> bool:
        """Whether a call is not finished."""
        return self._pending > 0

    def call(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises, once a thread has done it.

        Raises:
            QueueFull: too many calls wait.
        """
        return self.submit(work).result()

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """As `call`, without waiting for the end.

        Raises:
            QueueFull: too many calls wait.
        """
        with self._lock:
            if self._pending >= self._room:
                raise QueueFull
            self._pending += 1
        future: Future[T] = Future()
        self._jobs.put((future, work))
        return future

    def _work(self) -> None:
        while True:
            self._do(*self._jobs.get())

    def _do(self, future: Future[Any], work: Callable[[], Any]) -> None:
        try:
            value = work()
        except Exception as error:
            self._finish()
            future.set_exception(error)
        else:
            self._finish()
            future.set_result(value)

    def _finish(self) -> None:
        with self._lock:
            self._pending -= 1
