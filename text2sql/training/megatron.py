"""From Megatron's checkpoint to Hugging Face's, by mcore_adapter's own converter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from text2sql.errors import UserError

# In a process of its own: the converter sets Megatron's global state and holds the model twice.
_CONVERT = """
import sys
import torch
from mcore_adapter.models.converter.post_converter import convert_checkpoint_to_hf
convert_checkpoint_to_hf(sys.argv[1], sys.argv[2], torch_dtype=torch.bfloat16)
"""


def convert_to_hugging_face(run: Path, output: Path, label: str) -> Path:
    """Write the bf16 weights that Megatron left in `run` as a Hugging Face model in `output`; returns it.

    trainer_state.json goes along. UserError: the converter fails. Not covered: whether the converted
    weights answer as Megatron's do.
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
            f"{done.stderr[-2000:]}\nmend the cause, then `dvc repro`: training resumes at its end"
        )
    (output / "trainer_state.json").write_bytes((run / "trainer_state.json").read_bytes())
    return output
