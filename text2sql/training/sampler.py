"""Rows of similar length in one batch, in an order that a resumed training has too.

The sampler of transformers draws the order from torch's global generator. A training that resumes in its
second epoch would find that generator in another state, and train on other batches. It also groups the rows
that one rank has in a step, so that several ranks would train on other batches than one process.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from transformers import trainer
from transformers.trainer_pt_utils import LengthGroupedSampler


class ByEpoch(LengthGroupedSampler):
    """The order depends on `seed`, the epoch and the rows of a step only; the trainer calls `set_epoch`."""

    seed = 0
    ranks = 1
    epoch = 0

    def __init__(self, batch_size: int, *arguments: Any, **options: Any) -> None:
        """`batch_size` is the number of rows that one rank has in a step."""
        super().__init__(batch_size * self.ranks, *arguments, **options)

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch, counted from 0."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        self.generator = torch.Generator().manual_seed(self.seed + self.epoch)
        return super().__iter__()


def use_order_by_epoch(seed: int, ranks: int) -> None:
    """From now on transformers' trainer groups rows with `ByEpoch`; `ranks` share the rows of a step.

    Raises:
        RuntimeError: this transformers has another sampler.
    """
    if getattr(trainer, "LengthGroupedSampler", None) not in (LengthGroupedSampler, ByEpoch):
        raise RuntimeError(f"transformers: its trainer has no LengthGroupedSampler, see {__name__}")
    ByEpoch.seed, ByEpoch.ranks = seed, ranks
    trainer.LengthGroupedSampler = ByEpoch
