"""bench/train.py: the recipes of the profiles, adapted to the machine."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from transformers import AutoTokenizer

from bench import train as bench
from scripts.profiles import composed
from tests.llamafactory_parser import parsed_by_llamafactory
from text2sql.files import read_json
from text2sql.training.lengths import row_lengths
from text2sql.training.memory import Model, estimate
from text2sql.training.recipe import accumulation, llamafactory_config
from text2sql.training.settings import Recipe

ROOT = Path(__file__).parents[2]
SECTIONS = sorted(bench.LINES.values())
BOTH = [(profile, section) for profile in (bench.REFERENCE, bench.OURS) for section in SECTIONS]
DEVICE_KEYS = {
    "ranks",
    "deepspeed",
    "megatron",
    "global_batch",
    "enabled",
}  # settings for several devices, and `enabled`


def written(profile: str, section: str) -> dict[str, Any]:
    """The settings in the profile's file: those that the arms share, replaced by the arm's own."""
    params = yaml.safe_load(composed(profile))
    arm = {key: value for key, value in params[section].items() if value is not None}
    return params["training"] | arm


def values(recipe: Recipe) -> dict[str, Any]:
    """The recipe with the keys of params.yaml."""
    found = dict(vars(recipe))
    if recipe.lora is not None:
        lora = {"rank": recipe.lora.rank, "alpha": recipe.lora.alpha, "targets": list(recipe.lora.targets)}
        found |= lora
    return found


@pytest.mark.parametrize(("profile", "section"), BOTH)
def test_with_all_packages_a_gpu_trains_with_the_settings_of_the_profile(profile: str, section: str) -> None:
    recipe = bench.for_gpu(bench.profile_recipe(profile, section), bench.PACKAGES)
    wanted = {key: value for key, value in written(profile, section).items() if key not in DEVICE_KEYS}
    found = values(recipe)
    assert {key: found[key] for key in wanted} == wanted


@pytest.mark.parametrize(("profile", "section"), BOTH)
@pytest.mark.parametrize("gpu", [True, False])
def test_one_device_does_the_work_of_one_rank_of_the_profile(profile: str, section: str, gpu: bool) -> None:
    recipe = bench.profile_recipe(profile, section)
    alone = bench.for_gpu(recipe, bench.PACKAGES) if gpu else bench.for_cpu(recipe)
    assert (alone.ranks, alone.deepspeed, alone.megatron) == (1, None, None)
    assert accumulation(alone, 1) == (accumulation(recipe, 1) if gpu else 1)


def test_settings_that_need_a_missing_package_are_off_and_listed() -> None:
    ours, reference = (bench.profile_recipe(p, "train_full") for p in (bench.OURS, bench.REFERENCE))
    bare = bench.for_gpu(ours, ())
    assert bench.differences(ours, bare) == "attention fa2 → sdpa, liger True → False"
    listed = bench.differences(reference, bench.for_gpu(reference, ()))
    assert "optimizer adamw_8bit → adamw" in listed and "megatron True → False" in listed
    assert bench.differences(ours, ours) == ""


@pytest.mark.parametrize(("profile", "section"), BOTH)
def test_a_cpu_keeps_packing_checkpointing_targets_and_the_tokens_of_a_batch(
    profile: str, section: str
) -> None:
    recipe = bench.for_cpu(bench.profile_recipe(profile, section))
    wanted = written(profile, section)
    assert recipe.device_batch * recipe.cutoff_len == wanted["device_batch"] * wanted["cutoff_len"]
    kept = ["packing", "gradient_checkpointing"]
    kept += ["targets"] if "targets" in wanted else []
    found = values(recipe)
    assert {key: found[key] for key in kept} == {key: wanted[key] for key in kept}
    assert (recipe.precision, recipe.attention, recipe.optimizer) == ("fp32", "sdpa", "adamw")


@pytest.mark.parametrize("packs", [1, 2])
def test_with_flash_attention_llamafactory_allows_one_packed_sequence_per_batch(
    tmp_path: Path, packs: int
) -> None:
    from llamafactory.data.collator import SFTDataCollatorWith4DAttentionMask
    from llamafactory.data.template import get_template_and_fix_tokenizer
    from llamafactory.hparams import DataArguments
    from transformers import AutoTokenizer

    from tests.tiny import tiny_tokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(tiny_tokenizer(tmp_path)))
    collate = SFTDataCollatorWith4DAttentionMask(
        template=get_template_and_fix_tokenizer(tokenizer, DataArguments(template="qwen3")),
        tokenizer=tokenizer,
        block_diag_attn=True,
        neat_packing=True,
        attn_implementation="flash_attention_2",
    )
    pack = {"input_ids": [5, 5, 5, 0], "attention_mask": [1, 2, 2, 0], "position_ids": [0, 0, 1, 0]}
    batch = [pack | {"labels": [5, 5, 5, -100]} for _ in range(packs)]
    if packs == 1:
        assert collate(batch)["input_ids"].shape == (1, 3)  # without its padding
    else:
        with pytest.raises(AssertionError, match="bsz should be 1"):
            collate(batch)


def test_both_recipes_log_after_about_the_same_number_of_tokens() -> None:
    for section in SECTIONS:
        pair = [bench.for_gpu(bench.profile_recipe(p, section), ()) for p in (bench.REFERENCE, bench.OURS)]
        line_tokens = bench.tokens_per_step(pair[1], 400)
        short = [bench.cut_short(recipe, 400, line_tokens, 8) for recipe in pair]
        assert short[1].logging_steps == 1
        for recipe in short:
            assert recipe.max_steps == 8 * recipe.logging_steps and recipe.epochs is None
            assert bench.tokens_per_step(recipe, 400) * recipe.logging_steps == pytest.approx(
                line_tokens, rel=0.2
            )


def model_without_weights(folder: Path) -> Any:
    """The large model without allocating its weights; writes its tokenizer to `folder`."""
    import torch
    from transformers import AutoTokenizer, Qwen3ForCausalLM

    from tests.tiny import tiny_tokenizer

    with torch.device("meta"):
        return Qwen3ForCausalLM(
            bench.qwen3_config(AutoTokenizer.from_pretrained(str(tiny_tokenizer(folder))))
        )


def test_the_large_model_has_the_size_of_qwen3_and_both_recipes_fit_a_gpu_of_80_gb(tmp_path: Path) -> None:
    model = model_without_weights(tmp_path)
    shapes = {name: list(weight.shape) for name, weight in model.named_parameters()}
    parameters = sum(map(math.prod, shapes.values()))
    assert round(parameters / 1e9, 2) == 1.72  # 1.4 without embedding, as in the model card
    assert round((parameters - 151_936 * 2048) / 1e9, 1) == 1.4
    linear = [
        (name.split(".")[-2], sum(s)) for name, s in shapes.items() if ".layers." in name and len(s) == 2
    ]
    size = Model(parameters, 28, 2048, 6144, 151_936, tuple(linear))
    for profile, section in BOTH:
        for packages in ((), bench.PACKAGES):
            recipe = bench.for_gpu(bench.profile_recipe(profile, section), packages)
            assert estimate(recipe, size, recipe.cutoff_len, 1).total < 0.95 * 80e9


def _write_configuration(folder: Path) -> None:
    """Like initialise_qwen3, without the weights."""
    bench.qwen3_config(AutoTokenizer.from_pretrained(str(folder))).save_pretrained(folder)


def test_schemas_for_the_large_model_have_from_few_to_six_hundred_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "initialise_qwen3", _write_configuration)
    mean = bench.make_inputs(tmp_path, "qwen3-1.7b", tokens=40_000)
    rows = read_json(tmp_path / "dataset" / "sft.json")
    lengths = row_lengths(tmp_path / "base", rows, enough=0, answer_tokens=2)
    assert len(rows) == 400 and sum(lengths) > 40_000
    assert mean == pytest.approx(sum(lengths) / 400)
    assert min(lengths) < 200 and 600 < max(lengths) < 1024  # within the reference's cutoff_len
    assert len({row["output"] for row in rows}) > 200


@pytest.mark.slow
@pytest.mark.parametrize(("profile", "section"), BOTH)
def test_llamafactory_reads_the_configurations_of_a_gpu(tmp_path: Path, profile: str, section: str) -> None:
    recipe = bench.for_gpu(bench.profile_recipe(profile, section), bench.PACKAGES)
    recipe = bench.cut_short(recipe, 400, 32_768, 8)
    recipe = recipe.replace(liger=False)  # its package, which the parser needs, is for GPU machines only
    config = llamafactory_config(recipe, tmp_path / "base", tmp_path / "data", tmp_path / "run")
    parsed = parsed_by_llamafactory(config | {"save_strategy": "no"}, tmp_path, megatron=False)
    ours = profile == bench.OURS
    assert parsed["neat_packing"] is ours and parsed["disable_gradient_checkpointing"] is ours
    assert parsed["flash_attn"] == ("fa2" if ours else "auto")
    assert parsed["max_steps"] == 8 * parsed["logging_steps"] and parsed["bf16"] is True
    if section == "train_lora32":
        assert parsed["lora_target"] == (["all"] if ours else ["q_proj", "v_proj"])


@pytest.mark.parametrize(
    ("ours", "on_gpu", "good"),
    [
        (bench.Speed(1600.0, 0.46), True, True),
        (bench.Speed(1400.0, 0.46), True, False),
        (bench.Speed(1600.0, 0.44), True, False),
        (bench.Speed(1600.0, None), True, True),
        (bench.Speed(400.0, None), False, True),
    ],
)
def test_limits_apply_on_a_gpu_and_the_limit_of_mfu_only_if_the_peak_is_known(
    ours: bench.Speed, on_gpu: bool, good: bool
) -> None:
    assert bench.report("full", bench.Speed(1000.0, None), ours, on_gpu) is good


def test_without_a_gpu_both_recipes_alternately_train_the_tiny_model_and_leave_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []

    def train_once(recipe: Recipe, place: Path, label: str) -> list[dict[str, float]]:
        assert (place / "base" / "model.safetensors").is_file()
        trained.append(label)
        return [{"tokens_per_s": 1000.0 * (1 + bool(recipe.packing))}]

    monkeypatch.setattr(bench, "train_once", train_once)
    monkeypatch.setattr(bench, "visible_gpus", list)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # main sets it; monkeypatch restores it
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result = CliRunner().invoke(bench.main, ["--rounds", "2", "--steps", "1"])
    assert result.exit_code == 0, result.output
    assert [label.split(",")[1].strip() for label in trained] == ["reference", "ours"] * 4
    assert "LoRA  reference 1,000 tokens/s, ours 2,000, 2.00 times as fast" in result.output
    assert "attention fa2 → sdpa" in result.output and "rows of" in result.output
    assert list(tmp_path.iterdir()) == []


def test_the_large_model_is_refused_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "visible_gpus", list)
    result = CliRunner().invoke(bench.main, ["--shape", "qwen3-1.7b"])
    assert result.exit_code == 2 and "needs a GPU" in result.output
