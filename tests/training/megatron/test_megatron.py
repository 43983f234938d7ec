"""Megatron on two CPU processes against transformers in one: `make test-megatron MCORE_ADAPTER=PATH`.

The ranks find cpu/sitecustomize.py, which replaces calls of CUDA; no process that computes transformers'
logits does. The tests train in fp32, which recipes do not allow, because in bf16 rounding hides differences.
"""

from __future__ import annotations

import importlib.util
import json
import os
import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from tests.llamafactory_parser import STANDINS
from tests.tiny import TINY_RECIPE
from text2sql.base_models.settings import TinyModel
from text2sql.base_models.tiny import initialise, train_tokenizer
from text2sql.errors import UserError
from text2sql.files import read_json
from text2sql.gpus import visible_gpus
from text2sql.training import mcore_patches
from text2sql.training import run as running
from text2sql.training.dataset import write_dataset
from text2sql.training.launch import launch
from text2sql.training.megatron import convert_to_hugging_face
from text2sql.training.nodes import Nodes
from text2sql.training.recipe import llamafactory_config
from text2sql.training.settings import Megatron, Recipe

pytestmark = [
    pytest.mark.megatron,
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("mcore_adapter") is None,
        reason="ROLL's mcore_adapter is not installed: make test-megatron MCORE_ADAPTER=PATH",
    ),
    pytest.mark.skipif(bool(visible_gpus()), reason="compares float32 losses of the CPU"),
]
SHIM = Path(__file__).parent / "cpu"
ROWS, BATCH, STEPS = 20, 4, 8  # the first epoch ends after step 5
PLAIN = TINY_RECIPE.replace(global_batch=BATCH, max_steps=STEPS, save_steps=3)
MEGATRON = PLAIN.replace(
    precision="bf16",
    gradient_checkpointing=True,
    ranks=2,
    megatron=Megatron(
        transformer_impl="local", tensor_parallel=2, bias_activation_fusion=True, overlap_p2p_comm=False
    ),
)
Show = Callable[[str], None]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny base model, two heads of keys so that two ranks divide them, and a data set."""
    folder = tmp_path_factory.mktemp("inputs")
    turns = [_turn(number) for number in range(ROWS)]
    train_tokenizer((turn["instruction"] for turn in turns), 320, folder / "base")
    initialise(TinyModel(seed=0, vocab_size=320, hidden_size=64, layers=2), folder / "base")
    write_dataset(turns, folder / "dataset")
    return folder


def _turn(number: int) -> dict[str, str]:
    table, *columns = random.Random(number).sample(["pet", "owner", "city", "name", "age", "price"], 4)
    names = ", ".join(columns[: number % 3 + 1])  # rows of several lengths
    user = f"CREATE TABLE {table} ({names});\nShow the {columns[0]} of every {table}, case {number}."
    return {"system": "Answer.", "instruction": user, "input": "", "output": f"SELECT {names} FROM {table}"}


def _launch_fp32(recipe: Recipe, config: Mapping[str, object], *where: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(SHIM), prepend=os.pathsep)
        patch.setenv("TORCHDYNAMO_DISABLE", "1")
        launch(recipe, {**config, "bf16": False, "save_total_limit": 3}, *where)


def _run(recipe: Recipe, inputs: Path, work: Path) -> Path:
    """Train in `work` as the pipeline does, but in fp32; returns the folder of transformers' weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "launch", _launch_fp32)
        return running._run(recipe, inputs / "base", inputs / "dataset", work, Nodes(), "test")


@pytest.fixture(scope="module")
def plain(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run of one process with transformers."""
    return _run(PLAIN, inputs, tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def trained(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work folder of a finished training with Megatron: `run` and `converted`."""
    return _run(MEGATRON, inputs, tmp_path_factory.mktemp("megatron")).parent


def _history(run: Path) -> dict[int, dict[str, float]]:
    """What is logged of each step."""
    entries = read_json(run / "trainer_state.json")["log_history"]
    return {entry["step"]: entry for entry in entries if "loss" in entry}


def _weights(folder: Path) -> dict[str, Any]:
    import torch
    from transformers import AutoModelForCausalLM

    return dict(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).state_dict())


