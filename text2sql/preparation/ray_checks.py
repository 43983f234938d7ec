"""The check of training rows on a Ray cluster, whose nodes must all find the files under the same path."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from text2sql.preparation.checks import Checked, Checker
from text2sql.preparation.settings import Prepare
from text2sql.preparation.sources import Chunk, read_source
from text2sql.ray_cluster import map_in_order


def check_on_ray(
    files: Sequence[Path], settings: Prepare, schemas: Path, comments: bool
) -> Iterator[Checked]:
    """Yield the checked chunks of the files, in order; for the other arguments see `Checker`.

    Raises:
        UserError: Ray is not installed, or a file cannot be read.
    """
    names = [str(path.absolute()) for path in files]
    check = partial(Checker, settings, schemas.absolute(), comments)
    yield from map_in_order(names, partial(_chunks, settings), partial(_check, check))


def _chunks(settings: Prepare, name: str) -> Iterator[Chunk]:
    return read_source(Path(name), settings)


def _check(make: Callable[[], Checker]) -> Callable[[Chunk], Checked]:
    return make().check_chunk
