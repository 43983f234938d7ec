"""The memory estimate: each case of the formula, on a model with round numbers and on a real folder."""

from pathlib import Path

import pytest

from scripts.profiles import load_profile
from tests.tiny import TINY_RECIPE, tiny_qwen3
from text2sql.errors import UserError
from text2sql.training.memory import LABELLED, Model, estimate, read_model, trainable
from text2sql.training.settings import Lora, Megatron

ROOT = Path(__file__).parents[2]
# 1,000 weights; layer activations in bf16: 17 * 10 + 8 * 20 = 330 bytes a token.
MODEL = Model(1000, 2, 10, 20, 50, (("q_proj", 20), ("v_proj", 15), ("up_proj", 30)))
RECIPE = TINY_RECIPE.replace(cutoff_len=100, global_batch=8, precision="bf16")
# Qwen3-1.7B's config.json: 28 layers of width 2048, 16 query and 8 key heads of 128, tied embeddings.
WIDTHS = {"q_proj": (2048, 2048), "k_proj": (2048, 1024), "v_proj": (2048, 1024), "o_proj": (2048, 2048)}
WIDTHS |= {"gate_proj": (2048, 6144), "up_proj": (2048, 6144), "down_proj": (6144, 2048)}
QWEN3 = Model(
    parameters=151_936 * 2048 + 2048 + 28 * (sum(a * b for a, b in WIDTHS.values()) + 2 * 2048 + 2 * 128),
    layers=28,
    hidden=2048,
    intermediate=6144,
    vocabulary=151_936,
    linear=tuple((name, sum(sides)) for name, sides in WIDTHS.items()) * 28,
)
LORA = Lora(rank=2, alpha=4, targets=["q_proj", "v_proj"])  # trains 2 * (20 + 15) = 70 weights
MEGATRON = Megatron(tensor_parallel=2, sequence_parallel=True, distributed_optimizer=True)


@pytest.mark.parametrize(
    ("changes", "weights", "gradients", "optimizer"),
    [
        ({}, 6000, 6000, 8000),
        ({"precision": "fp32"}, 4000, 4000, 8000),
        ({"optimizer": "adamw_8bit"}, 6000, 6000, 2000),
        ({"lora": LORA}, 2 * 1000 + 6 * 70, 6 * 70, 8 * 70),
        ({"deepspeed": "z2", "ranks": 4}, 2000, 500, 3000),
        ({"deepspeed": "z3", "ranks": 4}, 500, 500, 3000),
        ({"deepspeed": "z3", "ranks": 4, "optimizer": "adamw_8bit"}, 500, 500, 1500),
        ({"deepspeed": "z3_offload", "ranks": 4}, 0, 500, 0),
        ({"megatron": MEGATRON, "ranks": 4}, 1000, 2000, 3000),
    ],
)
def test_weights_gradients_and_optimizer_take_the_bytes_of_the_training_method(
    changes: dict[str, object], weights: int, gradients: int, optimizer: int
) -> None:
    need = estimate(RECIPE.replace(**changes), MODEL, 10, 1)
    assert (need.weights, need.gradients, need.optimizer) == (weights, gradients, optimizer)


def test_autocast_keeps_a_bf16_copy_of_every_trained_matrix_until_the_backward_pass(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_qwen3(tmp_path), dtype=torch.float32)
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    ids = torch.ones(1, 3, dtype=torch.long)
    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with hooks, torch.autocast("cpu", dtype=torch.bfloat16):
        model(input_ids=ids, labels=ids)
    matrices = [p.numel() for p in model.parameters() if p.dim() == 2]
    copies = [t for t in kept.values() if t.dtype is torch.bfloat16 and t.numel() in set(matrices)]
    assert sum(t.untyped_storage().nbytes() for t in copies) == 2 * sum(matrices)


def test_more_nodes_divide_what_zero_divides() -> None:
    recipe = RECIPE.replace(deepspeed="z3", ranks=2)
    assert estimate(recipe, MODEL, 10, 2).weights == estimate(recipe, MODEL, 10, 1).weights / 2


