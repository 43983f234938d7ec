"""Packs rows that begin alike, such as questions on one schema, so that the beginning is computed once.

A sequence holds groups. A group is a prefix (chat header and schema) and the rest of each of its rows; these
rests are called branches. A token attends to the earlier tokens of its own branch and to the prefix, and its
position is the one that it has in its own row: loss and gradients are those of separate rows.

Text-to-SQL data has many questions for each schema, and most tokens of a row are schema. The same idea for
prediction: Juravsky et al. 2024, "Hydragen: High-Throughput LLM Inference with Shared Prefixes".
"""

from __future__ import annotations

import bisect
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from text2sql.files import replacing
from text2sql.training.recipe import PACKING

if TYPE_CHECKING:
    import torch

LARGEST_GROUP = 8  # rows; the gradient of one sequence should not come from one database alone
_STRIDE = LARGEST_GROUP + 1  # a segment is a number: group * _STRIDE + branch, where branch 0 is the prefix
_ALIKE = 0.5  # share of a prompt that two rows of one group have in common
_PROCESSOR, _MASK = "PackedSupervisedDatasetProcessor", "prepare_4d_attention_mask"  # LLaMA-Factory's names
_NO_LABEL = -100  # transformers' ignore_index


@dataclass(frozen=True, slots=True)
class Row:
    """Token ids of one training row, and its labels, which are -100 for all tokens of the prompt."""

    ids: list[int]
    labels: list[int]

    @property
    def prompt(self) -> int:
        """The number of tokens before the first one with a label."""
        return next((at for at, label in enumerate(self.labels) if label != _NO_LABEL), len(self.labels))


@dataclass(frozen=True, slots=True)
class Group:
    """Rows whose first `prefix` tokens are equal and part of the prompt of each."""

    prefix: int
    rows: list[Row]

    @property
    def tokens(self) -> int:
        """The tokens that are computed for it."""
        return self.prefix + sum(len(row.ids) - self.prefix for row in self.rows)


