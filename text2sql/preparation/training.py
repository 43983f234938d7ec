"""Checks all files of a folder and writes one file of training rows and one of rejects."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from textwrap import shorten
from typing import TypeVar

from text2sql.errors import UserError
from text2sql.preparation.checks import Checked, Checker
from text2sql.preparation.settings import Prepare
from text2sql.preparation.sources import find_files, read_source, source_name
from text2sql.progress import Progress

Item = TypeVar("Item")

_KIB = 1024
_EXTRACT = 120  # characters of a rejected row in a message


@dataclass(slots=True)
class SourceCounts:
    """Numbers of rows of one source; usable rows beyond a limit are not kept.

    `notes` counts usable rows of which something was changed or skipped. `examples` has, by reason, the first
    rejected row: a JSON line of rejected.jsonl. `columns`: those of the source's columns that a row had;
    `keys`: those of its first row.
    """

    usable: int = 0
    kept: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    columns: set[str] = field(default_factory=set)
    keys: tuple[str, ...] = ()

    def add(self, checked: Checked) -> None:
        """Count a chunk."""
        self.usable += len(checked.kept)
        self.rejected += checked.reasons
        self.notes += checked.notes
        self.columns |= checked.columns
        self.keys = self.keys or checked.keys
        if checked.reasons.keys() - self.examples.keys():
            for line in checked.rejected:
                self.examples.setdefault(json.loads(line)["reason"], line)


Counts = dict[str, SourceCounts]
"""The numbers of rows by source, in the order of the files."""


def prepare_training(raw: Path, output: Path, settings: Prepare, comments: bool = False) -> Counts:
    """Write train.jsonl (TrainingRow) and rejected.jsonl into the folder `output`, in the order of raw/train.

    Rows that only name a database get their schema from raw/train_schemas/SOURCE.json. `comments`: whether
    schemas keep the comments of columns. The limits of the settings keep usable rows evenly spaced. Memory
    does not grow with the number of rows; for a while the usable rows are on disk twice. A run that was
    killed starts from the beginning: two million rows take a minute or two.

    Raises:
        UserError: a file cannot be read, settings name a source or a column that does not exist, or of a
            source no row or too few rows are usable.
    """
    files = find_files(raw / "train")
    _require_known(settings, files)
    counts: Counts = {source_name(path): SourceCounts() for path in files}
    usable = output / "usable.jsonl"
    with (
        open(usable, "w", encoding="utf-8", newline="\n") as good,
        open(output / "rejected.jsonl", "w", encoding="utf-8", newline="\n") as bad,
    ):
        for checked in _with_progress(_check(files, settings, raw / "train_schemas", comments), files):
            good.writelines(f"{line}\n" for line in checked.kept)
            bad.writelines(f"{line}\n" for line in checked.rejected)
            counts[checked.source].add(checked)
    for path, source in zip(files, counts, strict=True):
        _require_usable(path, counts[source], settings)
    _thin(usable, output / "train.jsonl", quotas(counts, settings), counts)
    return counts


def evenly_spaced(items: Iterable[Item], count: int, limit: int | None) -> Iterator[Item]:
    """At most `limit` of `count` items, evenly spaced, in order; None keeps all."""
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


def quotas(counts: Counts, settings: Prepare) -> dict[str, int]:
    """How many rows of each source are kept.

    Without prepare.train_limit all up to the source's own limit. With it, the sources share the limit in
    proportion to weight times number of rows; what a source cannot fill goes to the others.
    """
    most = {name: min(own.usable, settings.source(name).limit or own.usable) for name, own in counts.items()}
    left = settings.train_limit
    if left is None or left >= sum(most.values()):
        return most
    given: dict[str, int] = {}
    # the heaviest first: only a heavy source can be full, and what it cannot fill is shared by the rest
    for name in sorted(most, key=lambda name: (-settings.source(name).weight, name)):
        rest = [other for other in most if other not in given]
        total = sum(settings.source(other).weight * most[other] for other in rest)
        share = left * settings.source(name).weight * most[name] / total if total else 0
        given[name] = min(most[name], round(share), left)
        left -= given[name]
    return {name: given[name] for name in most}


def _require_known(settings: Prepare, files: Sequence[Path]) -> None:
    names = [source_name(path) for path in files]
    unknown = sorted(set(settings.sources) - set(names))
    if unknown:
        raise UserError(
            f"params.yaml, prepare.sources: there is no source {', '.join(unknown)}; {files[0].parent} has "
            f"{', '.join(names)}; fix the name, or take it out"
        )


def _require_usable(path: Path, counts: SourceCounts, settings: Prepare) -> None:
    """Check that the source was read in the right way.

    Raises:
        UserError: no row has one of its columns, none is usable, or more are rejected than
            `max_rejected` allows; the message has the commonest reasons with an example each.
    """
    name = source_name(path)
    absent = sorted(set((settings.source(name).columns or {}).values()) - counts.columns)
    rejected, read = counts.rejected.total(), counts.rejected.total() + counts.usable
    if absent and read:
        raise UserError(
            f"{path}: no row has {', '.join(absent)}, which params.yaml names in "
            f"prepare.sources.{name}.columns; its first row has {', '.join(counts.keys) or 'no columns'}; "
            "fix the names, then: dvc repro"
        )
    if read and (not counts.usable or 100 * rejected > settings.max_rejected * read):
        allowed = (
            f"and prepare.max_rejected allows {settings.max_rejected:g} %" if counts.usable else "so none is"
        )
        reasons = "".join(f"\n  {_with_example(counts, *one)}" for one in counts.rejected.most_common(3))
        raise UserError(
            f"{path}: {rejected} of {read} rows cannot be used, {allowed}:{reasons}\n"
            f"say in params.yaml how to read it (prepare.sources.{name}: columns, dialect; "
            f"fetch_data.train.{name}: databases, tables), or set prepare.max_rejected, then: dvc repro"
        )
    if not read:
        raise UserError(f"{path}: has no row; take it out, or bring the whole file, then: dvc repro")


def _with_example(counts: SourceCounts, reason: str, rows: int) -> str:
    example = json.loads(counts.examples[reason])
    detail = f" ({shorten(example['detail'], 160, placeholder=' ...')})" if example["detail"] else ""
    text = shorten(example["text"], _EXTRACT, placeholder=" ...") or example["text"][:_EXTRACT]
    return (
        f"{rows} {'row' if rows == 1 else 'rows'}: {reason}; for example row {example['row']}{detail}: {text}"
    )


def _check(files: Sequence[Path], settings: Prepare, schemas: Path, comments: bool) -> Iterator[Checked]:
    if settings.executor == "ray":
        from text2sql.preparation.ray_checks import check_on_ray

        yield from check_on_ray(files, settings, schemas, comments)
        return
    with Checker(settings, schemas, comments) as checker:
        for path in files:
            yield from map(checker.check_chunk, read_source(path, settings))


def _with_progress(chunks: Iterable[Checked], files: Sequence[Path]) -> Iterator[Checked]:
    """Pass the chunks on, and show on stderr how much of the files is done."""
    sizes = {source_name(path): path.stat().st_size for path in files}
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


def _thin(usable: Path, train: Path, kept: Mapping[str, int], counts: Counts) -> None:
    """Write the rows to keep from the file `usable` to the file `train`, and delete `usable`.

    Of each source as many as `kept` says, evenly spaced.
    """
    with (
        open(usable, encoding="utf-8", newline="\n") as good,
        open(train, "w", encoding="utf-8", newline="\n") as file,
    ):
        for source, own in counts.items():
            lines = islice(good, own.usable)
            file.writelines(evenly_spaced(lines, own.usable, kept[source]))
            deque(lines, maxlen=0)  # what is after the last row to keep
            own.kept = kept[source]
    usable.unlink()
