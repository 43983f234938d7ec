"""How fast training is, and how much of the device that uses."""

from __future__ import annotations

# Dense bf16 operations a second, from NVIDIA's data sheets; the first name that the device's contains counts.
_PEAK = {
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "RTX 4090": 165e12,
}


def flops_per_token(parameters: int, trainable: int) -> int:
    """Floating-point operations of one trained token: 6 a weight (Chowdhery et al. 2022, appendix B).

    Two of the six are the gradient of the weight itself, which frozen weights do not need. Attention's own
    products are left out, so utilisation is understated, by some percent at lengths of about 1,000 tokens.
    """
    return 4 * parameters + 2 * trainable


def peak_flops(device: str) -> float | None:
    """Dense bf16 operations a second of a device by its CUDA name; None where it is not known."""
    return next((peak for name, peak in _PEAK.items() if name in device), None)
