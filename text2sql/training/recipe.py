"""The LLaMA-Factory configuration of a recipe."""

from __future__ import annotations

from pathlib import Path

from text2sql.errors import UserError
from text2sql.training.settings import Lora, Recipe


def accumulation(recipe: Recipe, nodes: int) -> int:
    """Backward passes of each rank between two optimizer steps, so that a step sees `global_batch` rows.

    UserError: the global batch does not divide by device batch and data-parallel ranks.
    """
    tensor = recipe.megatron.tensor_parallel if recipe.megatron else 1
    world = nodes * recipe.ranks
    if world % tensor:
        raise UserError(f"recipe: {world} ranks do not divide into groups of tensor_parallel {tensor}")
    copies = world // tensor
    if recipe.global_batch % (recipe.device_batch * copies):
        raise UserError(
            f"recipe: global_batch {recipe.global_batch} is no multiple of device_batch "
            f"{recipe.device_batch} times {copies} data-parallel ranks; it is never changed silently: "
            f"{_advice(recipe, copies)}"
        )
    return recipe.global_batch // (recipe.device_batch * copies)


def _advice(recipe: Recipe, copies: int) -> str:
    if recipe.global_batch % copies:
        return f"give it a multiple of {copies}, or train on other ranks"
    share = recipe.global_batch // copies
    fitting = [n for n in range(1, share + 1) if share % n == 0 and n <= recipe.device_batch]
    return f"set device_batch to one of {', '.join(map(str, fitting))}"


def llamafactory_config(
    recipe: Recipe, base: Path, dataset: Path, output: Path, nodes: int = 1
) -> dict[str, object]:
    """The arguments of `llamafactory-cli train` for `recipe` on `nodes` machines.

    `dataset` is a folder with LLaMA-Factory's dataset_info.json and the data set called "train".
    Names follow https://github.com/hiyouga/LLaMA-Factory, version 0.9.5; for Megatron also
    mcore_adapter's training_args.py, https://github.com/alibaba/ROLL. What a recipe does not use is
    left out, so that a new option does not change the configuration (and the work key) of old recipes.
    UserError: the global batch does not divide.
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
        # Prompts end in Qwen3's empty thought, as they do at prediction; the loss falls on the SQL only.
        "enable_thinking": False,
        "cutoff_len": recipe.cutoff_len,
        "per_device_train_batch_size": recipe.device_batch,
        "gradient_accumulation_steps": accumulation(recipe, nodes),
        **_optimizer(recipe),
        "weight_decay": recipe.weight_decay,
        "bf16": recipe.precision == "bf16",
        "seed": recipe.seed,
        "data_seed": recipe.seed,
        "logging_steps": recipe.logging_steps,
        "save_steps": recipe.save_steps,
        "save_total_limit": 2,  # the newest may be torn by a kill; the one before it is whole
        "preprocessing_num_workers": 1,
        "overwrite_cache": True,
        "plot_loss": False,
        "report_to": "none",
        "disable_gradient_checkpointing": not recipe.gradient_checkpointing,
        "trust_remote_code": False,
        **_speed(recipe),
        **_parallelism(recipe),
    }


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
    # "muon" orthogonalises the update of every matrix but the embedding (Jordan et al. 2024,
    # https://kellerjordan.github.io/posts/muon/); the rest is left to AdamW at the same rate.
    config: dict[str, object] = {"use_muon": recipe.optimizer == "muon"}
    if recipe.optimizer == "adamw_8bit":
        config["optim"] = "adamw_8bit"
    config |= {"learning_rate": recipe.learning_rate, "lr_scheduler_type": recipe.scheduler}
    if recipe.min_learning_rate is not None:
        config["lr_scheduler_kwargs"] = {"min_lr": recipe.min_learning_rate}
    return config | _length(recipe)


def _length(recipe: Recipe) -> dict[str, object]:
    """When training ends; transformers reads warmup_steps below 1 as a share of all steps."""
    if recipe.max_steps is None:
        return {"num_train_epochs": recipe.epochs, "warmup_steps": recipe.warmup_ratio}
    return {
        "max_steps": recipe.max_steps,
        "warmup_steps": round(recipe.warmup_ratio * recipe.max_steps),
    }


def _speed(recipe: Recipe) -> dict[str, object]:
    config: dict[str, object] = {}
    if recipe.attention != "auto":
        config["flash_attn"] = recipe.attention
    if recipe.packing:
        config["neat_packing"] = True
    if recipe.fused_loss:
        config["enable_liger_kernel"] = True
    return config


def _parallelism(recipe: Recipe) -> dict[str, object]:
    if recipe.deepspeed is not None:
        return {"deepspeed": str(recipe.deepspeed_file)}
    if recipe.megatron is None:
        return {}
    return {
        "tensor_model_parallel_size": recipe.megatron.tensor_parallel,
        "pipeline_model_parallel_size": 1,
        "sequence_parallel": recipe.megatron.sequence_parallel,
        "use_distributed_optimizer": recipe.megatron.distributed_optimizer,
        # Both hide communication behind computation and change no number; they need that optimizer.
        "overlap_grad_reduce": recipe.megatron.distributed_optimizer,
        "overlap_param_gather": recipe.megatron.distributed_optimizer,
    }
