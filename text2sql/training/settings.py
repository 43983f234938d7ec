"""Settings of training: those that all trained arms share, and those of each arm."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Lt
from pydantic import Field, model_validator

import text2sql
from text2sql.settings import Count, Folder, NotNegative, Positive, PositiveFloat, Rate, Settings

Fraction = Annotated[float, Ge(0), Lt(1)]
_PADDED_TO = 8  # tokens, by LLaMA-Factory's collator
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
    LLaMA-Factory by name, see extra.py.
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
    threads: Positive
    report_to: Literal["none", "tensorboard", "wandb", "swanlab", "mlflow"] = "none"
    extra: dict[str, Any] = Field(default_factory=dict)
    validation: Validation | None = None

    @model_validator(mode="after")
    def _keeps_what_it_saves(self) -> Training:
        if self.keep_steps is not None and self.keep_steps % self.save_steps:
            raise ValueError(f"keep_steps must be a multiple of save_steps ({self.save_steps})")
        return self


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
        found = [message for is_wrong, message in _conflicts(self) if is_wrong]
        if found:
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


def _conflicts(recipe: Recipe) -> list[tuple[bool, str]]:
    ends = (recipe.max_steps, recipe.epochs)
    has_floor = recipe.scheduler == "cosine_with_min_lr"
    megatron = recipe.megatron is not None
    split = megatron or recipe.deepspeed is not None
    pissa = bool(recipe.extra.get("pissa_init"))
    other_optimizers = [key for key in _OTHER_OPTIMIZERS if recipe.extra.get(key)]
    return [
        *((True, message) for message in map(_set_elsewhere, recipe.extra) if message),
        (
            recipe.optimizer == "muon" and bool(other_optimizers),
            f"with extra.{''.join(other_optimizers[:1])} LLaMA-Factory ignores optimizer: muon; "
            "set optimizer: adamw",
        ),
        (
            pissa and bool(recipe.extra.get("use_dora")),
            "extra.pissa_init and extra.use_dora exclude each other: their adapter belongs to no base model",
        ),
        (
            pissa and recipe.keep_steps is not None,
            "extra.pissa_init and keep_steps exclude each other: only the result is converted to an adapter "
            "of the base model",
        ),
        (
            pissa and recipe.deepspeed in ("z3", "z3_offload"),
            "extra.pissa_init needs complete matrices, but ZeRO-3 splits them; set deepspeed: z2",
        ),
        *_validation_conflicts(recipe),
        (
            recipe.optimizer == "muon" and split,
            "optimizer: muon needs complete matrices, but ZeRO and Megatron split them; set optimizer: adamw",
        ),
        (ends.count(None) != 1, "set either max_steps or epochs, and the other one to null"),
        (
            has_floor != (recipe.min_learning_rate is not None),
            "set min_learning_rate if, and only if, scheduler is cosine_with_min_lr",
        ),
        (megatron and recipe.lora is not None, "Megatron supports training of all weights only, not LoRA"),
        (megatron and recipe.deepspeed is not None, "set either megatron or deepspeed, not both"),
        (megatron and recipe.liger, "Megatron has its own loss: liger must be false"),
        (megatron and recipe.precision != "bf16", "Megatron trains in bf16 only: precision must be bf16"),
        (
            recipe.megatron is not None and recipe.megatron.local_is_split,
            "megatron.transformer_impl: local supports neither sequence_parallel nor distributed_optimizer: "
            "set both to false, or transformer_impl: transformer_engine",
        ),
        (
            megatron and bool(recipe.packing),
            "LLaMA-Factory cannot pack rows with Megatron: packing must be false",
        ),
        (
            recipe.packing == "shared_prefix" and recipe.attention == "fa2",
            "flash attention cannot share prefixes; set packing: true, or attention: sdpa",
        ),
        (
            recipe.packing is True and recipe.attention == "fa2" and recipe.device_batch > 1,
            "with flash attention LLaMA-Factory packs each batch into one sequence: device_batch must be 1; "
            "multiply cutoff_len by the old device_batch instead",
        ),
        (
            bool(recipe.packing) and recipe.group_by_length,
            "packed sequences have one length: group_by_length or packing must be false",
        ),
        (
            bool(recipe.packing) and recipe.cutoff_len % _PADDED_TO != 0,
            f"packed sequences are padded to a multiple of {_PADDED_TO} tokens: "
            f"cutoff_len must be a multiple of {_PADDED_TO}",
        ),
        (
            recipe.global_batch % recipe.device_batch != 0,
            f"global_batch must be a multiple of device_batch ({recipe.device_batch})",
        ),
    ]


def _validation_conflicts(recipe: Recipe) -> list[tuple[bool, str]]:
    if recipe.validation is None:
        return []
    zero3 = recipe.deepspeed is not None and recipe.deepspeed.startswith("z3")
    return [
        (
            recipe.megatron is not None or zero3,
            "validation needs complete weights on every rank, but Megatron and ZeRO-3 split them; set "
            "validation: null, or deepspeed: z2 or null",
        ),
        (
            recipe.validation.every > (recipe.max_steps or recipe.validation.every),
            "validation.every is larger than max_steps, so that nothing would be measured before the end",
        ),
    ]


_OTHER_OPTIMIZERS = ("loraplus_lr_ratio", "use_galore", "use_apollo", "use_badam", "use_adam_mini")
# LLaMA-Factory's arguments that follow from settings here, by their names.
_FOLLOWS_FROM = {
    **dict.fromkeys(("model_name_or_path", "adapter_name_or_path"), "base, of an own arm"),
    **dict.fromkeys(("dataset", "dataset_dir"), "data, of an own arm"),
    **dict.fromkeys(("finetuning_type", "lora_rank"), "rank"),
    **{"lora_alpha": "alpha", "lora_target": "targets"},
    **{name: name for name in ("template", "enable_thinking", "cutoff_len", "learning_rate", "weight_decay")},
    **{name: name for name in ("deepspeed", "gradient_checkpointing", "logging_steps", "save_steps")},
    **{name: name for name in ("max_steps", "seed")},
    **dict.fromkeys(("per_device_train_batch_size", "per_gpu_train_batch_size"), "device_batch"),
    "gradient_accumulation_steps": "global_batch",
    **dict.fromkeys(("use_muon", "optim"), "optimizer"),
    **{"lr_scheduler_type": "scheduler", "lr_scheduler_kwargs": "min_learning_rate"},
    **{"num_train_epochs": "epochs", "warmup_steps": "warmup_ratio", "warmup_ratio": "warmup_ratio"},
    **dict.fromkeys(("bf16", "fp16", "pure_bf16"), "precision"),
    **{"flash_attn": "attention", "enable_liger_kernel": "liger", "data_seed": "seed"},
    **dict.fromkeys(("packing", "neat_packing", "preprocessing_batch_size"), "packing"),
    **{"train_sampling_strategy": "group_by_length", "report_to": "report_to", "use_swanlab": "report_to"},
    "disable_gradient_checkpointing": "gradient_checkpointing",
    **{"preprocessing_num_workers": "preprocessing_workers", "ddp_timeout": "ddp_timeout_s"},
    **dict.fromkeys(("use_mca", "tensor_model_parallel_size", "pipeline_model_parallel_size"), "megatron"),
    **dict.fromkeys(("sequence_parallel", "use_distributed_optimizer"), "megatron"),
}
_OF_THE_PIPELINE = (
    *("output_dir", "run_name", "stage", "do_train", "overwrite_cache", "overwrite_output_dir"),
    *("plot_loss", "use_cpu"),
    *("resume_from_checkpoint", "trust_remote_code", "pissa_convert", "save_strategy", "logging_strategy"),
    "save_total_limit",
    *("save_only_model", "push_to_hub", "load_best_model_at_end", "do_predict"),
)


def _set_elsewhere(argument: str) -> str | None:
    """Why `argument` cannot be in `extra`: a setting here, or the pipeline, decides it."""
    if argument in _FOLLOWS_FROM:
        return f"extra.{argument}: this follows from the setting {_FOLLOWS_FROM[argument]}; set that one"
    if argument in _OF_THE_PIPELINE:
        return f"extra.{argument}: the pipeline sets this itself; remove it"
    return None
