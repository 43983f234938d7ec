"""Converts Megatron's checkpoint to Hugging Face's format with mcore_adapter's converter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from text2sql.errors import UserError

# In a process of its own: the converter sets Megatron's global state and loads the model twice.
_CONVERT = """
import sys
import torch
from mcore_adapter.models.converter.post_converter import convert_checkpoint_to_hf
convert_checkpoint_to_hf(sys.argv[1], sys.argv[2], torch_dtype=torch.bfloat16)
"""


def convert_to_hugging_face(run: Path, output: Path, label: str) -> Path:
    """Write Megatron's bf16 weights from `run` as a Hugging Face model to `output`; returns `output`.

    trainer_state.json is copied too. Not covered: whether the converted weights give the same answers as
    Megatron's.

    Raises:
        UserError: the converter fails.
    """
    done = subprocess.run(
        [sys.executable, "-c", _CONVERT, str(run), str(output)],
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode != 0:
        raise UserError(
            f"{label}: mcore_adapter could not convert {run} (status {done.returncode})\n"
            f"{done.stderr[-2000:]}\nfix the cause, then `dvc repro`; the training itself is not repeated"
        )
    (output / "trainer_state.json").write_bytes((run / "trainer_state.json").read_bytes())
    return output
