"""The device that models run on."""

from __future__ import annotations


def torch_device() -> str:
    """ "cuda" if torch can use a CUDA device, else "cpu"."""
    import torch  # here: processes that need no model start faster without it

    return "cuda" if torch.cuda.is_available() else "cpu"
