"""What makes a training impossible, said in one sentence before it starts."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from text2sql.errors import UserError
from text2sql.files import read_json
from text2sql.training.memory import estimate, read_model
from text2sql.training.nodes import Nodes
from text2sql.training.settings import Recipe

_INSTALL = "install what configs/requirements-gpu.txt lists"
_USABLE = 0.95  # of a device's memory; the rest is the driver's


@dataclass(frozen=True)
class Gpu:
    """A GPU that this process may use; memory in bytes."""

    name: str
    memory: int


def refuse_impossible(recipe: Recipe, base: Path, longest: int, nodes: Nodes) -> None:
    """UserError: packages, GPUs, compiler or memory do not suffice for `recipe` on this machine.

    `longest` is the number of tokens of the longest row. Memory is an estimate, see `memory.estimate`.
    """
    if recipe.deepspeed is not None:
        _tell_of_locks()
    gpus = visible_gpus()
    faults = (*_missing_gpus(recipe, gpus), *_missing_packages(recipe), *_missing_compiler(recipe, gpus))
    for fault in faults:
        raise UserError(fault)
    need = estimate(recipe, read_model(base), longest, nodes.count)
    if gpus:
        room, where, total = min(gpu.memory for gpu in gpus), "a GPU here has", need.total
    else:
        room, where, total = _physical_memory(), "this machine has", need.total * recipe.ranks
    if total > _USABLE * room:
        raise UserError(
            f"a rank would need about {need}, and {where} {room / (1 << 30):.1f} GiB for "
            f"{1 if gpus else recipe.ranks}; lower device_batch, set gradient_checkpointing: true, "
            "deepspeed: z3 over more ranks, or z3_offload"
        )


def visible_gpus() -> list[Gpu]:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves; none where torch is a CPU build or nvidia-smi is missing.

    Not covered: a device named by UUID or MIG slice counts as the machine's first GPU.
    """
    if "+cpu" in importlib.metadata.version("torch"):
        return []
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        listed = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    gpus = [_gpu(line) for line in listed.splitlines()]
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None or not gpus:
        return gpus
    chosen = [name.strip() for name in named.split(",") if name.strip()]
    return [gpus[int(name)] if name.isdecimal() and int(name) < len(gpus) else gpus[0] for name in chosen]


def _gpu(line: str) -> Gpu:
    name, mebibytes = line.rsplit(",", 1)
    return Gpu(name.strip(), int(mebibytes) << 20)


def _missing_gpus(recipe: Recipe, gpus: list[Gpu]) -> Iterator[str]:
    needs = {
        "optimizer: adamw_8bit": recipe.optimizer == "adamw_8bit",
        "attention: fa2": recipe.attention == "fa2",
        "fused_loss: true": recipe.fused_loss,
        "megatron": recipe.megatron is not None,
    }
    wanting = [name for name, needed in needs.items() if needed]
    if wanting and not gpus:
        yield (
            f"{wanting[0]} needs a GPU, and torch sees none here (nvidia-smi, CUDA_VISIBLE_DEVICES); train "
            "on a machine with one, or take a profile for the CPU: `make use PROFILE=embedded`"
        )
    if gpus and recipe.ranks > len(gpus):
        yield (
            f"ranks is {recipe.ranks}, one a GPU, and this machine shows {len(gpus)}; set ranks to "
            f"{len(gpus)}: the global batch of {recipe.global_batch} rows stays as it is"
        )


def _missing_packages(recipe: Recipe) -> Iterator[str]:
    needs = {
        "deepspeed": ("deepspeed", recipe.deepspeed is not None),
        "optimizer: adamw_8bit": ("bitsandbytes", recipe.optimizer == "adamw_8bit"),
        "fused_loss: true": ("liger-kernel", recipe.fused_loss),
        "attention: fa2": ("flash-attn", recipe.attention == "fa2"),
        "megatron": ("megatron-core", recipe.megatron is not None),
    }
    for parameter, (package, needed) in needs.items():
        if needed and not _installed(package):
            yield f"{parameter} needs the package {package}, which is not installed; {_INSTALL}"
    if recipe.megatron is not None:
        yield from _wrong_mcore_adapter()
    if recipe.optimizer == "adamw_8bit" and _offloads(recipe):
        yield "optimizer: adamw_8bit runs on the GPU only; with deepspeed offload set optimizer: adamw"


def _missing_compiler(recipe: Recipe, gpus: list[Gpu]) -> Iterator[str]:
    if recipe.deepspeed is not None and not gpus and cpp_compiler() is None:
        yield (
            "deepspeed without a GPU compiles a library when it starts, and there is no C++ compiler here: "
            "`apt-get install g++`, or name yours, CXX=/path/to/g++, then `dvc repro`"
        )


def cpp_compiler() -> str | None:
    """Where the C++ compiler lies that torch would start: CXX, else c++ (torch.utils.cpp_extension)."""
    return shutil.which(os.environ.get("CXX", "c++").partition(" ")[0])


def _wrong_mcore_adapter() -> Iterator[str]:
    """ROLL's package is known by its parts, looked for without importing what may be a stranger's."""
    spec = importlib.util.find_spec("mcore_adapter")
    if spec is None:
        yield f"megatron needs ROLL's mcore_adapter, which is not installed; {_INSTALL}"
        return
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    if not any((folder / "training_args.py").is_file() for folder in folders):
        yield (
            f"the mcore_adapter installed here ({spec.origin}) is not ROLL's but the package index's, "
            f"which is somebody else's: `pip uninstall mcore-adapter`, then {_INSTALL}"
        )


def _tell_of_locks() -> None:
    """Name the locks of DeepSpeed's compiler: a killed run leaves one, and later runs wait in silence."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    root = Path(os.environ.get("TORCH_EXTENSIONS_DIR") or Path(cache) / "torch_extensions")
    for lock in sorted([*root.glob("*/lock"), *root.glob("*/*/lock")]):
        print(f"{lock}: the run waits for this; if no other run is compiling, rm it", file=sys.stderr)


def _offloads(recipe: Recipe) -> bool:
    if recipe.deepspeed_file is None:
        return False
    return "offload_optimizer" in read_json(recipe.deepspeed_file)["zero_optimization"]


def _installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _physical_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
