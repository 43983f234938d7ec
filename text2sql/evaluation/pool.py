"""Worker processes that are killed and replaced when a case exceeds its deadline.

SQLite itself ends a query at its deadline, but only between opcodes, and Python may be slow too.
So each worker records when it began its current step, and the parent kills it `GRACE_S` seconds
after the deadline. Other cases are not affected. A worker that dies on its own is
replaced, and its case tried once more. Memory is limited in each worker.

A worker is given few cases at first, and more while they are quick. After `_SLICE_S` it gives back those that
it has not begun, so that slow cases are shared by all workers.

Workers end with their parent: Linux kills them when the thread that started them ends. Without a parent that
watches it, a worker is ended by an alarm `_ALARM_S` seconds after the parent would have killed it.

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
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

from text2sql.errors import UserError
from text2sql.evaluation.case_judge import PHASES, Phase, WorkerLoss
from text2sql.evaluation.execution.sandbox import ErrorKind
from text2sql.processes import die_with, end_by_signals

GRACE_S = 0.5
"""Seconds after a prediction's deadline at which its process is killed."""

QUICKEST: Literal["fork", "spawn"] = "fork" if sys.platform == "linux" else "spawn"
"""The fastest way to start processes on this system."""

_CHECK_S = 0.05  # between two checks of the workers' times
_SLICE_S = 0.05  # for the cases given at a time; what a killed worker has not sent is judged again
_ALARM_S = 1.0
_LONGEST_ALARM_S = 1e8  # the kernel takes no longer one
_BATCH = 32  # most cases that a worker is given at a time
_AHEAD = 512  # cases per worker that may be read before the oldest one is judged
_MIB = 2**20
_PYTHON_MIB = 72  # of a worker, in addition to what it has when it starts, and to SQLite's memory
_IDLE = math.inf


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a worker: seconds for a prediction, and MiB of memory that SQLite may use."""

    timeout_s: float
    memory_mb: int = 128


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
    """A case, the workers that it has cost so far, and what came of it."""

    case: Any
    loss: WorkerLoss | None = None
    crashes: int = 0
    outcome: Any = None
    done: bool = False


class _Worker:
    """One process, and the jobs that it was given."""

    def __init__(self, make_judge: Callable[[], Judge[Any, Any]], limits: Limits, method: str) -> None:
        context: Any = multiprocessing.get_context(method)
        self.connection, theirs = context.Pipe()
        self.busy = False
        self.size = 1
        """The number of jobs to give it next: as many as it may do in half of `_SLICE_S`."""
        self._given: Sequence[_Job] = []
        self._given_at = 0.0
        # Shared with the process: the start of its current step, the phase, the index of the job.
        self._step = context.RawArray("d", [_IDLE, 0, 0])
        arguments = (make_judge, limits, theirs, self._step, os.getpid())
        self._process = context.Process(target=_work, args=arguments, daemon=True)
        self._process.start()
        theirs.close()

    def give(self, jobs: Sequence[_Job]) -> None:
        """Have the process do these jobs."""
        self.busy, self._given, self._given_at = True, jobs, time.monotonic()
        self._step[2] = 0
        # If the process is dead already, `receive` will notice.
        with suppress(OSError):
            self.connection.send([(job.case, job.loss) for job in jobs])

    def receive(self) -> bool:
        """Take the outcomes that have arrived; False if the process has ended and will send no more.

        Raises:
            UserError: the worker raised it.
        """
        try:
            while self.busy and self.connection.poll():
                message = self.connection.recv()
                if isinstance(message, UserError):
                    raise message
                outcomes, ends = message
                for job, outcome in zip(self.left, outcomes, strict=False):
                    job.outcome, job.done = outcome, True
                if ends:
                    self._adapt()
                    self.busy = False
        except (EOFError, ConnectionResetError):
            return False
        return True

    @property
    def left(self) -> list[_Job]:
        """The jobs that it was given and has not done."""
        return [job for job in self._given if not job.done]

    def _adapt(self) -> None:
        done = len(self._given) - len(self.left)
        if done < len(self._given):
            self.size = max(1, done)
        elif time.monotonic() - self._given_at < _SLICE_S / 2:
            self.size = min(2 * self.size, _BATCH)

    @property
    def seconds(self) -> float:
        """Duration of the current step so far; below 0 if there is none."""
        return time.monotonic() - self._step[0]

    @property
    def job(self) -> _Job:
        """The job that the process is doing, or was about to."""
        return self._given[int(self._step[2])]

    @property
    def phase(self) -> Phase:
        """What it is doing with that job."""
        return PHASES[int(self._step[1])]

    def kill(self) -> int:
        """Kill the process; return its exit status, which is 0 if it had already ended without error."""
        self._process.kill()
        self._process.join()
        return self._process.exitcode or 0


class ProcessPool(Generic[CaseT, OutcomeT]):
    """Judges cases in at most `workers` processes; `method` is how they are started."""

    def __init__(
        self,
        make_judge: Callable[[], Judge[CaseT, OutcomeT]],
        limits: Limits,
        workers: int,
        method: str = QUICKEST,
    ) -> None:
        self._make_judge, self._limits, self._method = make_judge, limits, method
        self._count = workers
        self._workers: list[_Worker] = []
        self._returned: deque[_Job] = deque()  # by a worker that was slow or was lost

    def judge(self, cases: Iterable[CaseT]) -> Generator[OutcomeT, None, None]:
        """Yield an outcome for each case, in order; only some cases are in memory at a time.

        Raises:
            UserError: a worker raised it.
        """
        self._workers, self._returned = [], deque()
        waiting = iter(cases)
        window: deque[_Job] = deque()  # what is read and not yielded yet
        try:
            while self._hand_out(waiting, window):
                self._collect()
                while window and window[0].done:
                    yield window.popleft().outcome
        finally:
            for worker in self._workers:
                worker.kill()
                worker.connection.close()

    def _hand_out(self, waiting: Iterator[CaseT], window: deque[_Job]) -> bool:
        """Give jobs to every idle worker, and to new ones while there are jobs; False if no job is left."""
        for worker in self._workers:
            if not worker.busy and (jobs := self._next_jobs(worker.size, waiting, window)):
                worker.give(jobs)
        while len(self._workers) < self._count and (jobs := self._next_jobs(1, waiting, window)):
            self._workers.append(_Worker(self._make_judge, self._limits, self._method))
            self._workers[-1].give(jobs)
        # A worker whose memory ran out is busy until it has ended: only then is there one for the next job.
        return bool(window) or any(worker.busy for worker in self._workers)

    def _next_jobs(self, size: int, waiting: Iterator[CaseT], window: deque[_Job]) -> list[_Job]:
        if self._returned:  # they are slow: none of the workers takes all of them
            share = math.ceil(len(self._returned) / self._count)
            return [self._returned.popleft() for _ in range(min(size, share))]
        room = max(0, _AHEAD * self._count - len(window))
        jobs = [_Job(case) for case in islice(waiting, min(size, room))]
        window.extend(jobs)
        return jobs

    def _collect(self) -> None:
        """Take the outcomes that are ready, and drop workers that have ended or are late."""
        busy = [worker for worker in self._workers if worker.busy]
        wait([worker.connection for worker in busy], timeout=_CHECK_S)
        for worker in busy:
            lives = worker.receive()
            if not lives or (worker.busy and self._is_late(worker.seconds)):
                self._drop(worker)
            elif not worker.busy:
                self._returned.extend(worker.left)

    def _is_late(self, seconds: float) -> bool:
        return seconds > self._limits.timeout_s + GRACE_S

    def _drop(self, worker: _Worker) -> None:
        """Take back the jobs of a worker; the one that it was lost to remembers the loss."""
        status, seconds = worker.kill(), worker.seconds
        worker.receive()  # what it had sent before
        worker.connection.close()
        self._workers.remove(worker)
        self._returned.extendleft(reversed(worker.left))
        job, late = worker.job, self._is_late(seconds)
        if job.done:
            return
        job.crashes += status != 0 and not late
        if late or job.crashes > 1:
            kind: ErrorKind = "timeout" if late else "crashed"
            job.loss = WorkerLoss(kind, seconds, worker.phase, again=bool(job.loss))


def _work(
    make_judge: Callable[[], Judge[Any, Any]], limits: Limits, connection: Connection, step: Any, parent: int
) -> None:
    """Judge the cases from `connection` until the parent ends or memory has run out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    end_by_signals()
    die_with(parent)
    with suppress(BrokenPipeError):  # the parent has gone
        try:
            _limit_memory(limits.memory_mb)
            judge = make_judge()
            while (cases := _next_cases(connection, parent)) is not None:
                if not _judge_cases(judge, cases, connection, step, limits.timeout_s):
                    return
        except UserError as error:
            connection.send(error)


