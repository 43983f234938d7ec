"""training.extra: what LLaMA-Factory's parser refuses, and adapters that its further methods train."""

from __future__ import annotations

import json
import re
import shutil
import sys
from datetime import date
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.tiny import TINY_RECIPE, tiny_qwen3, tiny_tokenizer
from text2sql.errors import UserError
from text2sql.training import run as running
from text2sql.training.dataset import write_dataset
from text2sql.training.extra import extra_problems
from text2sql.training.merge import merge_adapter
from text2sql.training.pissa import START
from text2sql.training.recipe import llamafactory_config
from text2sql.training.run import train
from text2sql.training.settings import Lora, Recipe
from text2sql.workstore import hash_path

LORA = TINY_RECIPE.replace(
    lora=Lora(rank=4, alpha=8, targets=["q_proj", "v_proj"]), max_steps=12, learning_rate=1.0e-2
)
CHAT = [{"role": "system", "content": "Answer."}, {"role": "user", "content": "SELECT name FROM singer"}]

# Arguments, and what is said of them.
REFUSED = [
    (
        {"use_rslroa": True},
        "training.extra.use_rslroa: LLaMA-Factory has no such argument; did you mean use_rslora",
    ),
    (
        {"use_dora": "false"},
        "training.extra.use_dora: 'false' is text; write it without quotation marks, as False",
    ),
    ({"loraplus_lr_ratio": "high"}, "training.extra.loraplus_lr_ratio: Input should be a valid number"),
    ({"quantization_bit": 4.5}, "training.extra.quantization_bit: Input should be a valid integer"),
    ({"compute_dtype": "bf16"}, "training.extra.compute_dtype: not a number, text, list or table"),
    ({"use_unsloth": True}, "training.extra.use_unsloth: LLaMA-Factory refuses this: .*pip install unsloth"),
    (
        {"pissa_init": True, "quantization_bit": 4},
        "training.extra.pissa_init, training.extra.quantization_bit: LLaMA-Factory refuses this: .*quantized",
    ),
]
TAKEN = {"use_rslora": True, "lora_dropout": 0.1, "neftune_noise_alpha": 5, "quantization_bit": 4}


