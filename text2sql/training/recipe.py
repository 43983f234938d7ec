"""LLaMA-Factory's configuration for a recipe."""

from __future__ import annotations

from pathlib import Path

from text2sql.cpu import has_fast_bf16
from text2sql.errors import UserError
from text2sql.gpus import visible_gpus
from text2sql.training.conflicts import PADDED_TO
from text2sql.training.settings import Lora, Megatron, Recipe

ALL_ROWS = 1_000_000_000  # rows that are grouped before they are packed, see shared_prefix.py
PACKING = "packing.txt"  # in the work folder: what this saves


def on_this_machine(recipe: Recipe) -> Recipe:
    """The recipe with `precision: auto` replaced: bf16 on a GPU and on a CPU that multiplies it, else fp32.

    Not covered: GPUs older than NVIDIA's Ampere, which emulate bf16; set fp32 for them.
    """
    if recipe.precision != "auto":
        return recipe
    fast = bool(visible_gpus()) or has_fast_bf16()
    return recipe.model_copy(update={"precision": "bf16" if fast else "fp32"})


def accumulation(recipe: Recipe, nodes: int) -> int:
    """Backward passes of each rank per optimizer step, so that a step has `global_batch` rows.

    Raises:
        UserError: the ranks cannot be grouped by `tensor_parallel`, or the global batch is not divisible by
            device batch times data-parallel ranks.
    """
    tensor = recipe.megatron.tensor_parallel if recipe.megatron else 1
    world = nodes * recipe.ranks
    if world % tensor:
        raise UserError(
            f"recipe: {world} ranks cannot be divided into groups of tensor_parallel {tensor}; "
            f"set ranks to a multiple of {tensor}"
        )
    copies = world // tensor
    if recipe.global_batch % (recipe.device_batch * copies):
        raise UserError(
            f"recipe: global_batch {recipe.global_batch} is not a multiple of device_batch "
            f"{recipe.device_batch} times {copies} data-parallel ranks, and is never changed automatically; "
            f"{_advice(recipe, copies)}"
        )
    return recipe.global_batch // (recipe.device_batch * copies)


def with_ranks(recipe: Recipe, gpus: int, nodes: int) -> Recipe:
    """`recipe` with a number in place of `ranks: auto`, for nodes of `gpus` GPUs each.

    That is the number of GPUs, or the largest below it with which the global batch is divisible; without a
    GPU, or if none is, 1.
    """
    if not recipe.auto_ranks:
        return recipe
    known = [
        recipe.model_copy(update={"ranks": ranks, "auto_ranks": False})
        for ranks in range(max(1, gpus), 0, -1)
    ]
    return next((candidate for candidate in known if _is_divisible(candidate, nodes)), known[-1])


def _is_divisible(recipe: Recipe, nodes: int) -> bool:
    try:
        return accumulation(recipe, nodes) > 0
    except UserError:
        return False


def _advice(recipe: Recipe, copies: int) -> str:
    if recipe.global_batch % copies:
        return f"set global_batch to a multiple of {copies}, or change ranks"
    share = recipe.global_batch // copies
    fitting = [n for n in range(1, share + 1) if share % n == 0 and n <= recipe.device_batch]
    return f"set device_batch to one of {', '.join(map(str, fitting))}"


def with_short_packs(recipe: Recipe, longest: int) -> Recipe:
    """The recipe with torch's attention in place of flash attention, for rows of at most `longest` tokens.

    Torch's attention computes all pairs of tokens of a packed sequence, flash attention those within rows. So
    sequences become shorter, by a power of two, and more: a batch and a step keep their number of tokens.
    """
    if not recipe.packing:
        return recipe.replace(attention="sdpa")
    parts = 1
    while recipe.cutoff_len % (2 * parts * PADDED_TO) == 0 and recipe.cutoff_len // (2 * parts) > longest:
        parts *= 2
    return recipe.replace(
        attention="sdpa",
        cutoff_len=recipe.cutoff_len // parts,
        device_batch=recipe.device_batch * parts,
        global_batch=recipe.global_batch * parts,
    )


