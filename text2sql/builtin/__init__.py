"""The built-in benchmark, and the training rows of the tiny base model."""

from text2sql.builtin.base_rows import base_rows
from text2sql.builtin.benchmark import build_benchmark

__all__ = ["base_rows", "build_benchmark"]
