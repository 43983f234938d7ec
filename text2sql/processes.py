"""Processes that end with the one that started them, and work spread over them."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from text2sql.errors import UserError

T = TypeVar("T")
R = TypeVar("R")

_PR_SET_PDEATHSIG = 1  # linux/prctl.h

_work: Callable[[Any], Any]  # of a forked process


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends."""
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
