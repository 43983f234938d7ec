"""The check of training rows on a Ray cluster. Every node must see the files under the same path."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from text2sql.preparation.checks import Checked, Checker, SqlCheck
from text2sql.preparation.sources import Chunk, Columns, read_chunks
from text2sql.ray_cluster import map_in_order


def check_on_ray(files: Sequence[Path], sql_check: SqlCheck, columns: Columns | None) -> Iterator[Checked]:
    """Yield the checked chunks of the files, in order. UserError: no Ray, or a file cannot be read."""
    names = [str(path.absolute()) for path in files]
    yield from map_in_order(names, partial(_chunks, columns), partial(_check, sql_check, columns))


def _chunks(columns: Columns | None, name: str) -> Iterator[Chunk]:
    return read_chunks(Path(name), columns)


def _check(sql_check: SqlCheck, columns: Columns | None) -> Callable[[Chunk], Checked]:
    return Checker(sql_check, columns).check_chunk
