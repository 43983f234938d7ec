"""Work on a Ray cluster: the one that RAY_ADDRESS names, else one started on this machine and ended again."""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import numpy as np

from text2sql.errors import UserError

Part = TypeVar("Part")
Result = TypeVar("Result")

# Ray Data moves tables. Here a table has one column and one row, a pickled object in it.
_Table = dict[str, Any]


@contextmanager
def cluster(module: str) -> Iterator[Any]:
    """Yield a module of Ray while a cluster is at hand. UserError: Ray is not installed."""
    try:
        ray, wanted = importlib.import_module("ray"), importlib.import_module(module)
    except ImportError as error:
        raise UserError("the executor is ray, but Ray is not installed; next: pip install ray") from error
    started = not ray.is_initialized()
    if started:
        ray.init()
    try:
        yield wanted
    finally:
        if started:
            ray.shutdown()


def map_in_order(
    sources: Sequence[str],
    read: Callable[[str], Iterable[Part]],
    make_work: Callable[[], Callable[[Part], Result]],
) -> Iterator[Result]:
    """Yield the work on every part of every source, in order, through Ray Data.

    One task a source reads it with `read`; as many actors as the cluster has CPUs, each with a
    `make_work()` of its own, work on the parts. UserError: no Ray, or as the two raise it.
    """
    with cluster("ray.data") as data:
        context = data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        paths = data.from_items(list(sources), override_num_blocks=len(sources))
        # Steps that ask for the same share of a CPU would be run as one, and a source by one actor.
        # One CPU must do for both.
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
    """The parts of a source; a UserError travels as a row, for Ray would wrap it."""
    try:
        for part in read(str(batch["item"][0])):
            yield _table(part)
    except UserError as error:
        yield _table(error)


class _Worker:
    """An actor; its work is made when the first part comes, so that an error in that travels too."""

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
