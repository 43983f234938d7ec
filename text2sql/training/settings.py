"""Settings of training: what all trained arms share, and what each has of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Lt
from pydantic import Field, model_validator

import text2sql
from text2sql.settings import NotNegative, Positive, PositiveFloat, Rate, Settings

Fraction = Annotated[float, Ge(0), Lt(1)]
_PADDED_TO = 8  # tokens, by LLaMA-Factory's collator
_DEEPSPEED = Path(text2sql.__file__).parents[1] / "configs" / "deepspeed"


class Run(Settings):
    """How far a training goes and on how many devices.

    Either `max_steps` (optimizer steps) or `epochs` (passes over the data) is set. Batches are in rows, or in
    packed sequences where rows are packed. `ranks` are processes on each node, one a GPU; `deepspeed` is the
    name of a file in configs/deepspeed.
    """

    max_steps: Positive | None = None
    epochs: PositiveFloat | None = None
    global_batch: Positive = 8
    device_batch: Positive = 8
    ranks: Positive = 1
    deepspeed: Literal["z2", "z2_offload", "z3", "z3_offload"] | None = None


class Training(Run):
    """What all trained arms share. A key of `Run` in the section of an arm replaces the one here.

    Lengths are in tokens. `optimizer`: "adamw_8bit" keeps its moments in 8 bits (Dettmers et al. 2022, GPU
    only). `packing` puts whole rows one after another up to `cutoff_len`, without attention between them;
    `fused_loss` is Liger's (Hsu et al. 2024), which never holds all logits (GPU only). `save_minutes`: a
    checkpoint also after so many minutes, at the next log line.
    """

    template: str
    cutoff_len: Positive
    optimizer: Literal["adamw", "adamw_8bit", "muon"]
    scheduler: Literal["cosine", "cosine_with_min_lr", "linear", "constant"]
    min_learning_rate: Rate | None = None
    warmup_ratio: Fraction
    weight_decay: NotNegative
    precision: Literal["fp32", "bf16"]
    attention: Literal["auto", "sdpa", "fa2"] = "auto"
    packing: bool = False
    fused_loss: bool = False
    gradient_checkpointing: bool = False
    seed: int
    logging_steps: Positive
    save_steps: Positive
    save_minutes: PositiveFloat | None = None
    threads: Positive

    @model_validator(mode="after")
    def _saves_when_it_logs(self) -> Training:
        if self.save_steps % self.logging_steps:
            # a checkpoint between two log lines would lose the running mean of the loss
            raise ValueError(f"save_steps must be a multiple of logging_steps ({self.logging_steps})")
        return self


class Lora(Settings):
    """Low-rank adapters (Hu et al. 2021): the update of `targets` is scaled by alpha / rank.

    `targets` are names of linear layers, or the one name "all" for every linear layer.
    """

    rank: Positive
    alpha: Positive
    targets: Annotated[list[str], Field(min_length=1)]


class Megatron(Settings):
    """Megatron-LM through mcore_adapter (Shoeybi et al. 2019), in place of DeepSpeed.

    `tensor_parallel` ranks share one copy of the model. Sequence parallelism (Korthikanti et al. 2022)
    splits what these ranks would otherwise hold twice; the distributed optimizer splits its states
    over the copies.
    """

    tensor_parallel: Positive = 1
    sequence_parallel: bool = False
    distributed_optimizer: bool = False


class TrainedArm(Run):
    """What every trained arm has of its own."""

    enabled: bool
    learning_rate: Rate


class LoraArm(TrainedArm, Lora):
    """An arm that trains low-rank adapters."""


class FullArm(TrainedArm):
    """An arm that trains all weights, with Megatron in place of DeepSpeed where `megatron` is set."""

    megatron: Megatron | None = None


class Recipe(Training):
    """One training run: the shared settings, and those of its arm; `lora` None trains all weights.

    `max_steps` or `epochs` is set. With `megatron`, `deepspeed` is None.
    """

    learning_rate: Rate
    lora: Lora | None = None
    megatron: Megatron | None = None

    @property
    def longest_row(self) -> int:
        """Tokens of the longest row that is trained on: LLaMA-Factory keeps one of a pack for padding."""
        return self.cutoff_len - self.packing

    @property
    def deepspeed_file(self) -> Path | None:
        """DeepSpeed's configuration, None without DeepSpeed."""
        return _DEEPSPEED / f"{self.deepspeed}.json" if self.deepspeed else None

    @model_validator(mode="after")
    def _has_no_conflicts(self) -> Recipe:
        for wrong, sentence in _conflicts(self):
            if wrong:
                raise ValueError(sentence)
        return self


def recipe_of(training: Training, arm: TrainedArm) -> Recipe:
    """The recipe of one arm: the shared settings, where the arm does not set them itself.

    Raises:
        pydantic.ValidationError: settings exclude each other.
    """
    own = {key: getattr(arm, key) for key in Run.model_fields if key in arm.model_fields_set}
    if arm.max_steps or arm.epochs:  # either replaces whichever of the two the arms share
        own |= {"max_steps": arm.max_steps, "epochs": arm.epochs}
    values = {**dict(training), **own, "learning_rate": arm.learning_rate}
    if isinstance(arm, LoraArm):
        values["lora"] = Lora(rank=arm.rank, alpha=arm.alpha, targets=arm.targets)
    if isinstance(arm, FullArm) and arm.megatron:
        values |= {"megatron": arm.megatron, "deepspeed": None}
    return Recipe(**values)


def _conflicts(recipe: Recipe) -> list[tuple[bool, str]]:
    ends = (recipe.max_steps, recipe.epochs)
    has_floor = recipe.scheduler == "cosine_with_min_lr"
    megatron = recipe.megatron is not None
    split = megatron or recipe.deepspeed is not None
    return [
        (recipe.optimizer == "muon" and split, "muon needs whole matrices, which ZeRO and Megatron split"),
        (ends.count(None) != 1, "set either max_steps or epochs, and the other to null"),
        (
            has_floor != (recipe.min_learning_rate is not None),
            "min_learning_rate belongs to scheduler cosine_with_min_lr, and that scheduler needs it",
        ),
        (megatron and recipe.lora is not None, "Megatron trains all weights only, not LoRA"),
        (megatron and recipe.deepspeed is not None, "either Megatron or DeepSpeed, not both"),
        (megatron and recipe.fused_loss, "Megatron has a loss of its own: fused_loss must be false"),
        (megatron and recipe.packing, "LLaMA-Factory's Megatron path cannot pack: packing must be false"),
        (
            recipe.packing and recipe.attention == "fa2" and recipe.device_batch > 1,
            "LLaMA-Factory packs for flash attention into one sequence a batch: device_batch must be 1, and "
            "cutoff_len as many times longer",
        ),
        (
            recipe.packing and recipe.cutoff_len % _PADDED_TO != 0,
            f"packed sequences are padded to a multiple of {_PADDED_TO} tokens: cutoff_len must be one",
        ),
        (
            recipe.global_batch % recipe.device_batch != 0,
            f"global_batch must be a multiple of device_batch ({recipe.device_batch})",
        ),
    ]
