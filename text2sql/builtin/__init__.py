"""The built-in benchmark, and the training rows of the tiny base model."""

from text2sql.builtin.benchmark import base_rows, build_benchmark

__all__ = ["base_rows", "build_benchmark"]
