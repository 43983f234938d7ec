"""Worker processes that are killed and replaced when a case exceeds its deadline.

SQLite itself ends a query at its deadline, but only between opcodes, and Python may be slow too.
So each worker records when it began its current step, and the parent kills it `GRACE_S` seconds
after the deadline. Other cases are not affected. A worker that dies on its own is
replaced, and its case tried once more. Memory is limited in each worker.

Not covered: memory limits outside Linux, except SQLite's own; a machine that cannot start more processes.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import resource
import signal
import sqlite3
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

from text2sql.errors import UserError
from text2sql.evaluation.case_judge import PHASES, Phase, WorkerLoss
from text2sql.evaluation.execution.sandbox import ErrorKind

GRACE_S = 0.5
"""Seconds after a prediction's deadline at which its process is killed."""

QUICKEST: Literal["fork", "spawn"] = "fork" if sys.platform == "linux" else "spawn"
"""The fastest way to start processes on this system."""

_CHECK_S = 0.05  # between two checks of the workers' times
_SEND_S = 0.05  # between two messages with verdicts; what a killed worker has not sent is judged again
_AHEAD = 4  # batches per worker that may be finished before the oldest one is
_SQLITE_BYTES = 128 * 2**20
_PROCESS_BYTES = 200 * 2**20  # in addition to what a worker has when it starts
_IDLE = math.inf


class Outcome(Protocol):
    """What comes of a case; with the error "out_of_memory" its worker ends."""

    @property
    def error(self) -> str | None:
        """The class of the error, None if there is none."""
        ...


CaseT = TypeVar("CaseT")
OutcomeT = TypeVar("OutcomeT", bound=Outcome)
_CaseIn = TypeVar("_CaseIn", contravariant=True)
_OutcomeOut = TypeVar("_OutcomeOut", covariant=True)


class Judge(Protocol[_CaseIn, _OutcomeOut]):
    """What a worker does with a case; `CaseJudge` gives verdicts. See `CaseJudge.judge` for the arguments."""

    def judge(
        self, case: _CaseIn, begin: Callable[[Phase], None], loss: WorkerLoss | None = None, /
    ) -> _OutcomeOut:
        """Return what comes of the case."""
        ...


@dataclass(slots=True)
class _Job:
    """A case in progress, and the workers it has cost so far."""

    case: Any
    loss: WorkerLoss | None = None
    crashes: int = 0


@dataclass(slots=True)
class _Batch:
    jobs: list[_Job]
    verdicts: list[Any] = field(default_factory=list)

    @property
    def left(self) -> list[_Job]:
        return self.jobs[len(self.verdicts) :]


class _Worker:
    """One process, and the batch it is judging."""

    def __init__(self, make_judge: Callable[[], Judge[Any, Any]], method: str) -> None:
        context: Any = multiprocessing.get_context(method)
        self.connection, theirs = context.Pipe()
        self.batch: _Batch | None = None
        self._given: list[_Job] = []
        # Shared with the process: the start of its current step, the phase, the index of the job.
        self._step = context.RawArray("d", [_IDLE, 0, 0])
        arguments = (make_judge, theirs, self._step, os.getpid())
        self._process = context.Process(target=_work, args=arguments, daemon=True)
        self._process.start()
        theirs.close()

    def give(self, batch: _Batch) -> None:
        self.batch, self._given = batch, batch.left
        # If the process is dead already, `receive` will notice.
        with suppress(OSError):
            self.connection.send([(job.case, job.loss) for job in self._given])

    def receive(self) -> bool:
        """Take the verdicts that have arrived; False if the process has ended and will send no more.

        Raises:
            UserError: the worker raised it.
        """
        try:
            while self.batch and self.connection.poll():
                message = self.connection.recv()
                if isinstance(message, UserError):
                    raise message
                self.batch.verdicts += message
                if not self.batch.left:
                    self.batch = None
        except (EOFError, ConnectionResetError):
            return False
        return True

    @property
    def seconds(self) -> float:
        """Duration of the current step so far; below 0 if there is none."""
        return time.monotonic() - self._step[0]

    @property
    def job(self) -> _Job:
        """The job that the process is judging, or was about to."""
        return self._given[int(self._step[2])]

    @property
    def in_gold(self) -> bool:
        return PHASES[int(self._step[1])] == "gold"

    def kill(self) -> int:
        """Kill the process; return its exit status, which is 0 if it had already ended without error."""
        self._process.kill()
        self._process.join()
        return self._process.exitcode or 0


