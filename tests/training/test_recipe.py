"""A recipe and its configuration: settings that exclude each other, and the division of the global batch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.tiny import TINY_RECIPE
from text2sql import cpu
from text2sql.errors import UserError
from text2sql.gpus import Gpu
from text2sql.training import recipe as recipes
from text2sql.training.recipe import ALL_ROWS, accumulation, llamafactory_config, on_this_machine, with_ranks
from text2sql.training.settings import Lora, Megatron, Recipe

ROOT = Path(__file__).parents[2]
RECIPE = TINY_RECIPE.replace(cutoff_len=1024, global_batch=24, device_batch=3, precision="bf16")
MEGATRON = Megatron(tensor_parallel=2, sequence_parallel=True, distributed_optimizer=True)


def _config(recipe: Recipe, nodes: int = 1) -> dict[str, object]:
    return llamafactory_config(recipe, Path("b"), Path("d"), Path("o"), nodes)


def test_a_setting_that_a_recipe_does_not_use_is_not_in_its_configuration() -> None:
    """The configuration is part of the work key: an option added later must not retrain old recipes."""
    assert _config(TINY_RECIPE) == {
        "model_name_or_path": "b",
        "dataset_dir": "d",
        "dataset": "train",
        "output_dir": "o",
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "full",
        "template": "qwen3",
        "enable_thinking": False,
        "cutoff_len": 256,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 2,
        "use_muon": False,
        "learning_rate": 1.0e-3,
        "lr_scheduler_type": "cosine",
        "max_steps": 60,
        "warmup_steps": 6,
        "weight_decay": 0.01,
        "bf16": False,
        "seed": 3,
        "data_seed": 3,
        "logging_steps": 2,
        "save_steps": 4,
        "save_total_limit": 2,
        "preprocessing_num_workers": 1,
        "overwrite_cache": True,
        "plot_loss": False,
        "report_to": "none",
        "disable_gradient_checkpointing": True,
        "trust_remote_code": False,
    }


@pytest.mark.parametrize("thinking", [True, False])
def test_thinking_is_switched_on_or_off(thinking: bool) -> None:
    assert _config(TINY_RECIPE.replace(enable_thinking=thinking))["enable_thinking"] is thinking


def test_thinking_is_left_to_llamafactory() -> None:
    assert "enable_thinking" not in _config(TINY_RECIPE.replace(enable_thinking=None))


def test_a_lora_recipe_names_rank_alpha_and_targets() -> None:
    lora = Lora(rank=4, alpha=8, targets=["q_proj", "v_proj"])
    added = _config(TINY_RECIPE.replace(lora=lora)).items() - _config(TINY_RECIPE).items()
    assert dict(added) == {
        "finetuning_type": "lora",
        "lora_rank": 4,
        "lora_alpha": 8,
        "lora_dropout": 0.0,
        "lora_target": "q_proj,v_proj",
    }


@pytest.mark.parametrize(
    ("ranks", "nodes", "tensor_parallel", "expected"),
    [(1, 1, 1, 8), (4, 1, 1, 2), (2, 2, 1, 2), (8, 1, 2, 2), (4, 2, 4, 4)],
)
def test_the_global_batch_is_divided_by_device_batch_and_data_parallel_ranks(
    ranks: int, nodes: int, tensor_parallel: int, expected: int
) -> None:
    megatron = MEGATRON.replace(tensor_parallel=tensor_parallel) if tensor_parallel > 1 else None
    recipe = RECIPE.replace(ranks=ranks, megatron=megatron)
    assert accumulation(recipe, nodes) == expected
    assert _config(recipe, nodes)["gradient_accumulation_steps"] == expected


def test_a_global_batch_that_does_not_divide_is_refused_with_device_batches_that_do() -> None:
    with pytest.raises(UserError, match=r"24 is not a multiple of device_batch 3 times 3 .*one of 1, 2"):
        accumulation(RECIPE.replace(ranks=3, global_batch=24), 1)


def test_ranks_that_do_not_divide_the_global_batch_are_refused_with_a_batch_that_fits() -> None:
    with pytest.raises(UserError, match="set global_batch to a multiple of 5"):
        accumulation(RECIPE.replace(ranks=5), 1)


def test_ranks_that_do_not_form_complete_tensor_parallel_groups_are_refused() -> None:
    with pytest.raises(
        UserError,
        match="3 ranks cannot be divided into groups of tensor_parallel 2; set ranks to a multiple of 2",
    ):
        accumulation(RECIPE.replace(ranks=3, megatron=MEGATRON), 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 3.0}, "either max_steps or epochs"),
        ({"max_steps": None}, "either max_steps or epochs"),
        ({"min_learning_rate": 1.0e-6}, "set min_learning_rate if, and only if, scheduler is"),
        ({"scheduler": "cosine_with_min_lr"}, "and only if, scheduler is cosine_with_min_lr"),
        ({"megatron": MEGATRON, "lora": Lora(rank=4, alpha=8, targets=["q_proj"])}, "not LoRA"),
        ({"megatron": MEGATRON, "deepspeed": "z2"}, "either megatron or deepspeed"),
        ({"megatron": MEGATRON, "liger": True}, "liger must be false"),
        ({"megatron": MEGATRON, "precision": "fp32"}, "precision must be bf16"),
        ({"megatron": MEGATRON.replace(transformer_impl="local")}, "supports neither sequence_parallel nor"),
        ({"optimizer": "muon", "deepspeed": "z2"}, "muon needs complete matrices"),
        ({"megatron": MEGATRON, "packing": True}, "packing must be false"),
        ({"packing": True, "attention": "fa2", "device_batch": 2}, "device_batch must be 1"),
        ({"packing": "shared_prefix", "attention": "fa2"}, "flash attention cannot share prefixes"),
        ({"megatron": MEGATRON, "packing": "shared_prefix"}, "packing must be false"),
        ({"packing": "prefix"}, "should be False, True or 'shared_prefix'"),
        ({"keep_steps": 6}, r"keep_steps must be a multiple of save_steps \(4\)"),
        ({"packing": True, "group_by_length": True}, "group_by_length or packing must be false"),
        ({"packing": True, "cutoff_len": 1020}, "multiple of 8 tokens: cutoff_len must be a multiple of 8"),
    ],
)
def test_fields_that_exclude_each_other_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RECIPE.replace(**changes)


def test_a_row_of_a_packed_sequence_has_at_most_one_token_less_than_the_sequence() -> None:
    assert RECIPE.longest_row == 1024
    assert RECIPE.replace(packing=True).longest_row == 1023
    assert RECIPE.replace(packing="shared_prefix").longest_row == 1023


def test_rows_that_share_prefixes_are_grouped_by_one_process_and_masked_by_torch() -> None:
    plain = _config(RECIPE.replace(preprocessing_workers=4))
    shared = _config(RECIPE.replace(preprocessing_workers=4, packing="shared_prefix"))
    assert dict(shared.items() - plain.items()) == {
        "neat_packing": True,
        "preprocessing_batch_size": ALL_ROWS,
        "preprocessing_num_workers": 1,
        "flash_attn": "sdpa",
    }


@pytest.mark.parametrize(
    ("gpus", "flags", "precision"),
    [
        ([], {"avx2"}, "fp32"),
        ([], {"avx2", "avx512_bf16"}, "bf16"),
        ([], {"amx_bf16"}, "bf16"),
        ([Gpu("H100", 1 << 36)], set(), "bf16"),
    ],
)
def test_the_precision_auto_is_bf16_where_the_device_multiplies_it(
    monkeypatch: pytest.MonkeyPatch, gpus: list[Gpu], flags: set[str], precision: str
) -> None:
    monkeypatch.setattr(recipes, "visible_gpus", lambda: gpus)
    monkeypatch.setattr(cpu, "cpu_flags", lambda: flags)
    assert on_this_machine(RECIPE.replace(precision="auto")).precision == precision
    assert on_this_machine(RECIPE.replace(precision="fp32")).precision == "fp32"


def test_with_epochs_the_warm_up_is_a_share_of_the_steps() -> None:
    config = _config(RECIPE.replace(max_steps=None, epochs=3.0))
    assert (config["num_train_epochs"], config["warmup_steps"]) == (3.0, 0.1)
    assert "max_steps" not in config


def test_speed_settings_are_in_the_configuration_only_if_they_are_on() -> None:
    plain = RECIPE.replace(device_batch=1)
    fast = plain.replace(
        attention="fa2",
        packing=True,
        liger=True,
        gradient_checkpointing=True,
        optimizer="adamw_8bit",
    )
    added = {key: value for key, value in _config(fast).items() if _config(plain).get(key) != value}
    grouped = _config(plain.replace(group_by_length=True))
    assert grouped.items() - _config(plain).items() == {("train_sampling_strategy", "group_by_length")}
    assert added == {
        "flash_attn": "fa2",
        "neat_packing": True,
        "enable_liger_kernel": True,
        "disable_gradient_checkpointing": False,
        "optim": "adamw_8bit",
    }


@pytest.mark.parametrize("name", ["z2", "z2_offload", "z3", "z3_offload"])
def test_a_deepspeed_file_does_what_its_name_says(name: str) -> None:
    config = json.loads((ROOT / "configs" / "deepspeed" / f"{name}.json").read_text())
    zero = config["zero_optimization"]
    assert zero["stage"] == int(name[1])
    assert ("offload_optimizer" in zero) == name.endswith("offload")
    assert config["gradient_accumulation_steps"] == config["train_batch_size"] == "auto"


def test_a_training_shorter_than_logging_steps_logs_its_last_step() -> None:
    recipe = TINY_RECIPE.replace(logging_steps=10, save_steps=10, max_steps=6)
    assert llamafactory_config(recipe, Path("base"), Path("data"), Path("out"))["logging_steps"] == 6


@pytest.mark.parametrize(
    ("gpus", "nodes", "ranks"),
    [(0, 1, 1), (1, 1, 1), (2, 1, 2), (3, 1, 2), (8, 1, 4), (8, 2, 2), (2, 3, 1)],
)
def test_automatic_ranks_are_the_gpus_with_which_the_global_batch_is_divisible(
    gpus: int, nodes: int, ranks: int
) -> None:
    recipe = TINY_RECIPE.replace(global_batch=8, device_batch=2, auto_ranks=True)
    known = with_ranks(recipe, gpus, nodes)
    assert (known.ranks, known.auto_ranks) == (ranks, False)


def test_a_number_of_ranks_stays() -> None:
    recipe = TINY_RECIPE.replace(ranks=2)
    assert with_ranks(recipe, 8, 1) is recipe