def test_activations_and_logits_grow_with_the_tokens_of_a_batch() -> None:
    need = estimate(RECIPE, MODEL, 10, 1)
    assert need.activations == 1.5 * 2 * 330 * 20  # layers, bytes, 2 rows of 10 tokens
    assert need.logits == LABELLED * 12 * 50 * 20
    assert estimate(RECIPE.replace(liger=True), MODEL, 10, 1).activations == pytest.approx(
        1.15 * 2 * 330 * 20
    )
    assert estimate(RECIPE, MODEL, 20, 1).activations == 2 * need.activations


def test_packed_rows_fill_the_cutoff() -> None:
    packed = RECIPE.replace(packing=True, cutoff_len=104)
    assert estimate(packed, MODEL, 10, 1).logits == LABELLED * 12 * 50 * 208


def test_megatron_computes_all_logits() -> None:
    megatron = RECIPE.replace(megatron=Megatron(tensor_parallel=2), ranks=2)
    assert estimate(megatron, MODEL, 10, 1).logits == 12 * 50 * 20 / 2


@pytest.mark.parametrize(("precision", "width"), [("bf16", 2), ("fp32", 4)])
def test_zero_2_has_two_buffers_of_500_million_numbers(precision: str, width: int) -> None:
    need = estimate(RECIPE.replace(deepspeed="z2", precision=precision), MODEL, 10, 1)
    assert need.buffers == 2 * 500_000_000 * width
    assert estimate(RECIPE.replace(deepspeed="z3"), MODEL, 10, 1).buffers == 0


# Measured on one NVIDIA H200 (docs/training.md): GiB allocated at most, rank 32 on every layer or full.
MEASURED = [
    ({"lora": Lora(rank=32, alpha=32, targets=["all"]), "device_batch": 1, "global_batch": 4}, 24.6),
    ({"device_batch": 1, "global_batch": 4}, 52.0),
]


@pytest.mark.parametrize(("changes", "gib"), MEASURED, ids=["lora", "full"])
def test_the_estimate_without_logits_is_near_what_was_measured_with_fused_loss(
    changes: dict[str, object], gib: float
) -> None:
    recipe = RECIPE.replace(packing=True, cutoff_len=8192, liger=True, **changes)
    need = estimate(recipe, QWEN3, 8192, 1)
    assert (need.total - need.logits) / (1 << 30) == pytest.approx(gib, rel=0.03)


def test_checkpointing_stores_layer_inputs_only() -> None:
    need = estimate(RECIPE.replace(gradient_checkpointing=True, liger=True), MODEL, 10, 1)
    assert need.activations == pytest.approx((2 * 2 * 10 + 1.15 * 330) * 20)


@pytest.mark.parametrize("section", ["train_lora32", "train_lora128", "train_full"])
def test_the_reference_arms_fit_the_24_gb_gpus_they_were_trained_on(section: str) -> None:
    params = load_profile("qwen3-1.7b-reference")
    recipe = params.recipe(section)
    need = estimate(recipe, QWEN3, recipe.cutoff_len, 1)
    all_logits = need.logits if recipe.megatron else need.logits / LABELLED  # the reference's loss
    assert 0.4 * 24e9 < need.total - need.logits + all_logits < 0.95 * 24e9


def test_lora_without_checkpointing_is_not_said_to_fit_24_gb() -> None:
    recipe = load_profile("qwen3-1.7b").recipe("train_lora32")
    assert estimate(recipe, QWEN3, recipe.cutoff_len, 1).total > 24 * (1 << 30)


def test_full_training_without_zero_or_megatron_does_not_fit_24_gb() -> None:
    need = estimate(RECIPE, QWEN3, 100, 1)
    assert need.weights + need.gradients + need.optimizer == 20 * QWEN3.parameters > 24e9


def test_all_means_every_linear_layer() -> None:
    assert trainable(Lora(rank=2, alpha=4, targets=["all"]), MODEL) == 2 * (20 + 15 + 30)


def test_the_sizes_of_a_model_are_read_from_the_headers_of_its_weights(tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = read_model(tiny_qwen3(tmp_path))
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    assert model.parameters == sum(p.numel() for p in loaded.parameters())
    adapted = get_peft_model(loaded, LoraConfig(r=4, target_modules=["q_proj", "v_proj"]))
    assert trainable(LORA.replace(rank=4), model) == adapted.get_nb_trainable_parameters()[0]


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no \.safetensors file; .*dvc repro fetch_model"):
        read_model(tmp_path)
