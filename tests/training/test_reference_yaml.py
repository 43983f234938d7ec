"""The configurations of profile qwen3-1.7b-reference equal the YAML files of the reference, key by key."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.profiles import load_profile
from stages._params import Params
from tests import reference
from text2sql.files import read_json
from text2sql.training.recipe import llamafactory_config

# Keys that differ on purpose, each with its reason. docs/reference.md has the same list.
ELSEWHERE = "a path or a name, which depends on the machine"
OTHERWISE = {
    "model_name_or_path": ELSEWHERE,
    "dataset": ELSEWHERE,
    "output_dir": ELSEWHERE,
    "max_samples": "has no effect: it is not below the number of rows",
    "plot_loss": "a picture of the loss; the stage writes its values instead",
    "overwrite_output_dir": "the work store decides whether a run resumes or starts anew",
    "warmup_ratio": "transformers 5 has warmup_steps, and takes a value below 1 as a share of all steps",
}
# DeepSpeed's files have other names here. With Megatron the reference's trainer does not use DeepSpeed.
DEEPSPEED = {"train_lora32": 3, "train_lora128": 3, "train_full": None}


@pytest.fixture(scope="module")
def params() -> Params:
    return load_profile("qwen3-1.7b-reference")


def generated(params: Params, section: str) -> dict[str, object]:
    return llamafactory_config(params.recipe(section), Path("base"), Path("data"), Path("run"))


@pytest.mark.parametrize("section", reference.YAML)
def test_every_published_key_has_the_published_value(params: Params, section: str) -> None:
    ours = generated(params, section)
    published = {k: v for k, v in reference.YAML[section].items() if k not in {*OTHERWISE, "deepspeed"}}
    assert {key: ours.get(key) for key in published} == published


@pytest.mark.parametrize("section", reference.YAML)
def test_the_keys_that_differ_on_purpose_do_differ(params: Params, section: str) -> None:
    ours, published = generated(params, section), reference.YAML[section]
    assert [key for key in OTHERWISE if ours.get(key) == published.get(key)] == []
    assert ours["warmup_steps"] == published["warmup_ratio"]


@pytest.mark.parametrize("section", reference.YAML)
def test_deepspeed_has_the_published_stage_except_with_megatron(params: Params, section: str) -> None:
    file = generated(params, section).get("deepspeed")
    stage = read_json(Path(str(file)))["zero_optimization"]["stage"] if file else None
    assert stage == DEEPSPEED[section]
    assert stage is None or f"ds_z{stage}_config" in str(reference.YAML[section]["deepspeed"])


@pytest.mark.parametrize(
    ("section", "steps"), [("train_lora32", 5922), ("train_lora128", 7893), ("train_full", 6312)]
)
def test_the_steps_are_those_of_its_logs(params: Params, section: str, steps: int) -> None:
    recipe, rows = params.recipe(section), 126_641 - 356
    assert recipe.epochs is not None
    drops_the_rest = section == "train_full"  # of an epoch, as Megatron's trainer does
    batches = rows // recipe.global_batch if drops_the_rest else -(-rows // recipe.global_batch)
    assert batches * recipe.epochs == steps
