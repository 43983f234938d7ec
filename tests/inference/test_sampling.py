"""How a token is drawn from a distribution, and its log-probability."""

from __future__ import annotations

import pytest
import torch

from text2sql.inference.sampling import RowSampler
from text2sql.inference.settings import Decoding

SHARES = torch.tensor([0.1, 0.5, 0.15, 0.25])


def picks(decoding: Decoding, rows: int) -> torch.Tensor:
    """The first token of `rows` rows with the seeds 0, 1, ... and the same distribution, [rows]."""
    sampler = RowSampler(decoding, range(rows), torch.ones(rows, 1))
    return sampler(torch.zeros(rows, 1, dtype=torch.long), SHARES.log().repeat(rows, 1)).argmax(-1)


def test_tokens_are_drawn_with_the_models_probabilities() -> None:
    counts = picks(Decoding(max_new_tokens=1, temperature=1.0), 4000).bincount(minlength=4)
    assert (counts / 4000).tolist() == pytest.approx(SHARES.tolist(), abs=0.03)


def test_a_low_temperature_sharpens_the_distribution() -> None:
    counts = picks(Decoding(max_new_tokens=1, temperature=0.5), 4000).bincount(minlength=4)
    sharp = SHARES**2 / (SHARES**2).sum()
    assert (counts / 4000).tolist() == pytest.approx(sharp.tolist(), abs=0.03)


@pytest.mark.parametrize(("top_p", "kept"), [(0.4, {1}), (0.6, {1, 3}), (0.8, {1, 2, 3})])
def test_top_p_draws_among_the_likeliest_tokens_only(top_p: float, kept: set[int]) -> None:
    assert set(picks(Decoding(max_new_tokens=1, temperature=1.0, top_p=top_p), 500).tolist()) == kept


def test_without_temperature_the_likeliest_token_is_taken() -> None:
    assert set(picks(Decoding(max_new_tokens=1, repetition_penalty=1.1), 20).tolist()) == {1}


def test_the_penalty_applies_to_tokens_of_prompt_and_answer_but_not_to_padding() -> None:
    mask = torch.tensor([[0, 1]])
    sampler = RowSampler(Decoding(max_new_tokens=2, repetition_penalty=2.0), [0], mask)
    logits = torch.tensor([[4.0, 3.0, 2.5, 1.0]])
    first = sampler(torch.tensor([[0, 1]]), logits).argmax(-1)  # token 0 is padding
    second = sampler(torch.tensor([[0, 1, 0]]), logits).argmax(-1)  # now token 0 is also part of the answer
    assert [first.item(), second.item()] == [0, 2]


def test_the_mean_logprob_ends_with_the_first_end_token() -> None:
    sampler = RowSampler(Decoding(max_new_tokens=3, temperature=1.0), [0], torch.ones(1, 1))
    for share in (0.5, 0.25, 0.001):
        one = torch.tensor([[share, 1 - share]]).log()
        sampler._pick = lambda *_: torch.tensor([[0]])  # type: ignore[method-assign]
        sampler(torch.tensor([[0]]), one)
    (mean,) = sampler.mean_logprobs(torch.tensor([[3, 7, 7]]), [7])
    assert mean == pytest.approx(torch.tensor([0.5, 0.25]).log().mean().item())
