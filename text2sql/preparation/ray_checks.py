"""The check of training rows on a Ray cluster, whose nodes must all find the files under the same path."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from text2sql.preparation.checks import Checked, Checker
from text2sql.preparation.settings import Prepare
from text2sql.preparation.sources import Chunk, read_chunks
from text2sql.ray_cluster import map_in_order


def check_on_ray(files: Sequence[Path], settings: Prepare, comments: bool = False) -> Iterator[Checked]:
    """Yield the checked chunks of the files, in order.

    Raises:
        UserError: Ray is not installed, or a file cannot be read.
    """
    names = [str(path.absolute()) for path in files]
    yield from map_in_order(names, partial(_chunks, settings), partial(_check, settings, comments))


def _chunks(settings: Prepare, name: str) -> Iterator[Chunk]:
    return read_chunks(Path(name), settings.columns)


def _check(settings: Prepare, comments: bool) -> Callable[[Chunk], Checked]:
    return Checker(settings, comments).check_chunk