def _largest_difference(left: Path, right: Path) -> float:
    first, second = _weights(left), _weights(right)
    assert first.keys() == second.keys()
    return max(float((first[name] - second[name]).abs().max()) for name in first)


def test_losses_over_the_end_of_an_epoch_equal_those_of_transformers(
    plain: Path, trained: Path, show: Show
) -> None:
    ours, theirs = _history(trained / "run"), _history(plain)
    assert list(ours) == list(theirs) == list(range(1, STEPS + 1))
    for name, history in (("Megatron", ours), ("transformers", theirs)):
        show(f"losses, {name + ':':13} " + " ".join(f"{entry['loss']:.4f}" for entry in history.values()))
    for step in ours:
        assert ours[step]["loss"] == pytest.approx(theirs[step]["loss"], abs=1.0e-4)  # logged with 4 digits
        assert ours[step]["epoch"] == pytest.approx(theirs[step]["epoch"])


def test_weights_equal_those_of_transformers(plain: Path, trained: Path, inputs: Path, show: Show) -> None:
    difference = _largest_difference(plain, trained / "converted")
    show(f"largest difference of a weight after {STEPS} steps: {difference:.1e}")
    assert difference < 1.0e-5 < 1.0e-3 < _largest_difference(inputs / "base", plain)


@pytest.mark.parametrize("step", [3, 6])
def test_a_resumed_training_equals_the_uninterrupted_one(
    step: int, trained: Path, inputs: Path, tmp_path: Path, show: Show
) -> None:
    """Step 3 is in the first epoch, whose end is still to come, step 6 in the second."""
    checkpoint = f"run/checkpoint-{step}"
    shutil.copytree(trained / checkpoint, tmp_path / checkpoint)
    converted = _run(MEGATRON, inputs, tmp_path)
    before, after = _history(trained / "run"), _history(tmp_path / "run")
    assert list(after) == list(before)
    assert [after[s]["loss"] for s in after] == [before[s]["loss"] for s in before]
    difference = _largest_difference(trained / "converted", converted)
    show(f"largest difference of a weight after a resume from step {step}: {difference:.1e}")
    assert difference < 1.0e-6


def test_the_converted_model_gives_the_logits_of_megatron(trained: Path, inputs: Path, show: Show) -> None:
    converted, base = trained / "converted", inputs / "base"
    found = read_json(converted / "logits.json")
    show(f"logits, Megatron against converted: {found['difference']:.1e} of their root mean square")
    assert found["difference"] < 1.0e-5 and found["prompts"] == 20
    assert read_json(converted / "config.json")["dtype"] == read_json(base / "config.json")["dtype"]
    assert read_json(converted / "generation_config.json") == read_json(base / "generation_config.json")


