"""Estimates the room on the disk that a training needs."""

from __future__ import annotations

from text2sql.training.memory import Model, trainable
from text2sql.training.settings import Recipe

_CHECKPOINTS = 3  # two are kept, and a third is written before the oldest of them is removed


def working_bytes(recipe: Recipe, model: Model) -> int:
    """Bytes in the work store while it trains: checkpoints, each with the trained weights and two moments."""
    moment = 1 if recipe.optimizer == "adamw_8bit" else 4
    return _CHECKPOINTS * trainable(recipe.lora, model) * (4 + 2 * moment)


def finished_bytes(recipe: Recipe, model: Model) -> int:
    """Bytes of the trained weights, in fp32. They are in the work store, in models/ and in DVC's cache."""
    return 4 * trainable(recipe.lora, model)
