"""Real training of a model with some thousand weights: errors, kills and resumption."""

import csv
import importlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.test_cpu import OTHER
from tests.tiny import TINY_RECIPE
from text2sql.base_models.settings import TinyModel
from text2sql.base_models.tiny import initialise, train_tokenizer
from text2sql.cpu import has_avx2
from text2sql.errors import UserError
from text2sql.files import read_json
from text2sql.gpus import Gpu
from text2sql.inference.weights import resolve_weights
from text2sql.training import launch as launching
from text2sql.training import run as running
from text2sql.training.checkpoints import newest_checkpoint
from text2sql.training.dataset import write_dataset
from text2sql.training.lengths import Lengths, row_lengths
from text2sql.training.nodes import Nodes
from text2sql.training.preflight import installed
from text2sql.training.recipe import llamafactory_config
from text2sql.training.run import train
from text2sql.training.settings import Lora, Recipe
from text2sql.training.throughput import read_throughput
from text2sql.workstore import hash_path

pytestmark = pytest.mark.slow

RECIPE = TINY_RECIPE.replace(lora=Lora(rank=4, alpha=8, targets=["q_proj", "v_proj"]))
SHORT = RECIPE.replace(max_steps=8)
_TRAIN = """
import sys
from pathlib import Path
from text2sql.training.settings import Recipe
from text2sql.training.run import train

recipe = Recipe.model_validate_json(sys.argv[1])
train(recipe, Path("base"), Path("dataset"), Path("output"), Path("loss.csv"), "test")
"""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny base model and a data set."""
    folder = tmp_path_factory.mktemp("inputs")
    turns = [_turn(number) for number in range(200)]
    train_tokenizer((turn["instruction"] for turn in turns), 320, folder / "base")
    shape = TinyModel(seed=0, vocab_size=320, hidden_size=32, layers=1, heads=2, kv_heads=1)
    initialise(shape, folder / "base")
    write_dataset(turns, folder / "dataset")
    return folder


def _turn(number: int) -> dict[str, str]:
    table, column = random.Random(number).sample(["pet", "owner", "city", "name", "age", "price"], 2)
    user = f"CREATE TABLE {table} ({column});\nShow the {column} of every {table}, case {number}."
    return {"system": "Answer.", "instruction": user, "input": "", "output": f"SELECT {column} FROM {table}"}


@pytest.fixture(scope="module")
def finished(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work store of a finished training of SHORT."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        _go_to(folder, inputs, patch)
        _train_here(SHORT)
    return folder / "work"


@pytest.fixture
def place(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of its own, with the shared inputs and an empty work store."""
    _go_to(tmp_path, inputs, monkeypatch)
    return tmp_path


def _go_to(folder: Path, inputs: Path, patch: pytest.MonkeyPatch) -> None:
    for name in ("base", "dataset"):
        (folder / name).symlink_to(inputs / name)
    patch.chdir(folder)
    patch.setenv("TEXT2SQL_WORK", str(folder / "work"))


def _train_here(recipe: Recipe) -> None:
    train(recipe, Path("base"), Path("dataset"), Path("output"), Path("loss.csv"), "test", Path("speed"))


def _start(
    place: Path, recipe: Recipe, preexec_fn: Callable[[], None] | None = None
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _TRAIN, recipe.model_dump_json()],
        cwd=place,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=preexec_fn,
    )


def _kill_after_steps(place: Path, recipe: Recipe, steps: int) -> None:
    """Kill the stage's process once its newest checkpoint has passed `steps`."""
    process = _start(place, recipe)
    while process.poll() is None and _newest_step(place) < steps:
        time.sleep(0.02)
    time.sleep(random.Random(steps).random() * 0.3)
    process.send_signal(signal.SIGKILL)
    process.wait()


def _newest_step(place: Path) -> int:
    found = place.glob("work/train/*/run/checkpoint-*")
    return max((int(folder.name.split("-")[1]) for folder in found), default=0)


