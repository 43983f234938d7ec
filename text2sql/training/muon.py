"""Muon's orthogonalisation in float32, for CPUs.

LLaMA-Factory computes it in bfloat16, which is fast on GPUs. A CPU without AVX512-BF16 emulates that
type, and most of a small model's training time is spent there.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# Keller Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/: p(s) = a s + b s^3 + c s^5,
# applied again and again to singular values of at most 1, brings them near 1.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_TINY = 1e-7
_REPLACED = "zeropower_via_newtonschulz5"  # LLaMA-Factory 0.9.5


def orthogonalise(gradient: torch.Tensor, steps: int) -> torch.Tensor:
    """A matrix of the shape and the singular vectors of `gradient`, its singular values within 0.6 to 1.3.

    Not covered: singular values far below the largest one, which `steps` steps do not bring up.
    """
    import torch

    tall = gradient.size(0) > gradient.size(1)
    x = (gradient.mT if tall else gradient).float()
    x = x / (x.norm() + _TINY)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=_B, alpha=_C), x, beta=_A)
    return x.mT if tall else x


def use_float32() -> None:
    """From now on LLaMA-Factory's Muon orthogonalises with `orthogonalise`.

    Raises:
        RuntimeError: this LLaMA-Factory has another Muon.
    """
    from llamafactory.third_party.muon import muon

    step = inspect.unwrap(muon.Muon.step)  # torch wraps it when the first optimizer is made
    if not hasattr(muon, _REPLACED) or _REPLACED not in step.__code__.co_names:
        raise RuntimeError(f"llamafactory: its Muon does not call {_REPLACED}, see {__name__}")
    setattr(muon, _REPLACED, orthogonalise)
