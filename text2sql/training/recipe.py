"""A training recipe and the LLaMA-Factory configuration that it stands for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters (Hu et al. 2021): the update of `targets` is scaled by alpha / rank."""

    rank: int
    alpha: int
    targets: tuple[str, ...]


@dataclass(frozen=True)
class Recipe:
    """One training run. Batches are in rows, lengths in tokens; `lora` None trains all weights.

    `optimizer` is "adamw" or "muon".
    """

    template: str
    cutoff_len: int
    global_batch: int
    device_batch: int
    optimizer: str
    learning_rate: float
    scheduler: str
    max_steps: int
    warmup_ratio: float
    weight_decay: float
    precision: str
    seed: int
    logging_steps: int
    save_steps: int
    threads: int
    lora: Lora | None = None


def llamafactory_config(recipe: Recipe, base: Path, dataset: Path, output: Path) -> dict[str, object]:
    """The arguments of `llamafactory-cli train` for `recipe`.

    `dataset` is a folder with LLaMA-Factory's dataset_info.json and the data set called "train".
    Names follow https://github.com/hiyouga/LLaMA-Factory, version 0.9.5.
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
        "gradient_accumulation_steps": recipe.global_batch // recipe.device_batch,
        # "muon" orthogonalises the update of every matrix but the embedding (Jordan et al. 2024,
        # https://kellerjordan.github.io/posts/muon/); the rest is left to AdamW at the same rate.
        "use_muon": recipe.optimizer == "muon",
        "learning_rate": recipe.learning_rate,
        "lr_scheduler_type": recipe.scheduler,
        "max_steps": recipe.max_steps,
        "warmup_steps": round(recipe.warmup_ratio * recipe.max_steps),
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
        "disable_gradient_checkpointing": True,
        "trust_remote_code": False,
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
