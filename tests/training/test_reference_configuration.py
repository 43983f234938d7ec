"""The hyperparameters of the reference's arms, as LLaMA-Factory's parser reads them, key by key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.profiles import load_profile
from stages._params import Params
from tests.llamafactory_parser import parsed_by_llamafactory
from text2sql.training.recipe import llamafactory_config
from text2sql.training.settings import FullArm, recipe_of

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EVERY_ARM: dict[str, object] = {
    "stage": "sft",
    "template": "qwen3",
    "cutoff_len": 1024,
    "learning_rate": 2.0e-5,
    "lr_scheduler_type": "cosine_with_min_lr",
    "lr_scheduler_kwargs": {"min_lr": 1.0e-6},
    "num_train_epochs": 3.0,
    "max_steps": -1,
    "warmup_steps": 0.01,  # below 1: a share of all steps
    "weight_decay": 0.01,
    "optim": "adamw_8bit",
    "bf16": True,
    "seed": 42,
    "packing": False,
    "enable_liger_kernel": False,
    "enable_thinking": True,  # LLaMA-Factory's default
    "ddp_timeout": 180000000,
    "preprocessing_num_workers": 16,
}
LORA: dict[str, object] = {"finetuning_type": "lora", "lora_target": ["q_proj", "v_proj"]}
ARMS: dict[str, dict[str, object]] = {
    "train_lora32": LORA
    | {
        "lora_rank": 32,
        "lora_alpha": 32,
        "per_device_train_batch_size": 8,
        "gradient_accumulation_steps": 2,
    },
    "train_lora128": LORA
    | {
        "lora_rank": 128,
        "lora_alpha": 256,
        "per_device_train_batch_size": 6,
        "gradient_accumulation_steps": 2,
    },
    "train_full": {
        "finetuning_type": "full",
        "per_device_train_batch_size": 6,
        "gradient_accumulation_steps": 5,
        "tensor_model_parallel_size": 2,
        "pipeline_model_parallel_size": 1,
        "sequence_parallel": True,
        "use_distributed_optimizer": True,
        "use_mca": True,
        "bias_activation_fusion": True,
        "apply_rope_fusion": False,
        "overlap_p2p_comm": False,
        "overlap_grad_reduce": True,
        "overlap_param_gather": True,
        "save_steps": 2000,
        "deepspeed": None,
    },
}


@pytest.fixture(scope="module")
def params() -> Params:
    return load_profile("qwen3-1.7b-reference")


@pytest.mark.parametrize("section", ARMS)
def test_llamafactory_reads_the_references_hyperparameters(
    params: Params, tmp_path: Path, section: str
) -> None:
    recipe = params.recipe(section)
    config = llamafactory_config(recipe, tmp_path / "base", tmp_path / "data", tmp_path / "run")
    parsed = parsed_by_llamafactory(config, tmp_path, megatron=recipe.megatron is not None)
    expected = EVERY_ARM | ARMS[section]
    assert {key: parsed[key] for key in expected} == expected
    copies = recipe.ranks // (recipe.megatron.tensor_parallel if recipe.megatron else 1)
    rows = parsed["per_device_train_batch_size"] * parsed["gradient_accumulation_steps"] * copies
    assert rows == recipe.global_batch


@pytest.mark.parametrize(("section", "stage"), [("train_lora32", 3), ("train_lora128", 3), ("train_full", 2)])
def test_without_megatron_the_arms_train_with_the_zero_stage_of_the_reference(
    params: Params, section: str, stage: int
) -> None:
    arm = params.trained()[section]
    if isinstance(arm, FullArm):
        # without Megatron each of the four ranks has a copy of the model, and 60 divides by five times four
        arm = arm.replace(megatron=None, device_batch=5)
    recipe = recipe_of(params.training, arm)
    assert recipe.deepspeed_file is not None
    assert json.loads(recipe.deepspeed_file.read_text())["zero_optimization"]["stage"] == stage
    assert recipe.ranks == 4


def test_the_base_model_is_pinned(params: Params) -> None:
    ours = load_profile("qwen3-1.7b")
    assert params.fetch_model.hub_model == "Qwen/Qwen3-1.7B"
    assert ours.fetch_model == params.fetch_model


def test_llamafactory_reads_our_recipe(tmp_path: Path) -> None:
    params = load_profile("qwen3-1.7b")
    recipe = params.recipe("train_lora32")
    config = llamafactory_config(recipe, tmp_path / "base", tmp_path / "data", tmp_path / "run")
    del config["enable_liger_kernel"]  # the parser needs its package, which installs on GPU machines only
    expected = {"neat_packing": True, "packing": True, "flash_attn": "fa2", "lora_target": ["all"]}
    expected |= {"learning_rate": 2.0e-4, "lora_rank": 32, "lora_alpha": 32, "optim": "adamw_torch_fused"}
    parsed = parsed_by_llamafactory(config, tmp_path, megatron=False)
    assert {key: parsed[key] for key in expected} == expected


def test_our_lora_has_ten_times_the_learning_rate_of_full_training_and_alpha_equal_to_rank() -> None:
    params = load_profile("qwen3-1.7b")
    for arm in (params.train_lora32, params.train_lora128, params.lora):
        assert arm.learning_rate == pytest.approx(10 * params.train_full.learning_rate)
        assert arm.alpha == arm.rank
