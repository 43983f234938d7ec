"""Finds the newest complete checkpoint of a killed run, and copies the weights of one."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

BASE_FILE = "base.json"  # of an adapter: path and hash of its base
_NAME = re.compile(r"checkpoint-(\d+)\Z")
# The files of a checkpoint or a finished run that are the same in every run of one recipe, unlike timings.
_REPRODUCIBLE = (
    "*.safetensors",
    "model.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "adapter_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)


def copy_weights(run: Path, folder: Path) -> None:
    """Copy weights, configuration and tokenizer of the checkpoint or finished run `run` to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for pattern in _REPRODUCIBLE:
        for file in run.glob(pattern):
            shutil.copy2(file, folder)


def newest_checkpoint(run: Path, ranks: int = 1) -> Path | None:
    """The complete checkpoint with the highest step in `run`, or None.

    Incomplete checkpoints are removed and named on stderr. transformers writes trainer_state.json last, so
    a checkpoint is complete if that file is JSON and has the step of the folder's name. With several ranks
    each must have saved its random state, which it does after its part of the optimizer. Not covered: files
    damaged after they were written.
    """
    found = [folder for folder in run.glob("checkpoint-*") if _NAME.match(folder.name)]
    for folder in sorted(found, key=step_of, reverse=True):
        if _is_complete(folder, ranks):
            return folder
        print(f"{folder}: incomplete checkpoint removed", file=sys.stderr)
        shutil.rmtree(folder)
    return None


def step_of(folder: Path) -> int:
    """The step of a checkpoint, which is in its name."""
    match = _NAME.match(folder.name)
    assert match is not None
    return int(match.group(1))


def _is_complete(folder: Path, ranks: int) -> bool:
    try:
        state = json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return False
    all_ranks = ranks == 1 or all((folder / f"rng_state_{rank}.pth").is_file() for rank in range(ranks))
    return all_ranks and bool(state.get("global_step") == step_of(folder))
