"""Combinations of training settings that exclude each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from text2sql.training.settings import Recipe

PADDED_TO = 8  # tokens, by LLaMA-Factory's collator


def conflicts(recipe: Recipe) -> list[str]:
    """A sentence for each combination in `recipe` that cannot be trained."""
    found = [
        *_length_conflicts(recipe),
        *_extra_conflicts(recipe),
        *_validation_conflicts(recipe),
        *_megatron_conflicts(recipe),
        *_packing_conflicts(recipe),
    ]
    return [message for is_wrong, message in found if is_wrong]


def _length_conflicts(recipe: Recipe) -> list[tuple[bool, str]]:
    ends = (recipe.max_steps, recipe.epochs)
    has_floor = recipe.scheduler == "cosine_with_min_lr"
    return [
        (ends.count(None) != 1, "set either max_steps or epochs, and the other one to null"),
        (
            has_floor != (recipe.min_learning_rate is not None),
            "set min_learning_rate if, and only if, scheduler is cosine_with_min_lr",
        ),
        (
            recipe.global_batch % recipe.device_batch != 0,
            f"global_batch must be a multiple of device_batch ({recipe.device_batch})",
        ),
        (
            recipe.keep_steps is not None and recipe.keep_steps % recipe.save_steps != 0,
            f"keep_steps must be a multiple of save_steps ({recipe.save_steps})",
        ),
        (
            recipe.optimizer == "muon" and (recipe.megatron is not None or recipe.deepspeed is not None),
            "optimizer: muon needs complete matrices, but ZeRO and Megatron split them; set optimizer: adamw",
        ),
    ]


def _extra_conflicts(recipe: Recipe) -> list[tuple[bool, str]]:
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
        (
            pissa and bool(recipe.extra.get("additional_target")),
            "extra.pissa_init and extra.additional_target exclude each other: only an adapter's matrices are "
            "converted",
        ),
        (
            recipe.packing == "shared_prefix" and bool(recipe.extra.get("train_on_prompt")),
            "extra.train_on_prompt and packing: shared_prefix exclude each other: shared tokens have none",
        ),
        (
            recipe.lora is not None and bool(recipe.extra.get("train_from_scratch")),
            "extra.train_from_scratch: the adapter would belong to random weights; train all weights",
        ),
    ]


def _megatron_conflicts(recipe: Recipe) -> list[tuple[bool, str]]:
    if recipe.megatron is None:
        return []
    return [
        (recipe.lora is not None, "Megatron supports training of all weights only, not LoRA"),
        (recipe.deepspeed is not None, "set either megatron or deepspeed, not both"),
        (recipe.liger, "Megatron has its own loss: liger must be false"),
        (recipe.precision != "bf16", "Megatron trains in bf16 only: precision must be bf16"),
        (
            recipe.megatron.local_is_split,
            "megatron.transformer_impl: local supports neither sequence_parallel nor distributed_optimizer: "
            "set both to false, or transformer_impl: transformer_engine",
        ),
        (bool(recipe.packing), "LLaMA-Factory cannot pack rows with Megatron: packing must be false"),
    ]


def _packing_conflicts(recipe: Recipe) -> list[tuple[bool, str]]:
    if not recipe.packing:
        return []
    return [
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
            recipe.group_by_length,
            "packed sequences have one length: group_by_length or packing must be false",
        ),
        (
            recipe.cutoff_len % PADDED_TO != 0,
            f"packed sequences are padded to a multiple of {PADDED_TO} tokens: "
            f"cutoff_len must be a multiple of {PADDED_TO}",
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
    **{"flash_attn": "attention", "data_seed": "seed"},
    **dict.fromkeys(("enable_liger_kernel", "use_liger_kernel", "liger_kernel_config"), "liger"),
    **dict.fromkeys(("do_eval", "val_size", "per_device_eval_batch_size"), "validation"),
    **dict.fromkeys(("compute_accuracy", "predict_with_generate"), "validation"),
    **dict.fromkeys(("early_stopping_steps", "metric_for_best_model", "greater_is_better"), "validation"),
    **dict.fromkeys(("fsdp", "fsdp_config", "parallelism_config"), "deepspeed"),
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
    *("auto_find_batch_size", "ignore_data_skip", "streaming", "tokenized_path"),
    *("adapter_folder", "create_new_adapter"),
)
# Prediction reads the tokenizer, and with an adapter the model, of the base.
_NOT_IN_PREDICTION = (
    *("default_system", "tool_format", "preserve_thinking", "use_fast_tokenizer", "split_special_tokens"),
    *("add_tokens", "add_special_tokens", "new_special_tokens_config", "init_special_tokens"),
    *("resize_vocab", "rope_scaling", "model_revision", "mixture_of_depths"),
)
_OTHER_LOSSES = ("label_smoothing_factor", "use_dft_loss", "use_asft_loss", "use_eaft_loss")


def _set_elsewhere(argument: str) -> str | None:
    """Why `argument` cannot be in `extra`: a setting or the pipeline decides it, or it is not supported."""
    setting = "validation" if argument.startswith("eval_") else _FOLLOWS_FROM.get(argument)
    if setting:
        return f"extra.{argument}: this follows from the setting {setting}; set that one"
    if argument in _OF_THE_PIPELINE:
        return f"extra.{argument}: the pipeline sets this itself; remove it"
    if argument in _NOT_IN_PREDICTION:
        return f"extra.{argument}: prediction would use the base model without it; remove it"
    if argument in _OTHER_LOSSES:
        return f"extra.{argument}: only the model's own loss is checked for NaN and supported; remove it"
    return None
