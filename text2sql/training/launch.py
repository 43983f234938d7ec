"""Running LLaMA-Factory's trainer: started, watched, and not believed until the weights are there."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

import text2sql
from text2sql.cpu import kernel_settings
from text2sql.errors import UserError
from text2sql.processes import die_with_parent
from text2sql.progress import Progress
from text2sql.training.nodes import Nodes
from text2sql.training.settings import Recipe

_POLL_S = 0.5
_LOG_TAIL_LINES = 15
# glibc: freed memory stays with the process. Else every step of a CPU training asks for it anew, and the
# kernel fills it with zeros each time.
_KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
_CHECKOUT = Path(text2sql.__file__).parents[1]


def launch(recipe: Recipe, config: Mapping[str, object], folder: Path, nodes: Nodes, label: str) -> None:
    """Train as `config` says; config.yaml and train.log lie in `folder`, progress goes to stderr.

    throughput.jsonl there grows with every launch, so that a resumed training keeps what it measured
    before the kill (see `read_throughput`).

    All ranks of this machine die with this process, so that a killed stage leaves nobody writing in its
    folder. UserError: the trainer cannot be started, or ends with a status other than 0 (why it stopped
    is told, or the log's end is shown).
    """
    (folder / "config.yaml").write_text(yaml.safe_dump(dict(config), sort_keys=False), encoding="utf-8")
    (folder / "fault.txt").unlink(missing_ok=True)
    status = run_ranks(recipe, folder, nodes, label)
    if status != 0:
        raise UserError(f"{label}: {_why(folder, status)}, then `dvc repro`: it resumes")


def run_ranks(recipe: Recipe, folder: Path, nodes: Nodes, label: str) -> int:
    """Run this machine's ranks on the config.yaml in `folder` until they end; their exit status."""
    with open(folder / f"train{nodes.rank or ''}.log", "ab") as log:
        process = subprocess.Popen(
            command(recipe, folder / "config.yaml", nodes),
            env=os.environ | environment(recipe),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=die_with_parent,
        )
        try:
            return _watch(process, folder, label)
        finally:
            process.kill()
            process.wait()


def command(recipe: Recipe, config: Path, nodes: Nodes) -> list[str]:
    """The command of this machine's ranks: one process, or torchrun over `recipe.ranks` of them.

    UserError: LLaMA-Factory is not installed.
    """
    if importlib.util.find_spec("llamafactory") is None:
        raise UserError("llamafactory: not installed; `make setup` installs LLaMA-Factory")
    worker = ["-m", "text2sql.training.worker", str(config)]
    if recipe.save_minutes is not None:
        worker += ["--save-minutes", str(recipe.save_minutes)]
    alone = nodes.count * recipe.ranks == 1 and recipe.deepspeed is None and recipe.megatron is None
    return [sys.executable, *worker] if alone else [sys.executable, *_torchrun(recipe, nodes), *worker]


def _torchrun(recipe: Recipe, nodes: Nodes) -> list[str]:
    """https://docs.pytorch.org/docs/stable/elastic/run.html; --standalone finds a free port."""
    several = [f"--nnodes={nodes.count}", f"--node-rank={nodes.rank}"]
    several += [f"--master-addr={nodes.address}", f"--master-port={nodes.port}"]
    place = several if nodes.count > 1 else ["--standalone"]
    return ["-m", "torch.distributed.run", f"--nproc-per-node={recipe.ranks}", *place]


def environment(recipe: Recipe) -> dict[str, str]:
    """What the ranks' environment has beside this process's."""
    paths = [str(_CHECKOUT), os.environ.get("PYTHONPATH", "")]
    settings = {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),  # the worker is this checkout's
        **kernel_settings(recipe.threads),
        **_KEEP_MEMORY,
        "HF_HUB_OFFLINE": "1",  # the base model lies in a local folder by now
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "PYTHONHASHSEED": "0",  # adapter_config.json lists a set
        "TOKENIZERS_PARALLELISM": "false",
        "USE_MCA": str(int(recipe.megatron is not None)),
    }
    if recipe.ranks == 1 and "CUDA_VISIBLE_DEVICES" not in os.environ:
        settings["CUDA_VISIBLE_DEVICES"] = "0"  # one process would otherwise spread over all of them
    return settings


def _why(folder: Path, status: int) -> str:
    fault = folder / "fault.txt"
    if fault.is_file():
        return fault.read_text(encoding="utf-8")
    log = folder / "train.log"
    return f"the trainer ended with status {status}\n{_tail(log)}\nwhole log: {log}; mend the cause"


def _watch(process: subprocess.Popen[bytes], folder: Path, label: str) -> int:
    """Show the trainer's progress until it ends; returns its exit status."""
    progress: Progress | None = None
    while (status := process.poll()) is None:
        line = _last_logged(folder / "run" / "trainer_log.jsonl")
        if line is not None:
            step = line["current_steps"]
            progress = progress or Progress(line["total_steps"], "steps", label, done=step)
            if step > progress.done:
                progress.advance(step - progress.done, _note(line, folder))
        time.sleep(_POLL_S)
    return status


def _note(line: Mapping[str, Any], folder: Path) -> str:
    speed = _last_logged(folder / "throughput.jsonl") or {}
    parts = [f"loss {line['loss']:.4g}"] if "loss" in line else []
    parts += [f"{speed['tokens_per_s']:,.0f} tokens/s"] if "tokens_per_s" in speed else []
    parts += [f"MFU {100 * speed['mfu']:.0f} %"] if "mfu" in speed else []
    return ", ".join(parts)


def _last_logged(path: Path) -> dict[str, Any] | None:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return json.loads(lines[-1]) if lines else None
    except (FileNotFoundError, json.JSONDecodeError):
        return None  # not begun, or the trainer is in the middle of a line: look again soon


def _tail(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(f"  | {line}" for line in lines[-_LOG_TAIL_LINES:])
