"""PiSSA (Meng et al. 2024): an adapter of the base model, from one of its residual.

PiSSA takes the first matrices A0, B0 of an adapter from the base's weights W, and trains on W - s B0 A0,
where s is the scale. The trained model is W + s (B A - B0 A0): on the base itself an adapter of twice the
rank. Not covered: rounding. Where the base is bfloat16, so was W - s B0 A0.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from text2sql.files import read_json

START = "pissa_start.safetensors"
_WEIGHTS = "adapter_model.safetensors"


class OtherStart(Exception):
    """A resumed training began with other matrices than the killed one."""


class KeepStart(TrainerCallback):
    """Writes A0 and B0 to `folder`, before a checkpoint replaces them by A and B.

    A resumed training computes them again, and must find the same.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / START

    def on_init_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Write the matrices, or compare them with those of the killed training."""
        if args.process_index != 0:
            return
        found = {
            name: tensor.detach().cpu().contiguous()
            for name, tensor in get_peft_model_state_dict(kwargs["model"]).items()
        }
        if not any(self._file.parent.glob("run/checkpoint-*")):
            save_file(found, self._file)
            return
        kept = load_file(self._file)
        if kept.keys() != found.keys() or any(not torch.equal(kept[name], found[name]) for name in kept):
            raise OtherStart(
                "PiSSA's first matrices differ from those of the killed training, so that its checkpoints "
                f"do not belong to them; remove {self._file.parent / 'run'} to begin again"
            )


def convert(weights: Path, start: Path) -> None:
    """Make the trained adapter in `weights` one of the base model: [A; A0] and [B, -B0], twice the rank."""
    trained, first = load_file(weights / _WEIGHTS), load_file(start)
    joined = {name: _joined(name, tensor, first[name]) for name, tensor in trained.items()}
    save_file(joined, weights / _WEIGHTS, metadata={"format": "pt"})
    config = read_json(weights / "adapter_config.json")
    # the scale stays: it is alpha / rank, or alpha / sqrt(rank) with rsLoRA
    alpha = config["lora_alpha"] * (math.sqrt(2) if config["use_rslora"] else 2)
    config |= {"r": 2 * config["r"], "lora_alpha": alpha, "init_lora_weights": True}
    (weights / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def _joined(name: str, trained: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
    if ".lora_A." in name:
        return torch.cat([trained, first.to(trained.dtype)], dim=0)
    return torch.cat([trained, -first.to(trained.dtype)], dim=1)
