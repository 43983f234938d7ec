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
