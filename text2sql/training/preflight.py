"""Checks that this machine can run a training, before it starts."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from text2sql.errors import UserError, listed
from text2sql.files import read_json
from text2sql.gpus import Gpu, visible_gpus
from text2sql.training.extra import extra_problems
from text2sql.training.memory import estimate, read_model
from text2sql.training.nodes import Nodes
from text2sql.training.settings import Recipe

_INSTALL = "install what configs/requirements-gpu.txt lists"
_USABLE = 0.95  # share of a device's memory; the driver needs the rest


def check_feasible(recipe: Recipe, base: Path, longest: int, nodes: Nodes) -> None:
    """Check that packages, GPUs, compiler and memory here suffice for `recipe`, and its further arguments.

    `longest` is the number of tokens of the longest row. The needed memory is an estimate, see
    `memory.estimate`.

    Raises:
        UserError: something is missing; the message has all that is.
    """
    if recipe.deepspeed is not None:
        _print_compiler_locks()
    (extra,) = extra_problems([recipe])
    problems = (*missing_parts(recipe), *extra, *missing_memory(recipe, base, longest, nodes))
    if problems:
        raise UserError(listed(problems))


def missing_parts(recipe: Recipe) -> list[str]:
    """A sentence for each GPU, package or compiler that `recipe` needs and this machine does not have."""
    gpus = visible_gpus()
    return [*_missing_gpus(recipe, gpus), *_missing_packages(recipe), *_missing_compiler(recipe, gpus)]


def missing_memory(recipe: Recipe, base: Path, longest: int, nodes: Nodes) -> Iterator[str]:
    """A sentence with the estimate if the memory here is too small for rows of `longest` tokens.

    Raises:
        UserError: the sizes of the model in `base` cannot be read.
    """
    gpus = visible_gpus()
    need = estimate(recipe, read_model(base), longest, nodes.count)
    if gpus:
        memory, where, total = min(gpu.memory for gpu in gpus), "a GPU here has", need.total
    else:
        memory, where, total = _physical_memory(), "this machine has", need.total * recipe.ranks
    if total > _USABLE * memory:
        ranks = 1 if gpus else recipe.ranks
        yield (
            f"not enough memory: a rank needs about {need}, and {where} {memory / (1 << 30):.1f} GiB for "
            f"{ranks} {'rank' if ranks == 1 else 'ranks'}; lower device_batch, or set "
            "gradient_checkpointing: true, deepspeed: z3 with more ranks, or deepspeed: z3_offload"
        )


def _missing_gpus(recipe: Recipe, gpus: list[Gpu]) -> Iterator[str]:
    gpu_settings = {
        "optimizer: adamw_8bit": recipe.optimizer == "adamw_8bit",
        "attention: fa2": recipe.attention == "fa2",
        "liger: true": recipe.liger,
        "megatron": recipe.megatron is not None,
        "training.extra.quantization_bit": recipe.extra.get("quantization_bit") is not None,
    }
    used = [name for name, is_used in gpu_settings.items() if is_used]
    if used and not gpus:
        count = "a GPU" if recipe.ranks == 1 else f"{recipe.ranks} GPUs (ranks)"
        yield (
            f"{', '.join(used)} {'needs' if len(used) == 1 else 'need'} {count}, and none is visible (check "
            "nvidia-smi and CUDA_VISIBLE_DEVICES); train on a machine with a GPU, or use a profile for the "
            "CPU: `make use PROFILE=embedded`"
        )
    if gpus and recipe.ranks > len(gpus):
        seen = "1 GPU is" if len(gpus) == 1 else f"{len(gpus)} GPUs are"
        advice = _fewer_ranks(recipe, len(gpus))
        yield f"ranks is {recipe.ranks} (one per GPU), but only {seen} visible; {advice}"


def _fewer_ranks(recipe: Recipe, gpus: int) -> str:
    """How to train on `gpus` GPUs: with Megatron the ranks are groups of tensor_parallel."""
    tensor = recipe.megatron.tensor_parallel if recipe.megatron else 1
    if gpus < tensor:
        return f"tensor_parallel {tensor} needs {tensor} of them; set megatron: null, and ranks to {gpus}"
    return f"set ranks to {gpus // tensor * tensor}: the global batch stays {recipe.global_batch} rows"


def _missing_packages(recipe: Recipe) -> Iterator[str]:
    needs = {
        "deepspeed": ("deepspeed", recipe.deepspeed is not None),
        "optimizer: adamw_8bit": ("bitsandbytes", recipe.optimizer == "adamw_8bit"),
        "liger: true": ("liger-kernel", recipe.liger),
        "attention: fa2": ("flash-attn", recipe.attention == "fa2"),
        "megatron": ("megatron-core", recipe.megatron is not None),
        "training.extra.quantization_bit": (
            "bitsandbytes",
            recipe.extra.get("quantization_bit") is not None,
        ),
        "megatron.transformer_impl: transformer_engine": ("transformer-engine", _uses_engine(recipe)),
    }
    for parameter, (package, needed) in needs.items():
        if needed and not installed(package):
            yield f"{parameter} needs the package {package}, which is not installed; {_INSTALL}"
    if recipe.report_to != "none" and not installed(recipe.report_to):
        name = recipe.report_to
        yield f"report_to: {name} needs the package {name}, which is not installed; `pip install {name}`"
    if recipe.megatron is not None:
        yield from _wrong_mcore_adapter()
    if recipe.optimizer == "adamw_8bit" and _offloads(recipe):
        yield "optimizer: adamw_8bit works on the GPU only; with DeepSpeed offload set optimizer: adamw"


def _uses_engine(recipe: Recipe) -> bool:
    return recipe.megatron is not None and recipe.megatron.transformer_impl == "transformer_engine"


def _missing_compiler(recipe: Recipe, gpus: list[Gpu]) -> Iterator[str]:
    if recipe.deepspeed is not None and not gpus and cpp_compiler() is None:
        yield (
            "deepspeed without a GPU compiles a library at its start, and no C++ compiler was found; "
            "`apt-get install g++`, or set CXX=/path/to/g++, then `dvc repro`"
        )


def cpp_compiler() -> str | None:
    """Path of torch's C++ compiler: CXX, else c++ (torch.utils.cpp_extension); None if not found."""
    return shutil.which(os.environ.get("CXX", "c++").partition(" ")[0])