@pytest.mark.skipif(not has_avx2(), reason="bytes are promised for CPUs with AVX2 and FMA")
def test_cores_and_the_users_choice_of_kernels_do_not_change_a_byte(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = RECIPE.replace(lora=None, optimizer="muon", max_steps=6)
    _train_here(recipe)
    plain = hash_path(place / "output")
    for name, value in OTHER.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TEXT2SQL_WORK", str(place / "another"))
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        _train_here(recipe)
    finally:
        os.sched_setaffinity(0, allowed)
    assert hash_path(place / "output") == plain


@pytest.mark.parametrize(("gpus", "number"), [([], "float32"), ([Gpu("H100", 1 << 36)], None)])
def test_the_number_type_of_muon_is_part_of_the_key(
    place: Path, monkeypatch: pytest.MonkeyPatch, gpus: list[Gpu], number: str | None
) -> None:
    monkeypatch.setattr(running, "visible_gpus", lambda: gpus)
    recipe = RECIPE.replace(optimizer="muon")
    key = running._key(recipe, "base", Path("dataset"), Lengths(1, {}, 1), Nodes())
    assert key.get("muon") == number
    assert ("cpu_kernels" in key) == (not gpus)


@pytest.mark.parametrize("method", ["lora", "full", "shared_prefix"])
def test_a_killed_training_ends_with_the_bytes_of_an_uninterrupted_one(
    place: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
) -> None:
    # 25 steps an epoch, so that it is also killed in the second and third one
    full = RECIPE.replace(lora=None, optimizer="muon", group_by_length=True, global_batch=8, device_batch=4)
    full = full.replace(save_steps=3)  # between two rows of the loss
    shared = RECIPE.replace(lora=None, packing="shared_prefix", device_batch=1)
    recipe = {"lora": RECIPE, "full": full, "shared_prefix": shared}[method]
    _train_here(recipe)
    whole = hash_path(place / "output"), (place / "loss.csv").read_text()
    monkeypatch.setenv("TEXT2SQL_WORK", str(place / "second" / "work"))
    second = place / "second"
    second.mkdir()
    for name in ("base", "dataset"):
        (second / name).symlink_to((place / name).resolve())
    for steps in sorted(random.Random(method).sample(range(1, 50), 2)):
        _kill_after_steps(second, recipe, steps)
        assert not (second / "output").exists()
    reached = _newest_step(second)
    assert _start(second, recipe).wait() == 0
    assert reached > 0
    assert (hash_path(second / "output"), (second / "loss.csv").read_text()) == whole
    (log,) = second.glob("work/train/*/throughput.jsonl")
    assert [line["step"] for line in read_throughput(log)] == list(range(2, 61, 2))


def test_a_kill_after_the_last_step_loses_nothing(
    finished: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished, "work")
    _train_here(SHORT)
    whole = hash_path("output"), Path("loss.csv").read_text()
    monkeypatch.setenv("TEXT2SQL_WORK", str(place / "second"))
    with monkeypatch.context() as patch:
        patch.setattr(running, "_collect", lambda *_: sys.exit("killed"))
        with pytest.raises(SystemExit, match="killed"):
            _train_here(SHORT)
    assert newest_checkpoint(next(place.glob("second/train/*/run"))) is not None
    _train_here(SHORT)
    assert (hash_path("output"), Path("loss.csv").read_text()) == whole


def test_a_finished_training_is_copied_again_without_starting_the_trainer(
    finished: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished, "work")
    monkeypatch.setattr(launching.subprocess, "Popen", None)
    _train_here(SHORT)
    before = hash_path("output"), hash_path("loss.csv"), hash_path("speed")
    for name in ("loss.csv", "speed/tokens_per_s/test.csv"):
        Path(name).unlink()
    _train_here(SHORT)
    assert (hash_path("output"), hash_path("loss.csv"), hash_path("speed")) == before
    assert Path("loss.csv").read_text().startswith("step,loss,learning_rate\n2,")


@pytest.mark.parametrize("every", [1, 3, 10])
def test_a_finished_training_is_copied_with_the_mean_losses_of_other_logging_steps(
    finished: Path, place: Path, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    shutil.copytree(finished, "work")
    monkeypatch.setattr(launching.subprocess, "Popen", None)
    _train_here(SHORT.replace(logging_steps=1))
    with open("loss.csv") as file:
        each = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    _train_here(SHORT.replace(logging_steps=every))
    with open("loss.csv") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    groups = [each[first : first + every] for first in range(0, 8, every)]
    assert [row["step"] for row in each] == list(range(1, 9))
    assert [row["step"] for row in rows] == [group[-1]["step"] for group in groups]
    assert [row["learning_rate"] for row in rows] == [group[-1]["learning_rate"] for group in groups]
    means = [sum(row["loss"] for row in group) / len(group) for group in groups]
    assert [row["loss"] for row in rows] == pytest.approx(means, rel=1e-12)


def _key(recipe: Recipe) -> dict[str, object]:
    return running._key(recipe, "base", Path("dataset"), Lengths(1, {}, 1), Nodes())


@pytest.mark.parametrize(
    "change",
    [
        {"logging_steps": 7},
        {"save_steps": 5},
        {"save_minutes": 3.0},
        {"ddp_timeout_s": 60},
        {"report_to": "wandb"},
        {"keep_steps": 8},
        {"preprocessing_workers": 3},
    ],
)
def test_settings_that_change_no_weight_are_not_part_of_the_key(
    place: Path, change: dict[str, object]
) -> None:
    assert _key(RECIPE.replace(**change)) == _key(RECIPE)


@pytest.mark.parametrize(
    "change",
    [
        {"learning_rate": 0.5},
        {"seed": 4},
        {"threads": 2},
        {"weight_decay": 0.5},
        {"packing": True, "group_by_length": False},
    ],
)
def test_settings_that_change_the_result_are_part_of_the_key(place: Path, change: dict[str, object]) -> None:
    assert _key(RECIPE.replace(**change)) != _key(RECIPE)


def test_the_number_that_automatic_ranks_become_is_printed(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(running, "visible_gpus", lambda: [Gpu("H100", 1 << 36)] * 3)
    known = running._with_ranks(RECIPE.replace(auto_ranks=True), Nodes(), "train_lora")
    assert known == RECIPE.replace(ranks=2)
    said = capsys.readouterr().err
    assert said.startswith("train_lora: ranks: auto is 2; 3 GPUs are visible, and with more ranks a step")


def test_packed_rows_depend_on_the_number_of_processes_that_pack_them(place: Path) -> None:
    packed = RECIPE.replace(packing=True)
    assert _key(packed.replace(preprocessing_workers=2)) != _key(packed)


@pytest.mark.skipif(not installed("tensorboard"), reason="tensorboard is not installed")
def test_tensorboard_gets_the_loss_of_every_step_and_the_place_is_printed(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    accumulators = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    _train_here(SHORT.replace(report_to="tensorboard", logging_steps=1))
    (folder,) = place.glob("work/train/*/tensorboard")
    assert f"test: `tensorboard --logdir {folder}`" in capsys.readouterr().err
    events = accumulators.EventAccumulator(str(folder))
    events.Reload()
    steps = [(event.step, event.value) for event in events.Scalars("train/loss")]
    assert [step for step, _ in steps] == list(range(1, 9))
    assert [value for _, value in steps] == pytest.approx(_losses(place))


def test_a_missing_package_to_report_to_is_named_before_the_training(place: Path) -> None:
    assert not installed("swanlab")
    with pytest.raises(
        UserError, match=r"report_to: swanlab needs the package swanlab.*`pip install swanlab`"
    ):
        _train_here(SHORT.replace(report_to="swanlab"))
    assert not list(place.glob("work/train/*/train.log"))


def test_a_finished_training_without_recorded_speed_is_published_without_it_and_says_so(
    finished: Path, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(finished, "work")
    monkeypatch.setattr(launching.subprocess, "Popen", None)
    next(place.glob("work/train/*/throughput.jsonl")).unlink()
    _train_here(SHORT)
    assert "test: no tokens per second were recorded" in capsys.readouterr().err
    assert not Path("speed/tokens_per_s/test.csv").exists()


def test_an_adapter_records_path_and_hash_of_its_base(finished: Path, place: Path) -> None:
    shutil.copytree(finished, "work")
    _train_here(SHORT)
    base = json.loads(Path("output/base.json").read_text())
    assert base == {"path": "base", "sha256": hash_path("base")}
    assert json.loads(Path("output/adapter_config.json").read_text())["target_modules"] == [
        "q_proj",
        "v_proj",
    ]


def test_a_trainer_that_fails_shows_the_end_of_its_log(place: Path) -> None:
    with pytest.raises(UserError, match=r"status 1[\s\S]*no_such_layer[\s\S]*train\.log"):
        _train_here(RECIPE.replace(lora=Lora(rank=4, alpha=8, targets=["no_such_layer"])))
    assert not Path("output").exists()


def _install_trainer(place: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = place / "bin" / "python"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))


def test_a_trainer_that_exits_with_status_0_but_without_weights_has_failed(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _install_trainer(place, monkeypatch, "exit 0")
    with pytest.raises(UserError, match="status 0 and wrote no weights"):
        _train_here(RECIPE)
    assert not Path("output").exists()


def test_without_flash_attention_the_resolved_recipe_is_trained_and_named(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(running, "lacks_flash_attention", lambda recipe: recipe.attention == "fa2")
    recipe = RECIPE.replace(attention="fa2", packing=True, cutoff_len=4096, device_batch=1, global_batch=1)
    trained: list[Recipe] = []

    def stop(recipe: Recipe, *_: object) -> None:
        trained.append(recipe)
        raise UserError("far enough")

    monkeypatch.setattr(running, "_run", stop)
    with pytest.raises(UserError, match="far enough"):
        _train_here(recipe)
    (short,) = trained
    assert (short.attention, short.cutoff_len, short.device_batch, short.global_batch) == ("sdpa", 1024, 4, 4)
    said = "trained with attention: sdpa, packed sequences of 1024 tokens, 4 a step"
    assert said in capsys.readouterr().err


def test_a_trainer_killed_from_outside_is_an_error(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _install_trainer(place, monkeypatch, "kill -9 $$")
    with pytest.raises(UserError, match="status -9"):
        _train_here(RECIPE)


def test_a_nan_loss_stops_the_run_and_the_error_names_step_and_batch(place: Path) -> None:
    wild = RECIPE.model_copy(update={"learning_rate": 1.0e30, "scheduler": "constant", "warmup_ratio": 0.0})
    message = r"test: the loss is nan at step 2, batch 1 of rank 0, whose first row begins '.*CREATE TABLE"
    with pytest.raises(UserError, match=message + r"[\s\S]*dvc repro"):
        _train_here(wild)
    assert not Path("output").exists()


def _small_files_only() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (80_000, 80_000))  # the weights take more, the logs less


def test_a_checkpoint_that_does_not_fit_on_the_disk_ends_the_run_and_the_next_run_gives_the_same_result(
    place: Path,
) -> None:
    recipe = RECIPE.replace(max_steps=8, lora=None)
    failed = _start(place, recipe, preexec_fn=_small_files_only)
    _, error = failed.communicate()
    assert failed.returncode != 0
    assert "test: the trainer ended with status 1" in error and "File too large" in error
    assert not (place / "output").exists()
    _train_here(recipe)
    resumed = Path("loss.csv").read_text(), hash_path("output")
    shutil.rmtree(place / "work")
    _train_here(recipe)
    assert (Path("loss.csv").read_text(), hash_path("output")) == resumed


def test_checkpoints_by_time_are_saved_at_log_lines_only(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "_collect", lambda *_: sys.exit("stopped"))
    with pytest.raises(SystemExit):
        _train_here(RECIPE.replace(max_steps=7, save_steps=60, save_minutes=1.0e-6))
    kept = sorted(folder.name for folder in place.glob("work/train/*/run/checkpoint-*"))
    assert kept == ["checkpoint-6", "checkpoint-7"]  # 2 and 4 were removed, 7 is the last step


@pytest.mark.parametrize("method", ["lora", "full"])
def test_rows_with_shared_prefixes_give_the_losses_of_separate_rows(
    place: Path, capsys: pytest.CaptureFixture[str], method: str
) -> None:
    Path("dataset").unlink()
    write_dataset((_turn(number) for number in range(24)), Path("dataset"))
    separate = RECIPE.replace(
        lora=RECIPE.lora if method == "lora" else None,
        max_steps=4,
        logging_steps=1,
        learning_rate=1.0e-4,
        global_batch=24,
        device_batch=24,
    )
    # all rows are in two sequences, so that a step has the same rows in both trainings
    shared = separate.replace(packing="shared_prefix", cutoff_len=1024, global_batch=2, device_batch=1)
    _train_here(separate)
    losses = _losses(place)
    capsys.readouterr()
    _train_here(shared)
    assert _losses(place) == pytest.approx(losses, rel=1.0e-5)
    assert "test: 24 rows in 2 packed sequences, 12.0 each; a pass over them" in capsys.readouterr().err


def test_weights_after_every_so_many_steps_stay(place: Path) -> None:
    _train_here(SHORT.replace(lora=None, keep_steps=4))
    (steps,) = place.glob("work/train/*/steps")
    assert sorted(folder.name for folder in steps.iterdir()) == ["4", "8"]
    assert hash_path(steps / "8" / "model.safetensors") == hash_path("output/model.safetensors")
    assert {file.name for file in (steps / "4").iterdir()} == {file.name for file in Path("output").iterdir()}
    assert hash_path(steps / "4" / "model.safetensors") != hash_path("output/model.safetensors")


def test_the_adapters_of_single_steps_can_be_predicted_with(place: Path) -> None:
    _train_here(SHORT.replace(keep_steps=4))
    (folder,) = place.glob("work/train/*/steps/4")
    assert resolve_weights(folder).base == Path("base")


def test_tokens_per_second_are_written_at_every_log_line(finished: Path, place: Path) -> None:
    shutil.copytree(finished, "work")
    _train_here(SHORT)
    (file,) = place.glob("work/train/*/throughput.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6, 8]
    assert all(
        line["tokens_per_s"] > 0 and "mfu" not in line for line in lines
    )  # the peak of a CPU is not known
    with open("speed/tokens_per_s/test.csv") as rows:
        published = [(int(row["step"]), float(row["tokens_per_s"])) for row in csv.DictReader(rows)]
    assert published == [(line["step"], line["tokens_per_s"]) for line in lines]
    assert not Path("speed/mfu").exists()


@pytest.mark.parametrize("method", ["lora", "full"])
def test_bf16_trains_on_a_cpu_too_with_losses_close_to_fp32(finished: Path, place: Path, method: str) -> None:
    shutil.copytree(finished, "work")  # the one with LoRA in fp32
    full_precision = SHORT if method == "lora" else SHORT.replace(lora=None)
    losses = []
    for recipe in (full_precision, full_precision.replace(precision="bf16")):
        _train_here(recipe)
        losses.append(_losses(place))
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    assert losses[1] != losses[0]


def _losses(place: Path) -> list[float]:
    _, *lines = (place / "loss.csv").read_text().splitlines()
    return [float(line.split(",")[1]) for line in lines]


def test_a_row_longer_than_the_cutoff_is_left_out_and_named(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [_turn(number) for number in range(12)]
    rows[5]["instruction"] *= 20
    Path("dataset").unlink()
    write_dataset(rows, Path("dataset"))
    _train_here(RECIPE.replace(max_steps=2))
    assert "test: 1 of 12 rows have more than 256 tokens" in capsys.readouterr().err
    (trained_on,) = place.glob("work/train/*/dataset/sft.json")
    assert json.loads(trained_on.read_text()) == [*rows[:5], *rows[6:]]


def test_without_llamafactory_the_error_has_the_command_that_installs_it(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launching.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="make setup"):
        _train_here(RECIPE)


def test_a_missing_base_model_is_named(place: Path) -> None:
    with pytest.raises(UserError, match="no-base"):
        train(RECIPE, Path("no-base"), Path("dataset"), Path("output"), Path("loss.csv"), "test")


def test_the_global_batch_is_what_the_recipe_says() -> None:
    config = llamafactory_config(RECIPE, Path("b"), Path("d"), Path("o"))
    assert config["per_device_train_batch_size"] == 2
    assert config["gradient_accumulation_steps"] == 2


def test_row_lengths_are_measured_once_for_arms_with_the_same_rows(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lengths(limit: int) -> Lengths:
        recipe = RECIPE.replace(cutoff_len=limit)
        return running._lengths(recipe, Path("base"), hash_path("base"), Path("dataset"), answer_tokens=2)

    longest = row_lengths(Path("base"), read_json("dataset/sft.json"), enough=0, answer_tokens=2)
    limit = max(longest) - 1
    found = lengths(limit)
    assert found.long == {row: tokens for row, tokens in enumerate(longest) if tokens > limit}
    (kept,) = place.glob("work/lengths/*/lengths.json")
    for damage in ("", "{", "[]", '{"rows": 1}'):
        kept.write_text(damage)
        assert lengths(limit) == found
    monkeypatch.delattr(running, "measure")
    assert lengths(limit) == found
    with pytest.raises(NameError):
        lengths(limit + 1)
    turns = read_json("dataset/sft.json")
    Path("dataset").unlink()
    write_dataset(turns[1:], Path("dataset"))
    with pytest.raises(NameError):
        lengths(limit)
