"""Which checkpoint of a killed run is whole."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

_NAME = re.compile(r"checkpoint-(\d+)\Z")


def newest_checkpoint(run: Path, ranks: int = 1) -> Path | None:
    """The whole checkpoint with the highest step in `run`, or None; torn ones are removed and named.

    transformers writes trainer_state.json last, so a checkpoint is whole when that file reads as JSON
    and tells the folder's own step; of several ranks each must have left its random state, which comes
    after its share of the optimizer. Not covered: files damaged after they were written.
    """
    found = [folder for folder in run.glob("checkpoint-*") if _NAME.match(folder.name)]
    for folder in sorted(found, key=_step, reverse=True):
        if _is_whole(folder, ranks):
            return folder
        print(f"{folder}: torn checkpoint removed", file=sys.stderr)
        shutil.rmtree(folder)
    return None


def _step(folder: Path) -> int:
    match = _NAME.match(folder.name)
    assert match is not None
    return int(match.group(1))


def _is_whole(folder: Path, ranks: int) -> bool:
    try:
        state = json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return False
    shares = ranks == 1 or all((folder / f"rng_state_{rank}.pth").is_file() for rank in range(ranks))
    return shares and bool(state.get("global_step") == _step(folder))
