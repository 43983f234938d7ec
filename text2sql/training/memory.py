"""Estimates the memory that a training needs, before it starts."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from text2sql.errors import UserError
from text2sql.files import read_json
from text2sql.training.settings import Lora, Recipe

_GIB = 1 << 30
# Share of a batch's tokens that have a label: it is 0.146 of Spider's and sql_create_context's rows.
LABELLED = 0.25
_BUCKET = 500_000_000  # numbers in a buffer of ZeRO-2, DeepSpeed's default
# Activations measured on an H200, as a multiple of the formula's: with Liger's kernels 1.13 to 1.16, with
# those of transformers and LoRA on every layer 1.37 to 1.59, because each adapter keeps its input once more.
_LIGER, _NO_LIGER = 1.15, 1.5


@dataclass(frozen=True)
class Model:
    """The sizes of a model that decide its memory: weights, layers, widths, vocabulary and linear layers.

    `linear` has (name, inputs + outputs) of every weight matrix in the layers.
    """

    parameters: int
    layers: int
    hidden: int
    intermediate: int
    vocabulary: int
    linear: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Memory:
    """Bytes on the device of one rank."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    logits: float
    buffers: float = 0

    @property
    def total(self) -> float:
        """The sum, in bytes."""
        return sum(asdict(self).values())

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {size / _GIB:.1f}" for name, size in asdict(self).items())
        return f"{self.total / _GIB:.1f} GiB ({parts})"


def read_model(folder: Path) -> Model:
    """Read the sizes of the model in `folder`.

    Raises:
        UserError: there are no weights, or config.json lacks a size.
    """
    shapes = dict(weight_shapes(folder))
    if not shapes:
        raise UserError(f"{folder}: no .safetensors file; `dvc repro fetch_model` fetches the base model")
    config = read_json(folder / "config.json")
    config |= config.get("text_config", {})  # of a model that also reads images
    keys = ("num_hidden_layers", "hidden_size", "intermediate_size", "vocab_size")
    missing = [key for key in keys if key not in config]
    if missing:
        raise UserError(
            f"{folder}/config.json: {missing[0]} is missing; choose another base model in fetch_model"
        )
    matrices = {name: shape for name, shape in shapes.items() if ".layers." in name and len(shape) == 2}
    linear = tuple((name.split(".")[-2], sum(shape)) for name, shape in matrices.items())
    parameters = sum(map(math.prod, shapes.values()))
    layers, hidden, intermediate, vocabulary = (int(config[key]) for key in keys)
    return Model(parameters, layers, hidden, intermediate, vocabulary, linear)


def estimate(recipe: Recipe, model: Model, longest: int, nodes: int) -> Memory:
    """Memory of one rank when its batch is full of rows of `longest` tokens.

    Bytes per weight, for W frozen and T trained weights (Rajbhandari et al. 2020, "ZeRO", section 3):

        fp32, one copy      W: 4            T: weight 4, gradient 4, moments 8
        bf16, one copy      W: 2            T: weight 4 + 2 (copy), gradient 4 + 2 (in bf16), moments 8
                                            (2 in 8 bits)
        bf16, ZeRO          W: 2            T: weight 2, gradient 2, moments and fp32 copy 12 (6 in 8 bits)
        ZeRO-2 divides gradients and moments by the copies of the model, ZeRO-3 weights too
        Megatron            T: weight 2, gradient 4, moments and fp32 copy 12, all divided by
                            tensor_parallel; the distributed optimizer divides the 12 by the copies

    Activations in bf16, per layer and token (Korthikanti et al. 2022, section 4.1, for attention that does
    not store scores): 17 hidden + 8 intermediate bytes; with gradient checkpointing 2 hidden, and one
    complete layer; times what was measured, see above. Logits: 12 bytes per labelled token and vocabulary
    entry (`LABELLED` of the tokens; with Megatron all). Buffers: those of ZeRO-2, two where they overlap with
    the computation. Not covered: the CUDA context, fragmentation, and buffers for generation.
    """
    tensor = recipe.megatron.tensor_parallel if recipe.megatron else 1
    copies = nodes * recipe.ranks // tensor
    trained = trainable(recipe.lora, model)
    frozen = model.parameters if recipe.lora else 0
    weights, gradients, optimizer = _state(recipe, frozen, trained, copies)
    tokens = recipe.device_batch * (recipe.cutoff_len if recipe.packing else longest)
    logits = 12 * tokens * model.vocabulary * (1 if recipe.megatron else LABELLED)
    return Memory(
        weights / tensor,
        gradients / tensor,
        optimizer / tensor,
        _activations(recipe, model, tokens) / tensor,
        logits / tensor,
        _buffers(recipe),
    )


