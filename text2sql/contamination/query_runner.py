"""Runs untrusted queries on database files, in processes that are killed when a query hangs.

Each query runs in the sandbox of text2sql/evaluation/execution: read-only, with a time limit and a limit of
rows. SQLite looks at the time between opcodes only, so the parent kills a process that exceeds the limit by
`_GRACE_S`. A query that costs its process, by time or by memory, has no result, and is not run again.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sqlite3
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from text2sql.errors import UserError
from text2sql.evaluation.execution.sandbox import QueryError, Sandbox
from text2sql.processes import die_with_parent

TIMEOUT_S = 1.0
"""Seconds for one query on all files of its database."""

_GRACE_S = 1.0
_ROWS = 10_000  # of a result; a query with more has no result here
_FEW = 20  # rows up to which a result is kept, not only its hashes
_DIGITS = 6  # of a fraction; sums in another order differ in the last digits
_BATCH = 32  # queries sent to a process at a time
_MEMORY = 512 * 2**20  # bytes in addition to what a process has when it starts
_SQLITE_MEMORY = 128 * 2**20

Job = tuple[str, str]  # the name of a database, and a query
Files = Mapping[str, Sequence[Path]]
Wanted = Mapping[str, frozenset[bytes]]


@dataclass(frozen=True, slots=True)
class Result:
    """The distinct rows of a result: how many, hashes of them as a set and as a list, and the rows if few.

    The hashes do not depend on the order of the columns.
    """

    rows: int
    as_set: bytes
    as_list: bytes
    few: frozenset[tuple[Any, ...]] | None

    @property
    def is_nothing(self) -> bool:
        """Whether there is no row, or nothing in them but NULL and 0."""
        return self.few is not None and not any(value for row in self.few for value in row)


def summary(rows: Sequence[tuple[Any, ...]]) -> Result:
    """Summarise the rows of a result, which all have the same number of columns."""
    distinct = list(dict.fromkeys(tuple(map(_plain, row)) for row in rows))
    columns = sorted(zip(*distinct, strict=True), key=lambda column: sorted(map(repr, column)))
    ordered = [repr(row) for row in zip(*columns, strict=True)]
    few = frozenset(distinct) if len(distinct) <= _FEW else None
    return Result(len(distinct), _hash(sorted(ordered)), _hash(ordered), few)


class QueryRunner:
    """Worker processes with the files of some databases; use `close` when done."""

    def __init__(self, files: Files, workers: int, wanted: Wanted | None = None) -> None:
        """`files` has the database files of each name; a query runs on all of them.

        `wanted` has for each name the hashes (`as_set`) of the results on the first file that are of
        interest: a query with another result there is not run on the others, and has no result.
        """
        self._files, self._wanted = files, wanted
        self._workers = [_Worker(files, wanted) for _ in range(workers)]

    def run(
        self, jobs: Sequence[Job], progress: Callable[[], None] = lambda: None
    ) -> list[list[Result] | None]:
        """The results of each query on each file of its database; None if it failed on one of them.

        `progress` is called after every query.

        Raises:
            UserError: a database cannot be opened, or a worker process cannot be started.
        """
        found: list[list[Result] | None] = [None] * len(jobs)
        waiting = deque(range(len(jobs)))
        while waiting or any(worker.numbers for worker in self._workers):
            for worker in self._workers:
                if not worker.numbers and waiting:
                    count = min(len(waiting), _BATCH)
                    worker.give([waiting.popleft() for _ in range(count)], jobs)
            for number, result in self._collect():
                found[number] = result
                progress()
            waiting.extendleft(self._replace_lost())
        return found

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.kill()

    def _collect(self) -> list[tuple[int, list[Result] | None]]:
        busy = {worker.connection: worker for worker in self._workers if worker.numbers}
        ready = wait(list(busy), timeout=0.05)
        return [pair for connection in ready for pair in busy[connection].receive()]

    def _replace_lost(self) -> list[int]:
        """Replace processes that are late or have ended; return their queries that are still to be run."""
        left: list[int] = []
        for at, worker in enumerate(self._workers):
            if worker.ended or worker.is_late:
                worker.kill()
                left += list(worker.numbers)[1:]  # the first one cost the process
                self._workers[at] = _Worker(self._files, self._wanted)
        return left[::-1]


@dataclass
class _Worker:
    """One process, and the numbers of the queries that it has not answered."""

    files: Files
    wanted: Wanted | None
    numbers: deque[int] = field(default_factory=deque)
    ended: bool = False

    def __post_init__(self) -> None:
        context: Any = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        self.connection, theirs = context.Pipe()
        arguments = (theirs, self.files, self.wanted, os.getpid())
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        try:
            self._process.start()
        except OSError as error:
            raise UserError(
                f"a worker process cannot be started ({error.strerror}); end other programs, then run the "
                "same command again"
            ) from error
        theirs.close()
        self._since = 0.0

    @property
    def is_late(self) -> bool:
        return bool(self.numbers) and time.monotonic() > self._since + TIMEOUT_S + _GRACE_S

    def give(self, numbers: list[int], jobs: Sequence[Job]) -> None:
        self.numbers = deque(numbers)
        self._since = time.monotonic()
        with suppress(OSError):  # it has ended, which `receive` will notice
            self.connection.send([jobs[number] for number in numbers])

    def receive(self) -> list[tuple[int, list[Result] | None]]:
        """The numbers of the queries that it has answered, with the results.

        Raises:
            UserError: a database cannot be opened.
        """
        found = []
        try:
            while self.numbers and self.connection.poll():
                answer = self.connection.recv()
                if isinstance(answer, UserError):
                    raise answer
                found.append((self.numbers.popleft(), answer))
                self._since = time.monotonic()
        except (EOFError, OSError):
            self.ended = True
        return found

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
        self.connection.close()


def _serve(connection: Connection, files: Files, wanted: Wanted | None, parent: int) -> None:
    """Answer the batches of queries from `connection` until the parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    if sys.platform == "linux":
        die_with_parent()
    _limit_memory()
    sandboxes: dict[Path, Sandbox] = {}
    with suppress(EOFError, OSError):  # the parent has gone
        while os.getppid() == parent:
            for name, sql in connection.recv():
                hashes = wanted.get(name, frozenset()) if wanted is not None else None
                connection.send(_answer(sandboxes, files[name], sql, hashes))


def _answer(
    sandboxes: dict[Path, Sandbox], files: Sequence[Path], sql: str, wanted: frozenset[bytes] | None
) -> list[Result] | UserError | None:
    deadline = time.monotonic() + TIMEOUT_S
    try:
        for file in files:
            if file not in sandboxes:
                sandboxes[file] = Sandbox(file, _ROWS)
        first = summary(sandboxes[files[0]].run(sql, deadline))
        if wanted is not None and first.as_set not in wanted:
            return None
        return [first, *(summary(sandboxes[file].run(sql, deadline)) for file in files[1:])]
    except (QueryError, MemoryError, RecursionError, ValueError):
        return None
    except UserError as error:
        return error


def _limit_memory() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(f"PRAGMA hard_heap_limit = {_SQLITE_MEMORY}")
    statm = Path("/proc/self/statm")
    if statm.exists():
        limit = int(statm.read_text().split()[0]) * resource.getpagesize() + _MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _plain(value: Any) -> Any:
    """The value as it is compared: 1.0 is 1, and fractions are rounded."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else round(value, _DIGITS)
    return value


def _hash(rows: Sequence[str]) -> bytes:
    return blake2b("\n".join(rows).encode(errors="surrogatepass"), digest_size=16).digest()
