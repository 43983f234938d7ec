"""The built-in benchmark, and the training rows of the tiny base model."""

from text2sql.builtin.benchmark import build_benchmark

__all__ = ["build_benchmark"]