def _wrong_mcore_adapter() -> Iterator[str]:
    """ROLL's package is recognised by its files, without importing a package that may be another one."""
    spec = importlib.util.find_spec("mcore_adapter")
    if spec is None:
        yield f"megatron needs ROLL's mcore_adapter, which is not installed; {_INSTALL}"
        return
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    if not any((folder / "training_args.py").is_file() for folder in folders):
        yield (
            f"the installed mcore_adapter ({spec.origin}) is not ROLL's but an unrelated package of the "
            f"same name from the package index; `pip uninstall mcore-adapter`, then {_INSTALL}"
        )


def _print_compiler_locks() -> None:
    """Name DeepSpeed's compilation locks: a killed run leaves one, and later runs wait without a message."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    root = Path(os.environ.get("TORCH_EXTENSIONS_DIR") or Path(cache) / "torch_extensions")
    for lock in sorted([*root.glob("*/lock"), *root.glob("*/*/lock")]):
        print(
            f"{lock}: the run waits until this file is removed; if no other run is compiling: `rm {lock}`",
            file=sys.stderr,
        )


def _offloads(recipe: Recipe) -> bool:
    if recipe.deepspeed_file is None:
        return False
    return "offload_optimizer" in read_json(recipe.deepspeed_file)["zero_optimization"]


def installed(package: str) -> bool:
    """Whether a distribution of this name, as `pip install` knows it, is installed."""
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _physical_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
