"""Starts LLaMA-Factory's trainer, shows its progress, and reports why it failed."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

import text2sql
from text2sql.claims import claimed_gpus
from text2sql.cpu import with_kernels
from text2sql.errors import DISK_FULL, UserError
from text2sql.processes import die_with_parent
from text2sql.progress import Progress
from text2sql.training.megatron import automap_cache
from text2sql.training.nodes import Nodes
from text2sql.training.recipe import PACKING
from text2sql.training.settings import Recipe

_POLL_S = 0.5
_LOG_TAIL_LINES = 15
_FULL_BYTES = 4_000_000  # free on a disk on which a checkpoint did not fit: what is left is less than a block
# glibc keeps freed memory in the process. Otherwise every step of a CPU training requests it from the kernel,
# which fills it with zeros each time.
_KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
# Threads sleep while they wait for one another. By default they poll; where other jobs use the cores too,
# that takes the time of the thread that they wait for, and two threads were several times slower than one.
_WAIT = {"OMP_WAIT_POLICY": "passive"}
_CHECKOUT = Path(text2sql.__file__).parents[1]


def launch(recipe: Recipe, config: Mapping[str, object], folder: Path, nodes: Nodes, label: str) -> None:
    """Train with the arguments in `config`; config.yaml and train.log are in `folder`, progress on stderr.

    Every launch appends to throughput.jsonl there, so that a resumed training keeps the measurements from
    before the kill (see `read_throughput`). All ranks of this machine end with this process, so that none
    writes into the folder of a killed stage. Whether the trainer wrote weights is checked by the caller.

    Raises:
        UserError: the trainer cannot be started, or ends with a status other than 0. The message has the
            reason, or the end of the log.
    """
    (folder / "config.yaml").write_text(yaml.safe_dump(dict(config), sort_keys=False), encoding="utf-8")
    for name in ("fault.txt", PACKING):
        (folder / name).unlink(missing_ok=True)
    status = run_ranks(recipe, folder, nodes, label)
    if status != 0:
        raise UserError(f"{label}: {_failure(folder, status)}, then `dvc repro`, which resumes")


def run_ranks(recipe: Recipe, folder: Path, nodes: Nodes, label: str) -> int:
    """Run this machine's ranks with config.yaml in `folder` until they end; returns their exit status.

    Each rank has a GPU of its own, if the machine has any: they are waited for, see `claimed_gpus`.
    """
    with (
        claimed_gpus(recipe.ranks, label),
        open(folder / f"train{nodes.rank or ''}.log", "ab") as log,
    ):
        process = subprocess.Popen(
            command(recipe, folder / "config.yaml", nodes),
            env=with_kernels(
                os.environ | automap_cache(folder) | _reporting(folder) | environment(recipe),
                recipe.threads,
                recipe.precision == "fp32",
            ),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=die_with_parent,
        )
        try:
            return _show_progress(process, folder, label)
        finally:
            process.kill()
            process.wait()


def command(recipe: Recipe, config: Path, nodes: Nodes) -> list[str]:
    """The command that starts this machine's ranks: one process, or torchrun with `recipe.ranks` processes.

    Raises:
        UserError: LLaMA-Factory is not installed.
    """
    if importlib.util.find_spec("llamafactory") is None:
        raise UserError("LLaMA-Factory is not installed; `make setup` installs it")
    worker = ["-m", "text2sql.training.worker", str(config)]
    if recipe.save_minutes is not None:
        worker += ["--save-minutes", str(recipe.save_minutes)]
    if recipe.validation is not None:
        worker += ["--validate"]
    if recipe.keep_steps is not None:
        worker += ["--keep-steps", str(recipe.keep_steps)]
    single = nodes.count * recipe.ranks == 1 and recipe.deepspeed is None and recipe.megatron is None
    return [sys.executable, *worker] if single else [sys.executable, *_torchrun(recipe, nodes), *worker]


def _torchrun(recipe: Recipe, nodes: Nodes) -> list[str]:
    """https://docs.pytorch.org/docs/stable/elastic/run.html; --standalone finds a free port."""
    several = [f"--nnodes={nodes.count}", f"--node-rank={nodes.rank}"]
    several += [f"--master-addr={nodes.address}", f"--master-port={nodes.port}"]
    rendezvous = several if nodes.count > 1 else ["--standalone"]
    return ["-m", "torch.distributed.run", f"--nproc-per-node={recipe.ranks}", *rendezvous]


