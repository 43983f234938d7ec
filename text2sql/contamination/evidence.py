"""The evidence that a training row leaks a test question."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a training row leaks: the rule, the test row that it leaks, and their similarity (0 to 1)."""

    rule: str
    test_row: int
    similarity: float