def _judge_cases(
    judge: Judge[Any, Any],
    cases: list[tuple[Any, WorkerLoss | None]],
    connection: Connection,
    step: Any,
    timeout_s: float,
) -> bool:
    """Send the outcomes, of as many as there is time for; False if memory ran out: this process must end."""
    alarm_s = min(timeout_s + GRACE_S + _ALARM_S, _LONGEST_ALARM_S)

    def begin(phase: Phase) -> None:
        step[1] = PHASES.index(phase)
        if phase != "plugging":  # which has the time that is left of the prediction's
            step[0] = time.monotonic()
            signal.setitimer(signal.ITIMER_REAL, alarm_s)

    outcomes: list[Any] = []
    until = time.monotonic() + _SLICE_S
    for index, (case, loss) in enumerate(cases):
        step[2] = index
        outcomes.append(judge.judge(case, begin, loss))
        step[0] = _IDLE
        exhausted = outcomes[-1].error == "out_of_memory"
        if exhausted or time.monotonic() > until:
            break
    signal.setitimer(signal.ITIMER_REAL, 0)
    connection.send((outcomes, not exhausted))
    return not exhausted


def _next_cases(connection: Connection, parent: int) -> Any:
    while not connection.poll(1.0):
        if os.getppid() != parent:
            return None
    return connection.recv()


def _limit_memory(sqlite_mb: int) -> None:
    """Limit the memory of SQLite, and of this process; a lower limit that it has already stays.

    Raises:
        UserError: the system takes no such limit.
    """
    try:
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.execute(f"PRAGMA hard_heap_limit = {sqlite_mb * _MIB}")  # of all connections
        statm = Path("/proc/self/statm")
        if statm.exists():
            pages = int(statm.read_text().split()[0])
            limit = pages * resource.getpagesize() + (sqlite_mb + _PYTHON_MIB) * _MIB
            _, most = resource.getrlimit(resource.RLIMIT_AS)
            limit = limit if most == resource.RLIM_INFINITY else min(limit, most)
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    except (OSError, OverflowError, ValueError, sqlite3.Error) as error:
        raise UserError(
            f"a worker process cannot have a limit of {sqlite_mb} MiB ({error}); choose a lower --memory"
        ) from error
