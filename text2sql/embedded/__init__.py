"""The built-in benchmark and the tiny base model."""

from text2sql.embedded.benchmark import base_rows, build_benchmark

__all__ = ["base_rows", "build_benchmark"]
