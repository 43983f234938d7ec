"""The order of rows that are grouped by length."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from transformers import trainer
from transformers.trainer_pt_utils import LengthGroupedSampler

from text2sql.training.sampler import ByEpoch, use_order_by_epoch
from text2sql.training.worker import _replace_parts_of_the_trainer

LENGTHS = random.Random(0).choices(range(20, 200), k=400)
BATCH = 8


@pytest.fixture(autouse=True)
def transformers_sampler() -> Iterator[None]:
    """transformers' own sampler is there again after the test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "LengthGroupedSampler", LengthGroupedSampler)
        patch.setattr(ByEpoch, "seed", 0)
        patch.setattr(ByEpoch, "ranks", 1)
        yield


def order(seed: int, epoch: int, ranks: int = 1) -> list[int]:
    """The order that the trainer gets, from a sampler of its own for every call, as after a kill."""
    use_order_by_epoch(seed, ranks)
    sampler = trainer.LengthGroupedSampler(BATCH // ranks, lengths=LENGTHS)
    sampler.set_epoch(epoch)
    return list(sampler)


def test_the_order_depends_on_seed_and_epoch_only() -> None:
    orders = [order(3, 0), order(3, 1), order(9, 0)]
    assert all(sorted(found) == list(range(len(LENGTHS))) for found in orders)
    assert len(set(map(tuple, orders))) == 3
    assert orders[:2] == [order(3, 0), order(3, 1)]


def test_ranks_that_share_a_step_have_the_order_of_one_process() -> None:
    assert order(3, 0, ranks=2) == order(3, 0, ranks=4) == order(3, 0)


def test_the_ranks_are_those_of_torchrun(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(trainer.Trainer, "_run_epoch", trainer.Trainer._run_epoch)  # another part's change
    monkeypatch.setenv("WORLD_SIZE", "2")
    arguments = {"train_sampling_strategy": "group_by_length", "data_seed": 3}
    _replace_parts_of_the_trainer(arguments, tmp_path, megatron=False)
    assert (ByEpoch.seed, ByEpoch.ranks) == (3, 2)


def test_rows_of_a_batch_have_similar_lengths() -> None:
    found = order(3, 0)
    batches = [[LENGTHS[row] for row in found[at : at + BATCH]] for at in range(0, len(found), BATCH)]
    padded = sum(BATCH * max(batch) for batch in batches)
    assert padded < 1.1 * sum(LENGTHS)


def test_another_trainer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(trainer, "LengthGroupedSampler")
    with pytest.raises(RuntimeError, match="no LengthGroupedSampler"):
        use_order_by_epoch(0, 1)
