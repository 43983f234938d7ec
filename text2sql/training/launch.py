"""Running `llamafactory-cli train`: started, watched, and not believed until the weights are there."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import yaml

from text2sql.progress import Progress
from text2sql.records import UserError

_POLL_S = 0.5
_LOG_TAIL_LINES = 15
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def launch(config: Mapping[str, object], folder: Path, threads: int, label: str) -> None:
    """Train as `config` says; config.yaml and train.log lie in `folder`, progress goes to stderr.

    The trainer dies with this process, so that a killed stage leaves nobody writing in its folder.
    UserError: the trainer cannot be started or ends with a status other than 0 (the log's end is shown).
    """
    config_file = folder / "config.yaml"
    config_file.write_text(yaml.safe_dump(dict(config), sort_keys=False), encoding="utf-8")
    log_file = folder / "train.log"
    with open(log_file, "ab") as log:
        process = _start(config_file, log.fileno(), threads)
        try:
            status = _watch(process, Path(str(config["output_dir"])), label)
        finally:
            process.kill()
            process.wait()
    if status != 0:
        raise UserError(
            f"{label}: the trainer ended with status {status}\n{_tail(log_file)}\n"
            f"whole log: {log_file}; mend the cause, then `dvc repro`: it resumes"
        )


def _start(config: Path, log: int, threads: int) -> subprocess.Popen[bytes]:
    command = Path(sys.executable).with_name("llamafactory-cli")
    if not command.exists():
        raise UserError(f"{command}: not installed; `make setup` installs LLaMA-Factory")
    return subprocess.Popen(
        [str(command), "train", str(config)],
        env=os.environ | _environment(threads),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        preexec_fn=_die_with_parent,
    )


def _environment(threads: int) -> dict[str, str]:
    return {
        "OMP_NUM_THREADS": str(threads),
        "NPROC_PER_NODE": "1",  # every further rank would multiply the global batch
        "HF_HUB_OFFLINE": "1",  # the base model lies in a local folder by now
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "PYTHONHASHSEED": "0",  # adapter_config.json lists a set
        "TOKENIZERS_PARALLELISM": "false",
    }


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _watch(process: subprocess.Popen[bytes], run: Path, label: str) -> int:
    """Show the trainer's progress until it ends; returns its exit status."""
    progress: Progress | None = None
    while (status := process.poll()) is None:
        line = _last_logged(run / "trainer_log.jsonl")
        if line is not None:
            step = line["current_steps"]
            progress = progress or Progress(line["total_steps"], "steps", label, done=step)
            if step > progress.done:
                progress.advance(step - progress.done)
        time.sleep(_POLL_S)
    return status


def _last_logged(path: Path) -> dict[str, int] | None:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return json.loads(lines[-1]) if lines else None
    except (FileNotFoundError, json.JSONDecodeError):
        return None  # not begun, or the trainer is in the middle of a line: look again soon


def _tail(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(f"  | {line}" for line in lines[-_LOG_TAIL_LINES:])