def test_the_converted_model_has_the_number_type_of_the_base(
    trained: Path, inputs: Path, tmp_path: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    run, base = _copy_of_run(trained, tmp_path), tmp_path / "base"
    shutil.copytree(inputs / "base", base)
    config = read_json(base / "config.json")
    (base / "config.json").write_text(json.dumps(config | {"dtype": "bfloat16"}))
    recorded = torch.load(run / "logits.pt")
    torch.save(recorded | {"dtype": "torch.bfloat16"}, run / "logits.pt")  # bf16's tolerance
    converted = convert_to_hugging_face(run, tmp_path / "converted", base, "full")
    assert AutoModelForCausalLM.from_pretrained(converted, dtype="auto").dtype is torch.bfloat16


def test_a_changed_weight_is_refused(trained: Path, inputs: Path, tmp_path: Path) -> None:
    import torch

    run = _copy_of_run(trained, tmp_path)
    (file,) = run.glob("iter_*/mp_rank_00/model_optim_rng.pt")
    saved = torch.load(file, weights_only=False)
    name = next(name for name in saved["model"] if name.endswith("mlp.linear_fc2.weight"))
    saved["model"][name][:, 0] += 0.5
    torch.save(saved, file)
    with pytest.raises(UserError, match=r"full: the logits of the converted model .* differ from Megatron's"):
        convert_to_hugging_face(run, tmp_path / "converted", inputs / "base", "full")


def _copy_of_run(trained: Path, folder: Path) -> Path:
    return Path(shutil.copytree(trained / "run", folder / "run", ignore=lambda *_: ["checkpoint-3"]))


def test_a_finished_training_is_converted_again_without_a_step(
    trained: Path, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _copy_of_run(trained, tmp_path)
    monkeypatch.setattr(running, "launch", lambda *_: pytest.fail("the training was started again"))
    converted = running._run(MEGATRON, inputs / "base", inputs / "dataset", tmp_path, Nodes(), "test")
    assert _largest_difference(trained / "converted", converted) == 0
    assert (run / "trainer_log.jsonl").read_bytes() == (trained / "run/trainer_log.jsonl").read_bytes()


def test_mcore_adapter_knows_our_arguments() -> None:
    everything = Megatron(
        tensor_parallel=2,
        sequence_parallel=True,
        distributed_optimizer=True,
        bias_activation_fusion=True,
        apply_rope_fusion=True,
        overlap_p2p_comm=True,
    )
    here = Path()
    with_it, without = (
        llamafactory_config(recipe, here, here, here)
        for recipe in (MEGATRON.replace(megatron=everything), PLAIN.replace(ranks=2))
    )
    assert {*with_it} - {*without} - {"use_mca"} <= {
        *_arguments_of_mcore_adapter()
    }  # that is LLaMA-Factory's


def test_the_stand_in_has_names_and_defaults_of_mcore_adapter() -> None:
    from transformers import Seq2SeqTrainingArguments

    spec = importlib.util.spec_from_file_location("standin", STANDINS / "mcore_adapter/__init__.py")
    assert spec is not None and spec.loader is not None
    standin = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(standin)
    shared = {field.name for field in fields(Seq2SeqTrainingArguments)}
    real = _arguments_of_mcore_adapter()
    found = {f.name: f.default for f in fields(standin.Seq2SeqTrainingArguments) if f.name not in shared}
    assert found == {name: real.get(name, MISSING) for name in found}


def _arguments_of_mcore_adapter() -> dict[str, object]:
    from mcore_adapter import Seq2SeqTrainingArguments

    return {field.name: field.default for field in fields(Seq2SeqTrainingArguments)}


_ON_TRAINER = ("_get_train_cyclic_iterator", "_maybe_log_save_evaluate", "save_model")
_ON_MODULE = ("patch_torch_validate_global_plan", "SequentialSampler")


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """mcore_adapter's module, without the patches of the test after it."""
    from mcore_adapter.trainer import trainer

    for owner, names in ((trainer, _ON_MODULE), (trainer.McaTrainer, _ON_TRAINER)):
        for name in names:
            monkeypatch.setattr(owner, name, getattr(owner, name))
    return trainer


@pytest.mark.parametrize("name", _ON_MODULE + _ON_TRAINER)
def test_a_name_that_is_gone_stops_the_training(
    name: str, trainer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class WithoutBase:  # transformers' trainer has some of these names, too
        pass

    for known in _ON_TRAINER:
        setattr(WithoutBase, known, getattr(trainer.McaTrainer, known))
    monkeypatch.setattr(trainer, "McaTrainer", WithoutBase)
    monkeypatch.delattr(trainer if name in _ON_MODULE else WithoutBase, name)
    with pytest.raises(RuntimeError, match=rf"has no {name}, which .* replaces"):
        mcore_patches.patch_mcore_adapter(seed=3)


def test_another_version_of_megatron_core_stops_the_training(
    trainer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mcore_patches.importlib.metadata, "version", lambda package: "0.17.0")
    with pytest.raises(RuntimeError, match=r"megatron-core 0\.17\.0 is installed, .* tried with 0\.16\.1"):
        mcore_patches.patch_mcore_adapter(seed=3)


def test_rows_are_shuffled_in_another_order_in_every_epoch(trainer: Any) -> None:
    mcore_patches.patch_mcore_adapter(seed=3)
    sampler = trainer.SequentialSampler(range(ROWS))
    orders = []
    for epoch in (0, 1):
        sampler.set_epoch(epoch)
        orders.append(list(sampler))
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(ROWS))
    assert orders[0] != orders[1] and list(range(ROWS)) not in orders
