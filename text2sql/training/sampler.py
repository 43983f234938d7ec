"""Rows of similar length in one batch, in an order that a resumed training has too.

The sampler of transformers draws the order from torch's global generator. A training that resumes in its
second epoch would find that generator in another state, and train on other batches.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from transformers import trainer
from transformers.trainer_pt_utils import LengthGroupedSampler


class ByEpoch(LengthGroupedSampler):
    """The order depends on `seed` and the epoch only; the trainer calls `set_epoch`."""

    seed = 0
    epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch, counted from 0."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        self.generator = torch.Generator().manual_seed(self.seed + self.epoch)
        return super().__iter__()


def use_order_by_epoch(seed: int) -> None:
    """From now on transformers' trainer groups rows with `ByEpoch`.

    Raises:
        RuntimeError: this transformers has another sampler.
    """
    if getattr(trainer, "LengthGroupedSampler", None) not in (LengthGroupedSampler, ByEpoch):
        raise RuntimeError(f"transformers: its trainer has no LengthGroupedSampler, see {__name__}")
    ByEpoch.seed = seed
    trainer.LengthGroupedSampler = ByEpoch