def reports(folder: Path) -> Path:
    """Where TensorBoard's files of the training in `folder` are; a variable of transformers moves them."""
    return Path(os.environ.get("TENSORBOARD_LOGGING_DIR", folder / "tensorboard"))


def _reporting(folder: Path) -> dict[str, str]:
    return {"TENSORBOARD_LOGGING_DIR": str(reports(folder).absolute())}


def environment(recipe: Recipe) -> dict[str, str]:
    """Environment variables of the ranks, in addition to those of this process and of `with_kernels`."""
    paths = [str(_CHECKOUT), os.environ.get("PYTHONPATH", "")]
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),  # runs the worker of this checkout
        **_KEEP_MEMORY,
        **_WAIT,
        "HF_HUB_OFFLINE": "1",  # the base model is in a local folder
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "PYTHONHASHSEED": "0",  # adapter_config.json has a list made from a set
        "TOKENIZERS_PARALLELISM": "false",
        "USE_MCA": str(int(recipe.megatron is not None)),
    }


def _failure(folder: Path, status: int) -> str:
    """Why the trainer stopped: as the worker wrote it, a full disk, or the end of the log."""
    fault = folder / "fault.txt"
    if fault.is_file() and (reason := fault.read_text(encoding="utf-8")):
        return reason
    log = folder / "train.log"
    tail, free = _tail(log), shutil.disk_usage(folder).free
    if free < _FULL_BYTES or any(os.strerror(code) in tail for code in DISK_FULL):
        return f"the disk of {folder} is full ({free:,} bytes free); free some"
    return f"the trainer ended with status {status}\n{tail}\ncomplete log: {log}; fix the cause"


def _show_progress(process: subprocess.Popen[bytes], folder: Path, label: str) -> int:
    """Show the trainer's progress until it ends; returns its exit status."""
    progress: Progress | None = None
    packing: Path | None = folder / PACKING
    while (status := process.poll()) is None:
        if packing is not None and packing.is_file():
            print(f"{label}: {packing.read_text(encoding='utf-8')}", file=sys.stderr)
            packing = None
        entry = _last_entry(folder / "run" / "trainer_log.jsonl")
        if entry is not None:
            step = entry["current_steps"]
            progress = progress or Progress(entry["total_steps"], "steps", label, done=step)
            if step > progress.done:
                progress.advance(step - progress.done, _loss_and_speed(entry, folder))
        time.sleep(_POLL_S)
    return status


def _loss_and_speed(entry: Mapping[str, Any], folder: Path) -> str:
    speed = _last_entry(folder / "throughput.jsonl") or {}
    parts = [f"loss {entry['loss']:.4g}"] if "loss" in entry else []
    parts += [f"{speed['tokens_per_s']:,.0f} tokens/s"] if "tokens_per_s" in speed else []
    parts += [f"MFU {100 * speed['mfu']:.0f} %"] if "mfu" in speed else []
    return ", ".join(parts)


def _last_entry(path: Path) -> dict[str, Any] | None:
    try:
        lines = _end_of(path).splitlines()
        return json.loads(lines[-1]) if lines else None
    except (FileNotFoundError, json.JSONDecodeError):
        return None  # not begun, or a line is half written: the next poll reads it


def _end_of(path: Path, size: int = 4096) -> bytes:
    """The last `size` bytes: a log with a line for every step becomes long."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - size))
        return file.read()


def _tail(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(f"  | {line}" for line in lines[-_LOG_TAIL_LINES:])