class ProcessPool(Generic[CaseT, OutcomeT]):
    """Judges batches of cases in `workers` processes.

    `timeout_s` is in seconds per prediction, `method` is how processes are started.
    """

    def __init__(
        self,
        make_judge: Callable[[], Judge[CaseT, OutcomeT]],
        timeout_s: float,
        workers: int,
        method: str = QUICKEST,
    ) -> None:
        self._make_judge, self._timeout_s, self._method = make_judge, timeout_s, method
        self._count = workers
        self._workers: list[_Worker] = []

    def judge(self, batches: Iterable[Sequence[CaseT]]) -> Generator[OutcomeT, None, None]:
        """Yield a verdict for each case, in order; only some batches are in memory at a time.

        Raises:
            UserError: a worker raised it.
        """
        waiting = (_Batch([_Job(case) for case in cases]) for cases in batches)
        window: deque[_Batch] = deque()
        self._workers = [_Worker(self._make_judge, self._method) for _ in range(self._count)]
        try:
            while self._hand_out(waiting, window):
                self._collect()
                while window and not window[0].left:
                    yield from window.popleft().verdicts
        finally:
            for worker in self._workers:
                worker.kill()
                worker.connection.close()

    def _hand_out(self, waiting: Iterator[_Batch], window: deque[_Batch]) -> bool:
        """Give every idle worker a batch; return whether any work is left."""
        for worker in self._workers:
            if worker.batch is None and len(window) < _AHEAD * len(self._workers):
                batch = next(waiting, None)
                if batch is None:
                    break
                window.append(batch)
                worker.give(batch)
        return bool(window)

    def _collect(self) -> None:
        """Take the verdicts that are ready, and replace workers that are dead or late."""
        busy = [worker for worker in self._workers if worker.batch]
        wait([worker.connection for worker in busy], timeout=_CHECK_S)
        for worker in busy:
            if not worker.receive():
                self._replace(worker, late=False)
            elif worker.batch and worker.seconds > self._timeout_s + GRACE_S:
                self._replace(worker, late=True)

    def _replace(self, worker: _Worker, late: bool) -> None:
        status, seconds = worker.kill(), worker.seconds
        worker.receive()  # what it had sent before
        worker.connection.close()
        fresh = _Worker(self._make_judge, self._method)
        self._workers[self._workers.index(worker)] = fresh
        if worker.batch is None:
            return
        job = worker.job
        job.crashes += status != 0 and not late
        if late or job.crashes > 1:
            kind: ErrorKind = "timeout" if late else "crashed"
            job.loss = WorkerLoss(kind, seconds, worker.in_gold, again=bool(job.loss))
        fresh.give(worker.batch)


def _work(make_judge: Callable[[], Judge[Any, Any]], connection: Connection, step: Any, parent: int) -> None:
    """Judge the batches from `connection` until the parent ends or memory has run out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    _limit_memory()
    with suppress(BrokenPipeError):  # the parent has gone
        try:
            judge = make_judge()
            while (batch := _next_batch(connection, parent)) is not None:
                if not _judge_batch(judge, batch, connection, step):
                    return
        except UserError as error:
            connection.send(error)


def _judge_batch(
    judge: Judge[Any, Any], batch: list[tuple[Any, WorkerLoss | None]], connection: Connection, step: Any
) -> bool:
    """Send the verdicts, a few at a time; False if memory ran out, so that this process must end."""

    def begin(phase: Phase) -> None:
        step[1] = PHASES.index(phase)
        step[0] = time.monotonic()

    verdicts: list[Any] = []
    sent = time.monotonic()
    for index, (case, loss) in enumerate(batch):
        step[2] = index
        verdicts.append(judge.judge(case, begin, loss))
        step[0] = _IDLE
        exhausted = verdicts[-1].error == "out_of_memory"
        if exhausted or index == len(batch) - 1 or time.monotonic() > sent + _SEND_S:
            connection.send(verdicts)
            verdicts, sent = [], time.monotonic()
        if exhausted:
            return False
    return True


def _next_batch(connection: Connection, parent: int) -> Any:
    while not connection.poll(1.0):
        if os.getppid() != parent:
            return None
    return connection.recv()


def _limit_memory() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(f"PRAGMA hard_heap_limit = {_SQLITE_BYTES}")  # of all connections
    statm = Path("/proc/self/statm")
    if statm.exists():
        pages = int(statm.read_text().split()[0])
        limit = pages * resource.getpagesize() + _PROCESS_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
