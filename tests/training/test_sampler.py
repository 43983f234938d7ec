"""The order of rows that are grouped by length."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from transformers import trainer
from transformers.trainer_pt_utils import LengthGroupedSampler

from text2sql.training.sampler import ByEpoch, use_order_by_epoch

LENGTHS = random.Random(0).choices(range(20, 200), k=400)
BATCH = 8


@pytest.fixture(autouse=True)
def transformers_sampler() -> Iterator[None]:
    """transformers' own sampler is there again after the test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "LengthGroupedSampler", LengthGroupedSampler)
        patch.setattr(ByEpoch, "seed", 0)
        yield


def order(seed: int, epoch: int) -> list[int]:
    """The order that the trainer gets, from a sampler of its own for every call, as after a kill."""
    use_order_by_epoch(seed)
    sampler = trainer.LengthGroupedSampler(BATCH, lengths=LENGTHS)
    sampler.set_epoch(epoch)
    return list(sampler)


def test_the_order_depends_on_seed_and_epoch_only() -> None:
    orders = [order(3, 0), order(3, 1), order(9, 0)]
    assert all(sorted(found) == list(range(len(LENGTHS))) for found in orders)
    assert len(set(map(tuple, orders))) == 3
    assert orders[:2] == [order(3, 0), order(3, 1)]


def test_rows_of_a_batch_have_similar_lengths() -> None:
    found = order(3, 0)
    batches = [[LENGTHS[row] for row in found[at : at + BATCH]] for at in range(0, len(found), BATCH)]
    padded = sum(BATCH * max(batch) for batch in batches)
    assert padded < 1.1 * sum(LENGTHS)


def test_another_trainer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(trainer, "LengthGroupedSampler")
    with pytest.raises(RuntimeError, match="no LengthGroupedSampler"):
        use_order_by_epoch(0)
