"""Operations a token, and what devices can do."""

import pytest

from text2sql.training.throughput import flops_per_token, peak_flops


def test_a_trained_weight_costs_six_operations_a_token_and_a_frozen_one_four() -> None:
    assert flops_per_token(parameters=1000, trainable=1000) == 6000
    assert flops_per_token(parameters=1000, trainable=0) == 4000


@pytest.mark.parametrize(
    ("device", "peak"),
    [
        ("NVIDIA H200", 989e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA GeForce RTX 4090", 165e12),
        ("NVIDIA GeForce GTX 1080", None),
        ("", None),
    ],
)
def test_a_peak_is_told_where_it_is_known(device: str, peak: float | None) -> None:
    assert peak_flops(device) == peak


def test_padding_is_not_counted_as_tokens() -> None:
    """A batch of two rows, and the same as two packs: the first of two rows and two tokens of padding."""
    import torch
    from llamafactory.data.collator import prepare_4d_attention_mask

    from text2sql.training.watch import real_tokens

    ids = torch.zeros((2, 5), dtype=torch.long)
    padded = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    packs = torch.tensor([[1, 2, 2, 0, 0], [1, 1, 1, 2, 3]])
    assert real_tokens(ids, padded) == 8
    for precision in (torch.float32, torch.bfloat16):
        assert real_tokens(ids, prepare_4d_attention_mask(packs, precision)) == 8
    assert real_tokens(ids, None) == 10