def packed(rows: Sequence[Row], length: int, pad: int, seed: int) -> dict[str, list[list[int]]]:
    """Sequences of `length` tokens with every row in exactly one of them, as columns of a data set.

    The columns are input_ids, labels, position_ids, and attention_mask, which has the segment of each token
    and 0 for padding, see `attention`. `pad` is the id of the padding token. The result depends on `rows` and
    `seed` only.

    Raises:
        ValueError: a row is longer than `length`, or has no label.
    """
    for row in rows:
        if len(row.ids) > length or row.prompt == len(row.ids):
            raise ValueError(f"a row of {len(row.ids)} tokens, limit {length}, prompt {row.prompt}")
    rng = random.Random(seed)
    alike, alone = clusters(rows)
    grouped = [group for cluster in alike for group in groups(cluster, length, rng)]
    grouped += groups(alone, length // 2, rng)  # small enough to fill what the others leave of a sequence
    columns: dict[str, list[list[int]]] = {
        "input_ids": [],
        "labels": [],
        "position_ids": [],
        "attention_mask": [],
    }
    for sequence in _filled(grouped, length, rng):
        for name, values in _sequence(sequence, length, pad).items():
            columns[name].append(values)
    return columns


def clusters(rows: Sequence[Row]) -> tuple[list[list[Row]], list[Row]]:
    """Rows that share at least half of the longer prompt with the first row of their cluster.

    Beside them the rows without such a neighbour, which have the head of the chat in common.
    """
    found: list[list[Row]] = []
    for row in sorted(rows, key=lambda row: row.ids):
        first = found[-1][0] if found else row
        if not found or _common(first, row) < _ALIKE * max(first.prompt, row.prompt):
            found.append([])
        found[-1].append(row)
    alike = [cluster for cluster in found if len(cluster) > 1]
    return alike, [cluster[0] for cluster in found if len(cluster) == 1]


def groups(cluster: list[Row], length: int, rng: random.Random) -> Iterator[Group]:
    """Divide a cluster at random into groups of at most `LARGEST_GROUP` rows and `length` tokens."""
    group: Group | None = None
    for row in rng.sample(cluster, len(cluster)):
        larger = _extended(group, row)
        if group is not None and (larger.tokens > length or len(larger.rows) > LARGEST_GROUP):
            yield group
            larger = _extended(None, row)
        group = larger
    if group is not None:
        yield group


def _extended(group: Group | None, row: Row) -> Group:
    """The group with one row more. Branches begin before the answer: no label is the first of a branch."""
    if group is None:
        return Group(row.prompt - 1, [row])
    return Group(min(group.prefix, _common(group.rows[0], row), row.prompt - 1), [*group.rows, row])


def _common(first: Row, second: Row) -> int:
    """The number of equal tokens at the beginning of two rows."""
    pairs = enumerate(zip(first.ids, second.ids, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(first.ids), len(second.ids)))


def _filled(grouped: Sequence[Group], length: int, rng: random.Random) -> list[list[Group]]:
    """Groups per sequence: the largest first, each into the fullest sequence with room for it."""
    order = sorted(rng.sample(grouped, len(grouped)), key=lambda group: -group.tokens)
    sequences: list[list[Group]] = []
    room: list[tuple[int, int]] = []  # free tokens and number of a sequence, ascending
    for group in order:
        at = bisect.bisect_left(room, (group.tokens, -1))
        free, number = room.pop(at) if at < len(room) else (length, len(sequences))
        if number == len(sequences):
            sequences.append([])
        sequences[number].append(group)
        bisect.insort(room, (free - group.tokens, number))
    return sequences


def _sequence(grouped: Sequence[Group], length: int, pad: int) -> dict[str, list[int]]:
    ids: list[int] = []
    labels: list[int] = []
    positions: list[int] = []
    segments: list[int] = []
    for number, group in enumerate(grouped, start=1):
        first = group.rows[0]
        parts = [(0, first.ids[: group.prefix], first.labels[: group.prefix], 0)]
        parts += [
            (branch, row.ids[group.prefix :], row.labels[group.prefix :], group.prefix)
            for branch, row in enumerate(group.rows, start=1)
        ]
        for branch, part, part_labels, start in parts:
            ids += part
            labels += part_labels
            positions += range(start, start + len(part))
            segments += [number * _STRIDE + branch] * len(part)
    rest = length - len(ids)
    return {
        "input_ids": ids + [pad] * rest,
        "labels": labels + [_NO_LABEL] * rest,
        "position_ids": positions + [0] * rest,
        "attention_mask": segments + [0] * rest,
    }


def attention(segments: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The additive attention mask for `segments` of shape (rows, length): shape (rows, 1, length, length).

    It is 0 where a token attends to another, and the smallest number of `dtype` elsewhere. Padding attends to
    nothing.
    """
    import torch

    group, branch = segments // _STRIDE, segments % _STRIDE
    same_group = (group[:, :, None] == group[:, None, :]) & (segments[:, None, :] != 0)
    visible = same_group & ((branch[:, None, :] == 0) | (branch[:, :, None] == branch[:, None, :]))
    causal = torch.ones(segments.shape[1], segments.shape[1], dtype=torch.bool).tril()
    zero = torch.zeros((), dtype=dtype)
    return torch.where(visible & causal, zero, torch.finfo(dtype).min)[:, None]


def use_shared_prefixes(seed: int, folder: Path) -> None:
    """From now on LLaMA-Factory packs rows with `packed`, and masks attention with `attention`.

    Its own packing must be switched on (`neat_packing`). What this saves is printed, and written to the file
    PACKING in `folder`.

    Raises:
        RuntimeError: this LLaMA-Factory packs in another way.
    """
    from llamafactory.data import collator, loader

    calls = {
        _MASK: collator.SFTDataCollatorWith4DAttentionMask.__call__,
        _PROCESSOR: loader._get_dataset_processor,
    }
    original = getattr(loader, _PROCESSOR, None)
    missing = [name for name, caller in calls.items() if name not in caller.__code__.co_names]
    if missing or not hasattr(collator, _MASK) or not hasattr(original, "_encode_data_example"):
        raise RuntimeError(
            f"llamafactory: it does not pack rows with {_PROCESSOR} and {_MASK} as version 0.9.5 does, see "
            f"{__name__}"
        )

    class Processor(original):  # type: ignore[misc, valid-type]
        def preprocess_dataset(self, examples: dict[str, list[Any]]) -> dict[str, list[list[int]]]:
            rows = [Row(*self._encode(examples, at)) for at in range(len(examples["_prompt"]))]
            length = self.data_args.cutoff_len + 1  # its parser takes one off where rows are packed
            columns = packed(rows, length, self.tokenizer.pad_token_id, seed)
            summary = _summary(rows, columns)
            print(summary, flush=True)
            with replacing(folder / PACKING) as file:
                file.write(summary)
            return columns

        def _encode(self, examples: dict[str, list[Any]], at: int) -> tuple[list[int], list[int]]:
            names = ("prompt", "response", "system", "tools")
            texts = {name: examples[f"_{name}"][at] for name in names}
            ids, labels = self._encode_data_example(**texts, images=[], videos=[], audios=[])
            return list(ids), list(labels)

    setattr(loader, _PROCESSOR, Processor)
    setattr(collator, _MASK, attention)


def _summary(rows: Sequence[Row], columns: dict[str, list[list[int]]]) -> str:
    tokens = sum(len(row.ids) for row in rows)
    computed = sum(segment != 0 for segments in columns["attention_mask"] for segment in segments)
    count = len(columns["input_ids"])
    return (
        f"{len(rows):,} rows in {count:,} packed sequences, {len(rows) / count:.1f} each; a pass over "
        f"them computes {computed:,} tokens, and without shared prefixes {tokens:,}, "
        f"{tokens / computed:.2f} times as many"
    )
