"""Settings of training: those that all trained arms share, and those of each arm."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Lt
from pydantic import Field, JsonValue, model_validator

import text2sql
from text2sql.settings import Count, Folder, NotNegative, Positive, PositiveFloat, Rate, Settings
from text2sql.training.conflicts import conflicts

Fraction = Annotated[float, Ge(0), Lt(1)]
_DEEPSPEED = Path(text2sql.__file__).parents[1] / "configs" / "deepspeed"


class Run(Settings):
    """How long a training runs and on how many devices.

    Either `max_steps` (optimizer steps) or `epochs` (passes over the data) is set. Batches are in rows, or in
    packed sequences if rows are packed. `ranks` is the number of processes on each node, one per GPU; "auto"
    is as many as there are GPUs, see `with_ranks` in recipe.py. `deepspeed` is the name of a file in
    configs/deepspeed.
    """

    max_steps: Positive | None = None
    epochs: PositiveFloat | None = None
    global_batch: Positive = 8
    device_batch: Positive = 8
    ranks: Positive | Literal["auto"] = 1
    deepspeed: Literal["z2", "z2_offload", "z3", "z3_offload"] | None = None


class Validation(Settings):
    """Rows that are held out from training, and what is measured on them while it runs.

    At most `rows` rows are held out, all rows of a schema or none. Every `every` optimizer steps, and after
    the last one, the loss on them is computed and the queries for at most `questions` of them are generated
    and run; 0: only the loss. The weights of the last step are the result, or with `keep: best` those of the
    measurement with the lowest loss (`by: loss`) or the highest execution accuracy (`by: execution`; of equal
    ones the lowest loss). Training stops after `patience` measurements without a better one; None: never.
    """

    rows: Positive
    every: Positive
    questions: Count = 50
    keep: Literal["last", "best"] = "best"
    by: Literal["loss", "execution"] = "loss"
    patience: Positive | None = None

    @model_validator(mode="after")
    def _execution_needs_questions(self) -> Validation:
        if self.by == "execution" and self.questions == 0:
            raise ValueError("by: execution needs questions; set questions above 0, or by: loss")
        return self


class Training(Run):
    """Settings that all trained arms share. A key of `Run` in the section of an arm replaces the one here.

    `template` is LLaMA-Factory's name of the chat template; "auto" finds it from the base model.
    `enable_thinking` is LLaMA-Factory's, for templates of models that think: False makes an empty thought
    part of the prompt, True makes it part of the answer that is learned, None leaves it to LLaMA-Factory,
    whose default is True. Lengths are in tokens. `optimizer`: "adamw_8bit" stores its moments in 8 bits
    (Dettmers et al. 2022, GPU only). `packing` joins complete rows to sequences of up to `cutoff_len`,
    without attention between rows; "shared_prefix" also computes a beginning that rows share only once, see
    shared_prefix.py; `group_by_length` puts rows of similar length into one batch, so that
    little of it is padding; `liger` switches on Liger's kernels for normalisation, SwiGLU and RoPE
    (Hsu et al. 2024, GPU only). `logging_steps`: a row of the loss's CSV file is the mean over so many steps.
    `save_minutes`: a checkpoint is also saved after this many minutes, at the next of these rows.
    `keep_steps`: the weights after every so many steps stay in `steps/` of the work folder, for a learning
    curve. `preprocessing_workers` processes turn rows into tokens. Ranks wait for one another for at most
    `ddp_timeout_s`; None: torch's default. `precision` "auto" is bf16 where the device computes it faster.
    `report_to` also sends loss and learning rate of every step to this tool. `extra`: further arguments of
    LLaMA-Factory by name, see extra.py. `memory_check`: "refuse" a training whose estimated memory is more
    than 1.5 times what the device has, or only "warn".
    """

    template: str = "auto"
    enable_thinking: bool | None = False
    cutoff_len: Positive
    optimizer: Literal["adamw", "adamw_8bit", "muon"]
    scheduler: Literal["cosine", "cosine_with_min_lr", "linear", "constant"]
    min_learning_rate: Rate | None = None
    warmup_ratio: Fraction
    weight_decay: NotNegative
    precision: Literal["auto", "fp32", "bf16"]
    attention: Literal["auto", "sdpa", "fa2"] = "auto"
    packing: Literal[False, True, "shared_prefix"] = False
    group_by_length: bool = False
    liger: bool = False
    gradient_checkpointing: bool = False
    seed: int
    logging_steps: Positive
    save_steps: Positive
    save_minutes: PositiveFloat | None = None
    keep_steps: Positive | None = None
    preprocessing_workers: Positive = 1
    ddp_timeout_s: Positive | None = None
    memory_check: Literal["refuse", "warn"] = "refuse"
    threads: Positive
    report_to: Literal["none", "tensorboard", "wandb", "swanlab", "mlflow"] = "none"
    extra: dict[str, JsonValue] = Field(default_factory=dict)
    validation: Validation | None = None


class Lora(Settings):
    """Low-rank adapters (Hu et al. 2021): the update of `targets` is scaled by alpha / rank.

    `targets` are names of linear layers, or the single name "all" for every linear layer.
    """

    rank: Positive
    alpha: Positive
    targets: Annotated[list[str], Field(min_length=1)]


class Megatron(Settings):
    """Megatron-LM through mcore_adapter (Shoeybi et al. 2019), in place of DeepSpeed.

    `tensor_parallel` ranks share one copy of the model. Sequence parallelism (Korthikanti et al. 2022)
    splits the activations that each of these ranks would otherwise store; the distributed optimizer splits
    its states over the copies. `transformer_impl`: "transformer_engine" needs NVIDIA's package of that name;
    "local" is in megatron-core, and supports neither of these two. The last three are mcore_adapter's options
    of these names; None: its default.
    """

    transformer_impl: Literal["transformer_engine", "local"] = "transformer_engine"
    tensor_parallel: Positive = 1
    sequence_parallel: bool = False
    distributed_optimizer: bool = False
    bias_activation_fusion: bool | None = None
    apply_rope_fusion: bool | None = None
    overlap_p2p_comm: bool | None = None

    @property
    def local_is_split(self) -> bool:
        """Whether the local implementation is asked for what it does not support."""
        return self.transformer_impl == "local" and (self.sequence_parallel or self.distributed_optimizer)


class TrainedArm(Run):
    """Settings of one trained arm; `save_steps` None is the shared one.

    `training`: settings of section training that this arm has of its own, without those that it sets itself.
    """

    enabled: bool
    learning_rate: Rate
    save_steps: Positive | None = None
    training: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _sets_each_key_in_one_place(self) -> TrainedArm:
        for key in self.training:
            if key in TrainedArm.model_fields:
                raise ValueError(f"training.{key}: an arm sets {key} beside training, not in it")
        return self


class LoraArm(TrainedArm, Lora):
    """An arm that trains low-rank adapters."""

    @property
    def lora(self) -> Lora:
        """The adapter."""
        return Lora(rank=self.rank, alpha=self.alpha, targets=self.targets)


class FullArm(TrainedArm):
    """An arm that trains all weights, with Megatron in place of DeepSpeed where `megatron` is set."""

    megatron: Megatron | None = None


class OwnArm(FullArm):
    """A trained arm of the user's: LoRA with `rank`, `alpha` and `targets`, all weights without them.

    `base` is the folder of the model to train. `data` is a folder with LLaMA-Factory's dataset_info.json and
    the data set "train", see own_data.py; with `sources` only rows of these training sources are used.
    """

    enabled: bool = True
    base: Folder
    data: Folder
    sources: Annotated[list[str], Field(min_length=1)] | None = None
    rank: Positive | None = None
    alpha: Positive | None = None
    targets: Annotated[list[str], Field(min_length=1)] | None = None

    @property
    def lora(self) -> Lora | None:
        """The adapter, None where all weights are trained."""
        if self.rank is None or self.alpha is None or self.targets is None:
            return None
        return Lora(rank=self.rank, alpha=self.alpha, targets=self.targets)

    @model_validator(mode="after")
    def _has_all_of_an_adapter_or_nothing(self) -> OwnArm:
        if len({value is None for value in (self.rank, self.alpha, self.targets)}) > 1:
            raise ValueError("rank, alpha and targets go together; without all three all weights are trained")
        return self


class Recipe(Training):
    """One training run: the shared settings with those of its arm. Without `lora` all weights are trained.

    Either `max_steps` or `epochs` is set. With `megatron`, `deepspeed` is None. With `auto_ranks`, `ranks` is
    not known yet, see `with_ranks` in recipe.py.
    """

    ranks: Positive = 1
    auto_ranks: bool = False
    learning_rate: Rate
    lora: Lora | None = None
    megatron: Megatron | None = None

    @property
    def longest_row(self) -> int:
        """Largest number of tokens of a row: LLaMA-Factory's packing reserves one of a sequence."""
        return self.cutoff_len - bool(self.packing)

    @property
    def deepspeed_file(self) -> Path | None:
        """DeepSpeed's configuration file, None without DeepSpeed."""
        return _DEEPSPEED / f"{self.deepspeed}.json" if self.deepspeed else None

    @model_validator(mode="after")
    def _has_no_conflicts(self) -> Recipe:
        if found := conflicts(self):
            raise ValueError("; ".join(found))
        return self


def training_of(training: Training, arm: TrainedArm) -> Training:
    """The shared settings, with those of the arm's own `training` in place of them.

    Raises:
        pydantic.ValidationError: a key is unknown, or a value is not allowed.
    """
    return training.laid_under(arm.training) if arm.training else training


def recipe_of(training: Training, arm: TrainedArm) -> Recipe:
    """The recipe of one arm: its own settings, and the shared ones that it does not set.

    Raises:
        pydantic.ValidationError: settings exclude each other.
    """
    own = {key: getattr(arm, key) for key in Run.model_fields if key in arm.model_fields_set}
    if arm.max_steps or arm.epochs:  # either of them replaces the one that the arms share
        own |= {"max_steps": arm.max_steps, "epochs": arm.epochs}
    if arm.save_steps:
        own["save_steps"] = arm.save_steps
    values = {**dict(training_of(training, arm)), **own, "learning_rate": arm.learning_rate}
    if values["ranks"] == "auto":
        values |= {"ranks": 1, "auto_ranks": True}
    if isinstance(arm, LoraArm | OwnArm):
        values["lora"] = arm.lora
    if isinstance(arm, FullArm) and arm.megatron:
        values |= {"megatron": arm.megatron, "deepspeed": None}
    return Recipe(**values)