@pytest.mark.slow
def test_llamafactory_parses_further_arguments_and_each_fault_has_its_key() -> None:
    recipes = [LORA.replace(extra=extra) for extra, _ in REFUSED]
    full = LORA.replace(lora=None, extra={"use_dora": True})
    *refused, taken, none, of_full = extra_problems([*recipes, LORA.replace(extra=TAKEN), LORA, full])
    assert (taken, none) == ([], [])
    assert (
        len(of_full) == 1 and "training.extra.use_dora" in of_full[0] and "only valid for LoRA" in of_full[0]
    )
    for (_, said), found in zip(REFUSED, refused, strict=True):
        assert len(found) == 1 and re.search(said, found[0])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"extra": {"lora_rank": 3}}, "extra.lora_rank: this follows from the setting rank; set that one"),
        ({"extra": {"optim": "adafactor"}}, "extra.optim: this follows from the setting optimizer"),
        ({"extra": {"output_dir": "x"}}, "extra.output_dir: the pipeline sets this itself"),
        ({"extra": {"pissa_convert": True}}, "extra.pissa_convert: the pipeline sets this itself"),
        (
            {"extra": {"loraplus_lr_ratio": 16.0}, "optimizer": "muon"},
            "loraplus_lr_ratio .* ignores optimizer: muon",
        ),
        ({"extra": {"pissa_init": True, "use_dora": True}}, "exclude each other"),
        ({"extra": {"pissa_init": True}, "keep_steps": 8}, "only the result is converted"),
        ({"extra": {"pissa_init": True}, "deepspeed": "z3"}, "ZeRO-3 splits them; set deepspeed: z2"),
        (
            {"extra": {"pissa_init": True, "additional_target": "norm"}},
            "additional_target exclude each other",
        ),
        (
            {"extra": {"train_on_prompt": True}, "packing": "shared_prefix"},
            "train_on_prompt and packing: shared_prefix exclude each other",
        ),
        ({"extra": {"train_from_scratch": True}}, "the adapter would belong to random weights"),
        ({"extra": {"val_size": 0.1}}, "extra.val_size: this follows from the setting validation"),
        (
            {"extra": {"eval_strategy": "steps"}},
            "extra.eval_strategy: this follows from the setting validation",
        ),
        ({"extra": {"tokenized_path": "x"}}, "extra.tokenized_path: the pipeline sets this itself"),
        ({"extra": {"auto_find_batch_size": True}}, "auto_find_batch_size: the pipeline sets this itself"),
        ({"extra": {"default_system": "x"}}, "prediction would use the base model without it"),
        ({"extra": {"lora_dropout": date(2020, 1, 1)}}, "lora_dropout\n.*not a valid JSON value"),
        ({"extra": {"use_dft_loss": True}}, "only the model's own loss is checked for NaN"),
    ],
)
def test_arguments_that_a_setting_here_decides_or_excludes_are_refused(
    changes: dict[str, object], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        LORA.replace(**changes)


def test_every_argument_of_the_configuration_is_refused_as_a_further_one() -> None:
    rich = LORA.replace(scheduler="cosine_with_min_lr", min_learning_rate=1e-5, deepspeed="z2", liger=True)
    rich = rich.replace(group_by_length=True, attention="sdpa", ddp_timeout_s=5, enable_thinking=None)
    packed = LORA.replace(packing="shared_prefix", epochs=1.0, max_steps=None)
    here = Path()
    names = {*llamafactory_config(rich, here, here, here), *llamafactory_config(packed, here, here, here)}
    for name in names - {"lora_dropout"}:  # has a default here, which a further argument replaces
        with pytest.raises(ValueError, match=f"extra.{name}: "):
            LORA.replace(extra={name: 1})


def test_further_arguments_are_in_the_configuration() -> None:
    config = llamafactory_config(LORA.replace(extra={"lora_dropout": 0.5}), Path(), Path(), Path())
    assert config["lora_dropout"] == 0.5


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model and a data set."""
    folder = tmp_path_factory.mktemp("inputs")
    tiny_tokenizer(tiny_qwen3(folder / "base"))
    asked = ({"system": "Answer.", "instruction": f"How many, {n}?", "input": ""} for n in range(60))
    write_dataset(({**turn, "output": f"SELECT {n}"} for n, turn in enumerate(asked)), folder / "dataset")
    return folder


def _train(inputs: Path, folder: Path, recipe: Recipe) -> Path:
    output = folder / "output"
    train(recipe, inputs / "base", inputs / "dataset", output, folder / "loss.csv", "test")
    return output


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TEXT2SQL_WORK", str(tmp_path / "work"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "extra",
    [
        {"use_rslora": True, "lora_dropout": 0.1, "neftune_noise_alpha": 5},
        {"use_dora": True, "loraplus_lr_ratio": 16.0},
    ],
)
def test_an_adapter_of_another_method_is_used_in_its_form_and_merges(
    inputs: Path, tmp_path: Path, extra: dict[str, object]
) -> None:
    adapter = _train(inputs, tmp_path, LORA.replace(extra=extra))
    config = json.loads((adapter / "adapter_config.json").read_text())
    assert config["use_rslora"] is bool(extra.get("use_rslora"))
    assert config["use_dora"] is bool(extra.get("use_dora"))
    assert config["lora_dropout"] == extra.get("lora_dropout", 0.0)
    assert merge_adapter(adapter, tmp_path / "merged", [CHAT]) < 1e-5
    moved = _logits(tmp_path / "merged") - _logits(inputs / "base")
    assert moved.abs().max() > 1e-3


def _logits(folder: Path, weights: dict[str, torch.Tensor] | None = None) -> torch.Tensor:
    """[1, 6, vocabulary] of the model in `folder`, with `weights` added to its own."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32).eval()
    for name, change in (weights or {}).items():
        model.get_submodule(name).weight.data += change
    with torch.inference_mode():
        return model(input_ids=torch.arange(20, 26)[None]).logits


@pytest.mark.slow
@pytest.mark.parametrize("rslora", [False, True])
def test_an_adapter_of_pissa_on_the_base_is_the_trained_model(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rslora: bool
) -> None:
    recipe = LORA.replace(extra={"pissa_init": True, "use_rslora": rslora})
    monkeypatch.setattr("text2sql.training.pissa.convert", lambda folder, start: None)
    raw = load_file(_train(inputs, tmp_path, recipe) / "adapter_model.safetensors")
    (work,) = (tmp_path / "work" / "train").iterdir()
    start = load_file(work / START)
    scale = 8 / 4**0.5 if rslora else 8 / 4
    change = {}
    for name in raw:
        if ".lora_A." in name:
            other, layer = name.replace("lora_A", "lora_B"), name.removeprefix("base_model.model.")
            trained, first = raw[other] @ raw[name], start[other] @ start[name]
            change[layer.removesuffix(".lora_A.weight")] = scale * (trained - first)
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TEXT2SQL_WORK", str(tmp_path / "work"))
    shutil.rmtree(work / "result")
    shutil.rmtree(tmp_path / "output")
    adapter = _train(inputs, tmp_path, recipe)
    assert merge_adapter(adapter, tmp_path / "merged", [CHAT]) < 1e-5
    expected, found = _logits(inputs / "base", change), _logits(tmp_path / "merged")
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()
    assert (expected - _logits(inputs / "base")).abs().max() > 1e-3


@pytest.mark.slow
def test_a_resumed_training_with_pissa_has_the_bytes_of_an_uninterrupted_one(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = LORA.replace(extra={"pissa_init": True}, save_steps=5)
    whole = hash_path(_train(inputs, tmp_path, recipe))
    monkeypatch.setenv("TEXT2SQL_WORK", str(tmp_path / "second"))
    with monkeypatch.context() as patch:
        patch.setattr(running, "_collect", lambda *_: sys.exit("killed"))
        with pytest.raises(SystemExit, match="killed"):
            _train(inputs, tmp_path, recipe)
    (run,) = tmp_path.glob("second/train/*/run")
    shutil.rmtree(run / "checkpoint-12")  # it goes on from step 10
    assert hash_path(_train(inputs, tmp_path, recipe)) == whole


@pytest.mark.slow
def test_an_argument_that_llamafactory_refuses_stops_the_run_before_its_training(
    inputs: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"training\.extra\.neftune: LLaMA-Factory has no such argument"):
        _train(inputs, tmp_path, LORA.replace(extra={"neftune": 5}))
    assert not list(tmp_path.glob("work/train/*/config.yaml"))
