"""What is told against a training row."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a training row leaks: the rule, the test row given away, how alike the two are (0-1)."""

    rule: str
    test_row: int
    similarity: float