def llamafactory_config(
    recipe: Recipe, base: Path, dataset: Path, output: Path, nodes: int = 1
) -> dict[str, object]:
    """The arguments of `llamafactory-cli train` for `recipe` on `nodes` machines.

    `dataset` is a folder with LLaMA-Factory's dataset_info.json and the data set "train". The names are
    those of https://github.com/hiyouga/LLaMA-Factory, version 0.9.5, and for Megatron also of
    mcore_adapter's training_args.py, https://github.com/alibaba/ROLL. Options that a recipe does not use
    are left out, so that new options do not change the configuration (and the work key) of old recipes.

    Raises:
        UserError: see `accumulation`.
    """
    return {
        "model_name_or_path": str(base),
        "dataset_dir": str(dataset),
        "dataset": "train",
        "output_dir": str(output),
        "stage": "sft",
        "do_train": True,
        **_method(recipe.lora),
        "template": recipe.template,
        **_thinking(recipe),
        "cutoff_len": recipe.cutoff_len,
        "per_device_train_batch_size": recipe.device_batch,
        "gradient_accumulation_steps": accumulation(recipe, nodes),
        **_optimizer(recipe),
        "weight_decay": recipe.weight_decay,
        "bf16": recipe.precision == "bf16",
        "seed": recipe.seed,
        "data_seed": recipe.seed,
        # a short training logs its last step
        "logging_steps": min(recipe.logging_steps, recipe.max_steps or recipe.logging_steps),
        "save_steps": recipe.save_steps,
        "save_total_limit": 2,  # a kill may leave the newest incomplete; the one before it is complete
        # one process sees all rows, which it groups
        "preprocessing_num_workers": 1 if recipe.packing == "shared_prefix" else recipe.preprocessing_workers,
        "overwrite_cache": True,
        "plot_loss": False,
        "report_to": recipe.report_to,
        "disable_gradient_checkpointing": not recipe.gradient_checkpointing,
        "trust_remote_code": False,
        **_speed(recipe),
        **_parallelism(recipe),
        **recipe.extra,
    }


def _thinking(recipe: Recipe) -> dict[str, object]:
    """With False prompts end with Qwen3's empty thought, and the loss is computed on the SQL only."""
    return {} if recipe.enable_thinking is None else {"enable_thinking": recipe.enable_thinking}


def _method(lora: Lora | None) -> dict[str, object]:
    if lora is None:
        return {"finetuning_type": "full"}
    return {
        "finetuning_type": "lora",
        "lora_rank": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": 0.0,
        "lora_target": ",".join(lora.targets),
    }


def _optimizer(recipe: Recipe) -> dict[str, object]:
    # "muon" orthogonalises the update of every matrix except the embedding (Jordan et al. 2024,
    # https://kellerjordan.github.io/posts/muon/); AdamW with the same learning rate updates the rest.
    config: dict[str, object] = {"use_muon": recipe.optimizer == "muon"}
    if recipe.optimizer == "adamw_8bit":
        config["optim"] = "adamw_8bit"
    config |= {"learning_rate": recipe.learning_rate, "lr_scheduler_type": recipe.scheduler}
    if recipe.min_learning_rate is not None:
        config["lr_scheduler_kwargs"] = {"min_lr": recipe.min_learning_rate}
    return config | _length(recipe)


def _length(recipe: Recipe) -> dict[str, object]:
    """When training ends; transformers takes warmup_steps below 1 as a share of all steps."""
    if recipe.max_steps is None:
        return {"num_train_epochs": recipe.epochs, "warmup_steps": recipe.warmup_ratio}
    return {
        "max_steps": recipe.max_steps,
        "warmup_steps": round(recipe.warmup_ratio * recipe.max_steps),
    }


def _speed(recipe: Recipe) -> dict[str, object]:
    config: dict[str, object] = {}
    if recipe.packing == "shared_prefix":
        config["flash_attn"] = "sdpa"  # flash attention would ignore the mask
    elif recipe.attention != "auto":
        config["flash_attn"] = recipe.attention
    if recipe.packing:
        config["neat_packing"] = True
    if recipe.packing == "shared_prefix":
        config["preprocessing_batch_size"] = ALL_ROWS  # rows are grouped within such a batch
    if recipe.group_by_length:
        config["train_sampling_strategy"] = "group_by_length"
    if recipe.liger:
        config["enable_liger_kernel"] = True
    return config


def _parallelism(recipe: Recipe) -> dict[str, object]:
    config: dict[str, object] = {}
    if recipe.ddp_timeout_s is not None:
        config["ddp_timeout"] = recipe.ddp_timeout_s
    if recipe.deepspeed is not None:
        config["deepspeed"] = str(recipe.deepspeed_file)
    if recipe.megatron is not None:
        config |= _megatron(recipe.megatron, recipe.gradient_checkpointing)
    return config


def _megatron(megatron: Megatron, recompute: bool) -> dict[str, object]:
    options = ("bias_activation_fusion", "apply_rope_fusion", "overlap_p2p_comm")
    chosen = {name: getattr(megatron, name) for name in options}
    return {
        "use_mca": True,
        "transformer_impl": megatron.transformer_impl,
        "tensor_model_parallel_size": megatron.tensor_parallel,
        "pipeline_model_parallel_size": 1,
        "sequence_parallel": megatron.sequence_parallel,
        "use_distributed_optimizer": megatron.distributed_optimizer,
        # Both overlap communication with computation without changing results; they need that optimizer.
        "overlap_grad_reduce": megatron.distributed_optimizer,
        "overlap_param_gather": megatron.distributed_optimizer,
        # Every token of a step has the same weight, as in transformers; by default every micro-batch has.
        "calculate_per_token_loss": True,
        # Megatron does not read LLaMA-Factory's gradient checkpointing. It recomputes every layer with this.
        **({"recompute_granularity": "full"} if recompute else {}),
        **{name: value for name, value in chosen.items() if value is not None},
    }