def trainable(lora: Lora | None, model: Model) -> int:
    """The number of trained weights: all, or for each target rank times (inputs + outputs)."""
    if lora is None:
        return model.parameters
    return lora.rank * sum(n for name, n in model.linear if "all" in lora.targets or name in lora.targets)


def _state(recipe: Recipe, frozen: int, trained: int, copies: int) -> tuple[float, float, float]:
    """Bytes of weights, gradients and optimizer on one rank, before tensor parallelism."""
    bf16 = recipe.precision == "bf16"
    moments = 2 if recipe.optimizer == "adamw_8bit" else 8
    if recipe.megatron is not None:
        share = copies if recipe.megatron.distributed_optimizer else 1
        return 2 * trained, 4 * trained, 12 * trained / share
    if recipe.deepspeed_file is None:
        copy = 2 if bf16 else 0  # autocast keeps it from the forward to the backward pass; so of gradients
        kept = (2 if bf16 else 4) * frozen + (4 + copy) * trained
        return kept, (4 + copy) * trained, moments * trained
    zero = read_json(recipe.deepspeed_file)["zero_optimization"]
    width, master = (2, 4) if bf16 else (4, 0)
    weights = width * (frozen + trained) / (copies if zero["stage"] == 3 else 1)
    optimizer = (master + moments) * trained / copies
    return (
        0 if "offload_param" in zero else weights,
        width * trained / copies,
        0 if "offload_optimizer" in zero else optimizer,
    )


def _buffers(recipe: Recipe) -> float:
    """Bytes in which ZeRO-2 collects gradients; those of ZeRO-3 are as small as a layer."""
    if recipe.megatron is not None or recipe.deepspeed_file is None:
        return 0
    zero = read_json(recipe.deepspeed_file)["zero_optimization"]
    numbers = (2 if zero.get("overlap_comm") else 1) * _BUCKET if zero["stage"] == 2 else 0
    return numbers * (2 if recipe.precision == "bf16" else 4)


def _activations(recipe: Recipe, model: Model, tokens: int) -> float:
    width = 1 if recipe.precision == "bf16" else 2
    measured = _LIGER if recipe.liger or recipe.megatron else _NO_LIGER
    layer = (17 * model.hidden + 8 * model.intermediate) * tokens * width * measured
    if recipe.gradient_checkpointing:
        return model.layers * 2 * model.hidden * tokens * width + layer
    return model.layers * layer


def weight_files(folder: Path) -> list[Path]:
    """The files that transformers loads: model.safetensors, or the shards that the index names.

    Without either, all .safetensors files. Some models have their weights a second time under another name.

    Raises:
        UserError: the index names no files.
    """
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.is_file():
        return [single]
    if index.is_file():
        return [folder / name for name in shards(index)]
    return sorted(folder.glob("*.safetensors"))


def shards(index: Path) -> list[str]:
    """The names of the files in model.safetensors.index.json, sorted.

    Raises:
        UserError: it is not JSON, or its weight_map does not name a file for each weight.
    """
    content = read_json(index)
    named = content.get("weight_map") if isinstance(content, dict) else None
    names = list(named.values()) if isinstance(named, dict) else []
    if not names or not all(isinstance(name, str) for name in names):
        raise UserError(f"{index}: weight_map does not name a file for each weight")
    return sorted(set(names))


def weight_shapes(folder: Path) -> Iterator[tuple[str, list[int]]]:
    """Names and shapes of all weights, read from the headers of the files."""
    for file in weight_files(folder):
        with open(file, "rb") as stream:
            header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        yield from ((name, entry["shape"]) for name, entry in header.items() if name != "__metadata__")
