"""Checks all files of a folder and writes one file of training rows and one of rejects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from pathlib import Path
from typing import TypeVar

from text2sql.preparation.checks import Checked, Checker
from text2sql.preparation.settings import Prepare
from text2sql.preparation.sources import find_files, read_chunks
from text2sql.progress import Progress

Item = TypeVar("Item")

_KIB = 1024


@dataclass(slots=True)
class Counts:
    """Numbers of usable, kept and rejected rows; usable rows beyond the limit are not kept."""

    usable_by_source: Counter[str] = field(default_factory=Counter)
    kept_by_source: Counter[str] = field(default_factory=Counter)
    rejected_by_source: Counter[str] = field(default_factory=Counter)
    rejected_by_reason: Counter[str] = field(default_factory=Counter)


def prepare_training(raw: Path, output: Path, settings: Prepare, comments: bool = False) -> Counts:
    """Write train.jsonl (TrainingRow) and rejected.jsonl into the folder `output`, in the order of `raw`.

    `comments`: whether schemas keep the comments of columns. At most `train_limit` usable rows are kept,
    evenly spaced. Memory does not grow with the number of rows;
    for a while the usable rows are on disk twice. A run that was killed starts from the beginning: two
    million rows take a minute or two.

    Raises:
        UserError: a file of `raw` cannot be read.
    """
    files = find_files(raw)
    counts, usable = Counts(), output / "usable.jsonl"
    with (
        open(usable, "w", encoding="utf-8", newline="\n") as good,
        open(output / "rejected.jsonl", "w", encoding="utf-8", newline="\n") as bad,
    ):
        for checked in _with_progress(_check(files, settings, comments), files):
            good.writelines(f"{line}\n" for line in checked.kept)
            bad.writelines(f"{line}\n" for line in checked.rejected)
            _count(counts, checked)
    _thin(usable, output / "train.jsonl", settings.train_limit, counts)
    return counts


def evenly_spaced(items: Iterable[Item], count: int, limit: int | None) -> Iterator[Item]:
    """At most `limit` of `count` items, evenly spaced, in order; None keeps all.

    Each source keeps its share; one with fewer than count / limit rows may lose all.
    """
    if limit is None or limit >= count:
        yield from items
        return
    wanted = (number * count // limit for number in range(limit))
    following = next(wanted, None)
    for at, item in enumerate(items):
        if at == following:
            yield item
            following = next(wanted, None)
            if following is None:
                return


def _check(files: Sequence[Path], settings: Prepare, comments: bool) -> Iterator[Checked]:
    if settings.executor == "ray":
        from text2sql.preparation.ray_checks import check_on_ray

        yield from check_on_ray(files, settings, comments)
        return
    with Checker(settings, comments) as checker:
        for path in files:
            yield from map(checker.check_chunk, read_chunks(path, settings.columns))


def _with_progress(chunks: Iterable[Checked], files: Sequence[Path]) -> Iterator[Checked]:
    """Pass the chunks on, and show on stderr how much of the files is done."""
    sizes = {path.stem: path.stat().st_size for path in files}
    before = dict(zip(sizes, _sums_before(sizes.values()), strict=True))
    progress = Progress(sum(sizes.values()) // _KIB, "KiB", "prepare")
    for checked in chunks:
        yield checked
        progress.advance((before[checked.source] + checked.position) // _KIB - progress.done)


def _sums_before(sizes: Iterable[int]) -> Iterator[int]:
    total = 0
    for size in sizes:
        yield total
        total += size


def _count(counts: Counts, checked: Checked) -> None:
    counts.usable_by_source[checked.source] += len(checked.kept)
    counts.rejected_by_source[checked.source] += len(checked.rejected)
    counts.rejected_by_reason += checked.reasons


def _thin(usable: Path, train: Path, limit: int | None, counts: Counts) -> None:
    """Write the rows to keep from the file `usable` to the file `train`, and delete `usable`."""
    by_source = counts.usable_by_source
    sources = chain.from_iterable(repeat(source, rows) for source, rows in by_source.items())
    with (
        open(usable, encoding="utf-8", newline="\n") as good,
        open(train, "w", encoding="utf-8", newline="\n") as kept,
    ):
        lines = zip(good, sources, strict=True)
        for line, source in evenly_spaced(lines, by_source.total(), limit):
            kept.write(line)
            counts.kept_by_source[source] += 1
    usable.unlink()
