"""The search for leaks on a Ray cluster, whose nodes must all find the training rows under the same path."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

from text2sql.contamination.evidence import Evidence
from text2sql.contamination.leaks import BLOCK, Embed, LeakFinder
from text2sql.contamination.settings import Rules
from text2sql.ray_cluster import map_in_order
from text2sql.records import TestQuestion, TrainingRow, iterate_records

_Block = list[TrainingRow]
_Found = list[tuple[TrainingRow, Evidence | None]]


def find_leaks_on_ray(
    path: Path,
    test: Sequence[TestQuestion],
    rules: Rules,
    load_embed: Callable[[], Embed] | None = None,
    databases: Path | None = None,
) -> Iterator[tuple[TrainingRow, Evidence | None]]:
    """Yield what `find_leaks` yields for the rows of a JSON-lines file.

    `load_embed` is called in each actor, for the rule "embedding". All nodes must find `databases`, for the
    rule "same_result", under this path too.

    Raises:
        UserError: Ray is not installed, or as `find_leaks` raises it.
    """
    folder = databases.absolute() if databases else None
    make = partial(_finder, test, rules, load_embed, folder)
    for found in map_in_order([str(path.absolute())], _blocks, make):
        yield from found


def _blocks(name: str) -> Iterator[_Block]:
    rows = iterate_records(name, TrainingRow)
    while block := list(islice(rows, BLOCK)):
        yield block


def _finder(
    test: Sequence[TestQuestion],
    rules: Rules,
    load_embed: Callable[[], Embed] | None,
    databases: Path | None,
) -> Callable[[_Block], _Found]:
    finder = LeakFinder(test, rules, load_embed() if load_embed else None, databases=databases)
    return lambda block: list(zip(block, finder.evidence(block), strict=True))
