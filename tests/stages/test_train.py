"""The training stages: the arguments for the library, and arms that are switched off."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from scripts.profiles import composed
from stages import _train, train_full, train_lora, train_lora32, train_lora128
from stages import train as own_stage
from stages._params import load_params
from tests.small_raw import without_contexts
from text2sql.training.settings import Lora, Megatron

ROOT = Path(__file__).parents[2]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the embedded profile."""
    (tmp_path / "params.yaml").write_text(composed("embedded"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _set(place: Path, section: str, **values: object) -> None:
    file = place / "params.yaml"
    params = yaml.safe_load(file.read_text())
    params[section] |= values
    if section != "training" and values.get("enabled") is False:
        params["arms"] = {"baseline": params["arms"]["baseline"]}
    file.write_text(yaml.safe_dump(params))


ARGUMENTS = [
    *("--base", "base", "--train", "data", "--output", "models/arm"),
    *("--loss", "metrics/loss.csv", "--throughput", "metrics/throughput"),
    *("--validation", "metrics/validation.csv", "--databases", "data/train_databases"),
]
MORE = (Path("metrics/throughput"), Path("metrics/validation.csv"), Path("data/train_databases"))


def test_lora_with_the_settings_of_lora128_has_its_recipe(place: Path) -> None:
    arm = load_params().train_lora128
    assert load_params().recipe("lora") != load_params().recipe("train_lora128")
    same = ("rank", "alpha", "targets", "learning_rate", "max_steps")
    _set(place, "lora", **{key: getattr(arm, key) for key in same})
    assert load_params().recipe("lora") == load_params().recipe("train_lora128")


def test_full_training_has_no_adapter_and_lora_has_its_own(place: Path) -> None:
    params = load_params()
    assert params.recipe("train_full").lora is None
    assert params.recipe("train_lora32").lora == Lora(
        rank=32, alpha=params.train_lora32.alpha, targets=["q_proj", "v_proj"]
    )


def test_the_deepspeed_file_is_the_one_of_this_checkout_in_any_working_directory(place: Path) -> None:
    _set(place, "training", optimizer="adamw")  # the profile's muon does not work with DeepSpeed
    _set(place, "lora", deepspeed="z3_offload")
    file = load_params().recipe("lora").deepspeed_file
    assert file == ROOT / "configs" / "deepspeed" / "z3_offload.json"
    assert json.loads(file.read_text())["zero_optimization"]["stage"] == 3


def test_megatron_replaces_deepspeed(place: Path) -> None:
    megatron = {"tensor_parallel": 2, "sequence_parallel": True, "distributed_optimizer": True}
    _set(place, "training", optimizer="adamw", precision="bf16")  # Megatron takes nothing else
    _set(place, "train_full", deepspeed="z2", ranks=2, megatron=megatron)
    with_megatron = load_params().recipe("train_full")
    assert (with_megatron.deepspeed, with_megatron.megatron) == (None, Megatron.model_validate(megatron))
    _set(place, "train_full", megatron=None)
    without = load_params().recipe("train_full")
    assert (without.deepspeed, without.megatron) == ("z2", None)


def test_an_arm_can_set_its_own_length_batches_and_ranks(place: Path) -> None:
    shared = {"epochs": 3.0, "max_steps": None, "global_batch": 4, "device_batch": 4, "ranks": 1}
    _set(place, "training", optimizer="adamw", **shared)
    _set(place, "train_lora32", max_steps=None)
    _set(place, "lora", global_batch=16, ranks=2)
    plain, own = load_params().recipe("train_lora32"), load_params().recipe("lora")
    assert {key: getattr(plain, key) for key in shared} == shared
    assert (own.epochs, own.max_steps, own.global_batch, own.device_batch, own.ranks) == (None, 400, 16, 4, 2)


@pytest.mark.parametrize(
    ("stage", "section"),
    [
        (train_lora32, "train_lora32"),
        (train_lora128, "train_lora128"),
        (train_full, "train_full"),
        (train_lora, "lora"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_stage_trains_with_its_section(
    place: Path, monkeypatch: pytest.MonkeyPatch, stage: Any, section: str
) -> None:
    _set(place, section, max_steps=7)
    seen = []
    monkeypatch.setattr(_train, "train", lambda recipe, *paths: seen.append((recipe.max_steps, paths)))
    result = CliRunner().invoke(stage.main, ARGUMENTS, catch_exceptions=False)
    name = "train_lora" if section == "lora" else section
    paths = tuple(map(Path, ("base", "data", "models/arm", "metrics/loss.csv")))
    assert (result.exit_code, seen) == (0, [(7, (*paths, name, *MORE))])


def test_a_disabled_arm_gives_an_empty_folder_and_a_message(place: Path) -> None:
    _set(place, "train_full", enabled=False)
    of_an_earlier_run = Path("metrics/throughput/tokens_per_s/train_full.csv")
    of_an_earlier_run.parent.mkdir(parents=True)
    of_an_earlier_run.touch()
    result = CliRunner().invoke(train_full.main, ARGUMENTS)
    assert result.exit_code == 0
    assert "train_full.enabled is false" in result.output
    assert list(Path("models/arm").iterdir()) == []
    assert Path("metrics/loss.csv").read_text() == "step,loss,learning_rate\n"
    assert Path("metrics/validation.csv").read_text() == "step,loss,execution_accuracy,n,kept\n"
    assert not of_an_earlier_run.exists()


def test_a_missing_base_model_is_an_error_that_names_it(place: Path) -> None:
    result = CliRunner().invoke(train_full.main, ARGUMENTS)
    assert result.exit_code == 1
    assert "error: base: no such file" in result.output


# -- arms of section train --

OWN = {"base": "models/full", "data": "data/train", "learning_rate": 1.0e-2, "max_steps": 7}
OWN_ARGUMENTS = [
    *("--arm", "mine", "--base", "models/full", "--train", "data/train"),
    *("--output", "models/mine", "--loss", "metrics/loss/train_mine.csv"),
    *("--throughput", "metrics/throughput", "--validation", "metrics/validation.csv"),
    *("--databases", "data/train_databases"),
]


@pytest.fixture
def model(place: Path) -> Path:
    """The folder of the base, with a configuration."""
    folder = place / "models" / "full"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return folder


def _train_own(monkeypatch: pytest.MonkeyPatch, **own: object) -> tuple[list[Any], str]:
    """The arguments that the library gets for an own arm, and the output of the stage."""
    file = Path("params.yaml")
    params = without_contexts(yaml.safe_load(file.read_text()))
    params["train"] = {"mine": OWN | own}
    file.write_text(yaml.safe_dump(params))
    seen: list[Any] = []
    monkeypatch.setattr(own_stage, "train", lambda *arguments: seen.append(arguments))
    monkeypatch.setattr(own_stage, "training_data", lambda *arguments: arguments)
    result = CliRunner().invoke(own_stage.main, OWN_ARGUMENTS)
    return seen, result.output


def test_an_own_arm_trains_with_its_section_on_the_rows_of_its_sources(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ((recipe, base, data, *others),), _ = _train_own(monkeypatch, sources=["spider"])
    assert (recipe.max_steps, recipe.lora, base) == (7, None, Path("models/full"))
    assert data == (Path("data/train"), ["spider"], "train.mine")
    paths = [Path("models/mine"), Path("metrics/loss/train_mine.csv")]
    assert others == [*paths, "train_mine", *MORE]


def test_an_own_arm_that_is_switched_off_gives_an_empty_folder(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, output = _train_own(monkeypatch, enabled=False)
    assert seen == [] and "train.mine.enabled is false" in output
    assert list(Path("models/mine").iterdir()) == []


def test_a_base_that_is_an_adapter_or_no_model_is_refused(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (model / "adapter_config.json").write_text("{}")
    assert "models/full is a LoRA adapter" in _train_own(monkeypatch)[1]
    (model / "adapter_config.json").unlink()
    (model / "config.json").unlink()
    assert "error: train.mine.base: models/full has no config.json" in _train_own(monkeypatch)[1]


def test_an_arm_that_params_yaml_does_not_have_is_named(model: Path) -> None:
    result = CliRunner().invoke(own_stage.main, OWN_ARGUMENTS)
    assert result.exit_code == 1
    assert "error: params.yaml: train has no 'mine'; it has lora32_context, full_context" in result.output
