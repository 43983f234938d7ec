"""An engine in several processes on this machine: each answers a share of the requests."""

from __future__ import annotations

import atexit
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from text2sql.errors import UserError
from text2sql.inference.engine import Answer, Engine, Request
from text2sql.processes import die_with

Batch = tuple[int, Sequence[Request]]
_END_S = 30.0  # for an engine to free its memory; then its process is killed


class ClosableEngine(Engine, Protocol):
    """An engine that occupies memory until it is closed."""

    def close(self) -> None:
        """Free the memory."""


class EngineProcesses:
    """Processes that keep their engine between calls of `generate`. They end with this process."""

    def __init__(self, make: Callable[[], ClosableEngine], environments: Sequence[Mapping[str, str]]) -> None:
        """Start a process for each of `environments`, which it has in addition to that of this process.

        `make` is called in each process; it is sent there, so it must be possible to pickle it.
        """
        self._workers = [_start(make, dict(os.environ) | dict(extra)) for extra in environments]
        atexit.register(self.close)  # otherwise the end of this process would wait for them

    def generate(self, batches: Sequence[Batch]) -> Iterator[tuple[int, list[Answer]]]:
        """Yield answers as they are finished in any process.

        Neighbouring batches go to one process, because their prompts often begin with the same schema.

        Raises:
            UserError: of an engine, or a process ended.
        """
        answering: dict[Any, BaseProcess] = {}
        for number, (process, connection) in enumerate(self._workers):
            connection.send(_share(batches, number, len(self._workers)))
            answering[connection] = process
        while answering:
            for ready in wait(list(answering)):
                found = _receive(ready, answering[ready])
                if found is None:
                    del answering[ready]
                else:
                    yield found

    def close(self) -> None:
        """End the processes; those that do not end are killed."""
        atexit.unregister(self.close)
        for _, connection in self._workers:
            connection.close()
        for process, _ in self._workers:
            process.join(_END_S)
            process.kill()
            process.join()
        self._workers = []


def _start(make: Callable[[], ClosableEngine], environment: dict[str, str]) -> tuple[BaseProcess, Connection]:
    context = multiprocessing.get_context("spawn")  # a fork would share what CUDA and threads have set up
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, os.getpid(), environment))
    process.start()
    there.close()
    here.send(make)
    return process, here


def _share(batches: Sequence[Batch], number: int, count: int) -> Sequence[Batch]:
    """The part `number` of `count` nearly equal ones."""
    return batches[len(batches) * number // count : len(batches) * (number + 1) // count]


def _receive(connection: Any, process: BaseProcess) -> tuple[int, list[Answer]] | None:
    """The next answers; None when the share is done."""
    try:
        found: tuple[int, list[Answer]] | UserError | None = connection.recv()
    except (EOFError, ConnectionResetError) as error:
        process.join()
        raise UserError(
            f"an engine process ended with status {process.exitcode}; read its error above, fix the cause, "
            "and run the same command again; the answers so far are kept"
        ) from error
    if isinstance(found, UserError):
        raise found
    return found


def _serve(connection: Connection, parent: int, environment: dict[str, str]) -> None:
    """Answer shares until the connection ends."""
    die_with(parent)
    os.environ.clear()
    os.environ.update(environment)  # before `make` is read, which may load libraries
    try:
        with closing(connection.recv()()) as engine:
            while True:
                for found in engine.generate(connection.recv()):
                    connection.send(found)
                connection.send(None)
    except UserError as error:
        connection.send(error)
    except (EOFError, BrokenPipeError):
        return
