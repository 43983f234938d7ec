"""Processes that end with the one that started them, or by a signal, and work spread over them."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

from text2sql.errors import UserError

T = TypeVar("T")
R = TypeVar("R")

_PR_SET_PDEATHSIG = 1  # linux/prctl.h

_END = (signal.SIGTERM, signal.SIGHUP)

_work: Callable[[Any], Any]  # of a forked process


class Stopped(BaseException):
    """The signal `number` asked this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Have SIGTERM and SIGHUP raise `Stopped` in the block, so that it can remove what it must not leave.

    Further signals are ignored while it does. A signal that is ignored before, as SIGHUP below `nohup`, stays
    ignored. Outside the main thread, where Python runs no handlers, signals keep their effect.
    """
    in_main = threading.current_thread() is threading.main_thread()
    numbers = [number for number in _END if in_main and signal.getsignal(number) is signal.SIG_DFL]

    def stop(number: int, frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(number)

    for number in numbers:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def end_by_signals() -> None:
    """Have SIGTERM and SIGHUP end this process at once, which was forked in `stopped_by_signals`."""
    for number in _END:
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends, or the parent's thread that started it.

    Only Linux can do this; elsewhere it has no effect.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when the process `parent` ends, which started it."""
    die_with_parent()
    if os.getppid() != parent:  # it ended before the line above
        os._exit(1)


def spread(work: Callable[[T], R], items: Sequence[T], processes: int) -> Iterator[tuple[int, R]]:
    """Yield the number of each item with what `work` makes of it, as soon as it is done, in any order.

    The processes are forked: a model that is loaded is in memory once, and nothing is imported again.
    So this process must not have run several threads of torch. With one process the work is done here.

    Raises:
        UserError: a process was killed.
    """
    if min(processes, len(items)) <= 1:
        yield from enumerate(map(work, items))
        return
    with ProcessPoolExecutor(
        min(processes, len(items)),
        multiprocessing.get_context("fork"),
        initializer=_begin,
        initargs=(work, os.getpid()),
    ) as pool:
        numbers = {pool.submit(_do, item): number for number, item in enumerate(items)}
        try:
            for done in as_completed(numbers):
                yield numbers[done], done.result()
        except BrokenProcessPool as error:
            raise UserError(
                "a worker process was killed, probably because the memory is full; free some, or allow "
                "fewer cores (`taskset`), then run the same command again"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _begin(work: Callable[[Any], Any], parent: int) -> None:
    global _work
    die_with(parent)
    _work = work


def _do(item: Any) -> Any:
    return _work(item)
