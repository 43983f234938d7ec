"""Divides training rows by schema into those to train on and those to validate on."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from text2sql.contamination.databases import TestDatabases
from text2sql.contamination.folding import Signature, schema_signature
from text2sql.errors import UserError
from text2sql.files import read_json
from text2sql.records import TrainingRow, read_records


@dataclass(frozen=True)
class Split:
    """Numbers (from 0) of the rows that are not trained on, ascending.

    Those that are held out are measured. No other row has one of their schemas. Those that are set aside have
    a part of such a schema, and are not used at all.
    """

    held_out: tuple[int, ...]
    set_aside: tuple[int, ...]

    @property
    def unused(self) -> frozenset[int]:
        """The rows that are not trained on."""
        return frozenset(self.held_out + self.set_aside)


def source_rows(dataset: Path) -> list[TrainingRow]:
    """The rows behind the data set in the folder `dataset`, one for each row of sft.json.

    Raises:
        UserError: there is no rows.jsonl, or it has another number of rows.
    """
    file, turns = dataset / "rows.jsonl", read_json(dataset / "sft.json")
    if not file.is_file():
        raise UserError(
            f"{file}: no such file, and training.validation needs the schema of each row; write it as "
            "dedupe_test does, or set training.validation: null"
        )
    rows = read_records(file, TrainingRow)
    if len(rows) != len(turns):
        raise UserError(
            f"{file}: {len(rows)} lines for {len(turns)} rows of sft.json; next: dvc repro dedupe_test"
        )
    return rows


def split(rows: Sequence[TrainingRow], count: int, seed: int) -> Split:
    """Hold out at most `count` rows, divided among the sources as all rows are; `seed` decides which schemas.

    Rows are on one schema if their tables and columns have the same names, or if they name one database of
    one source. A schema that is part of a larger one is never held out.

    Raises:
        UserError: there are not so many rows, no schema of a source has so few, or none is left to train on.
    """
    if count >= len(rows):
        raise UserError(
            f"training.validation.rows is {count}, and there are {len(rows)} training rows; lower it"
        )
    signatures = [_signature(row) for row in rows]
    groups, larger = _groups(rows, signatures), _Larger(signatures)
    held_out: list[int] = []
    for source, share in _shares(rows, count).items():
        own = [group for group in groups if rows[group[0]].source == source]
        random.Random(f"validation:{seed}:{source}").shuffle(own)
        held_out += _filled(own, share, lambda group: larger.exists({signatures[row] for row in group}))
    _require_held_out(rows, held_out, groups, count)
    chosen = Split(tuple(sorted(held_out)), tuple(_parts(signatures, set(held_out))))
    if len(chosen.unused) == len(rows):
        raise UserError(
            f"training.validation: no row is left to train on, because {len(chosen.held_out)} rows are held "
            "out and the others are on parts of their schemas; lower training.validation.rows"
        )
    return chosen


def _signature(row: TrainingRow) -> Signature:
    """The names of tables and columns; for a text that SQLite rejects its words, in place of them."""
    try:
        return schema_signature(row.ddl)
    except UserError:
        return frozenset({("", " ".join(row.ddl.casefold().split()))})


def _groups(rows: Sequence[TrainingRow], signatures: Sequence[Signature]) -> list[list[int]]:
    """The numbers of the rows on each schema, in the order of their first rows."""
    leader: dict[object, int] = {}  # of a signature, of a database, and of a row: the first row of its group
    members: dict[int, list[int]] = {}
    for number, (row, signature) in enumerate(zip(rows, signatures, strict=True)):
        keys: list[object] = [signature]
        if row.db_id:
            keys.append((row.source, row.db_id.casefold()))
        found = sorted({leader[key] for key in keys if key in leader})
        first = found[0] if found else number
        for other in found[1:]:  # this row shows that two groups are one
            members[first] += members.pop(other)
            leader.update((key, first) for key, value in leader.items() if value == other)
        members.setdefault(first, []).append(number)
        leader.update(dict.fromkeys(keys, first))
    return [sorted(group) for _, group in sorted(members.items())]


class _Larger:
    """Finds out whether a schema is part of another one of these."""

    def __init__(self, signatures: Sequence[Signature]) -> None:
        self._with: defaultdict[tuple[str, str], list[Signature]] = defaultdict(list)
        for signature in dict.fromkeys(signatures):
            for column in signature:
                self._with[column].append(signature)

    def exists(self, own: set[Signature]) -> bool:
        """Whether one of these, which are one group, is part of a schema that is not among them."""
        return any(other not in own for signature in own for other in self._containing(signature))

    def _containing(self, signature: Signature) -> Iterator[Signature]:
        rarest = min((self._with[column] for column in signature), key=len)
        return (other for other in rarest if signature < other)


def _shares(rows: Sequence[TrainingRow], count: int) -> dict[str, int]:
    """How many rows each source should give, by largest remainder."""
    sizes = Counter(row.source for row in rows)
    exact = {source: count * size / len(rows) for source, size in sizes.items()}
    shares = {source: int(share) for source, share in exact.items()}
    rest = sorted(exact, key=lambda source: (shares[source] - exact[source], source))
    for source in rest[: count - sum(shares.values())]:
        shares[source] += 1
    return shares


def _filled(groups: Sequence[list[int]], room: int, is_part: Callable[[list[int]], bool]) -> Iterator[int]:
    """The rows of groups that fit into the room, in the order of the groups."""
    for group in groups:
        if len(group) <= room and not is_part(group):
            yield from group
            room -= len(group)


def _require_held_out(
    rows: Sequence[TrainingRow], held_out: Sequence[int], groups: Sequence[list[int]], count: int
) -> None:
    if len(groups) == 1:
        raise UserError(
            f"training.validation: all {len(rows)} training rows are on one schema, so that none can be held "
            "out without its schema; set training.validation: null"
        )
    if not held_out:
        smallest = min(map(len, groups))
        raise UserError(
            f"training.validation.rows is {count}, and no schema fits: the smallest has {smallest} rows, all "
            "of which are held out or none; raise it"
        )


def _parts(signatures: Sequence[Signature], held_out: set[int]) -> Iterator[int]:
    """The other rows whose schema is part of one that is held out, or contains it."""
    databases = TestDatabases([signatures[number] for number in sorted(held_out)])
    for number, signature in enumerate(signatures):
        if number not in held_out and databases.similar(signature):
            yield number
