"""Runs work on a Ray cluster: the one at RAY_ADDRESS, or else a temporary one on this machine."""

from __future__ import annotations

import importlib
import pickle
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import numpy as np

from text2sql.errors import UserError

Part = TypeVar("Part")
Result = TypeVar("Result")

# Ray Data transports tables. Here a table has one column and one row with a pickled object.
_Table = dict[str, Any]


@contextmanager
def cluster(module: str) -> Iterator[Any]:
    """Yield a module of Ray while connected to a cluster.

    Raises:
        UserError: Ray is not installed.
    """
    try:
        ray, ray_module = importlib.import_module("ray"), importlib.import_module(module)
    except ImportError as error:
        raise UserError("executor is ray, but Ray is not installed; `pip install ray`") from error
    if ray.is_initialized():
        yield ray_module
        return
    with started():
        yield ray_module


@contextmanager
def started(**options: Any) -> Iterator[None]:
    """Connect to a cluster until the block ends; `options` are those of ray.init.

    Ray has SIGTERM raise SystemExit in this process and leaves it so; after the block it has its old effect.
    """
    ray = importlib.import_module("ray")
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(**options)
        yield
    finally:
        ray.shutdown()
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def map_in_order(
    sources: Sequence[str],
    read: Callable[[str], Iterable[Part]],
    make_work: Callable[[], Callable[[Part], Result]],
) -> Iterator[Result]:
    """Yield the result of every part of every source, in order, with Ray Data.

    One task per source reads it with `read`. The parts are processed by actors, one fewer than the cluster
    has CPUs but at least one, each with its own `make_work()`.

    Raises:
        UserError: Ray is not installed, or `read`, `make_work` or the work raises it.
    """
    with cluster("ray.data") as data:
        context = data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        paths = data.from_items(list(sources), override_num_blocks=len(sources))
        # Ray fuses steps with equal CPU shares, and then one actor would process a whole source. The shares
        # add up to one, so that a cluster with one CPU suffices.
        parts = paths.map_batches(partial(_read, read), batch_size=1, num_cpus=0.25)
        cpus = importlib.import_module("ray").cluster_resources()["CPU"]
        actors = data.ActorPoolStrategy(size=max(1, int(cpus) - 1))
        done = parts.map_batches(
            _Worker, batch_size=1, fn_constructor_args=(make_work,), num_cpus=0.75, compute=actors
        )
        for row in done.iter_rows():
            result = pickle.loads(row["pickled"])
            if isinstance(result, UserError):
                raise result
            yield result


def _read(read: Callable[[str], Iterable[Part]], batch: _Table) -> Iterator[_Table]:
    """The parts of a source; a UserError is returned as a row, because Ray would wrap it."""
    try:
        for part in read(str(batch["item"][0])):
            yield _table(part)
    except UserError as error:
        yield _table(error)


class _Worker:
    """An actor; `make_work` is called with the first part, so that its UserError is returned as a row too."""

    def __init__(self, make_work: Callable[[], Callable[[Any], Any]]) -> None:
        self._make_work = make_work
        self._work: Callable[[Any], Any] | None = None

    def __call__(self, batch: _Table) -> _Table:
        part = pickle.loads(batch["pickled"][0])
        if isinstance(part, UserError):
            return batch
        try:
            self._work = self._work or self._make_work()
            return _table(self._work(part))
        except UserError as error:
            return _table(error)


def _table(value: object) -> _Table:
    return {"pickled": np.array([pickle.dumps(value)], dtype=object)}
