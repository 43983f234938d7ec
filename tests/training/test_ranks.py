"""Real training on several ranks: DeepSpeed and torchrun on two CPU processes, and killing them."""

from __future__ import annotations

import csv
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.tiny import TINY_RECIPE, tiny_qwen3, tiny_tokenizer
from text2sql.training.dataset import write_dataset
from text2sql.training.preflight import cpp_compiler
from text2sql.training.run import train
from text2sql.training.settings import Lora, Recipe

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        cpp_compiler() is None, reason="no C++ compiler (g++), which DeepSpeed needs for its operators"
    ),
]

ROOT = Path(__file__).parents[2]
FULL = TINY_RECIPE.replace(device_batch=1, max_steps=40)
METHODS = {
    "zero2-full": (FULL, "z2"),
    "zero3-lora": (
        FULL.replace(lora=Lora(rank=4, alpha=8, targets=["q_proj", "v_proj"])),
        "z3",
    ),
    # within one pass: the last batch of a pass is smaller, and two ranks fill it with rows seen before
    "zero2-shared_prefix": (FULL.replace(packing="shared_prefix", cutoff_len=128, max_steps=16), "z2"),
}
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
    """A folder with the tiny model and a data set."""
    folder = tmp_path_factory.mktemp("inputs")
    tiny_tokenizer(tiny_qwen3(folder / "base"))
    write_dataset((_turn(number) for number in range(160)), folder / "dataset")
    return folder


def _turn(number: int) -> dict[str, str]:
    table, column = random.Random(number).sample(["singer", "country", "age", "name", "year"], 2)
    user = f"CREATE TABLE {table} ({column});\nWhat is the {column} of every {table}?"
    return {"system": "Answer.", "instruction": user, "input": "", "output": f"SELECT {column} FROM {table}"}


def _place(folder: Path, inputs: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("base", "dataset"):
        (folder / name).symlink_to(inputs / name)
    return folder


def _start(place: Path, recipe: Recipe, **environment: str) -> subprocess.Popen[str]:
    """Run `train` in a separate process, as a stage does."""
    settings = os.environ | {"PYTHONPATH": str(ROOT), "TEXT2SQL_WORK": str(place / "work")} | environment
    command = [sys.executable, "-c", _TRAIN, recipe.model_dump_json()]
    return subprocess.Popen(
        command,
        cwd=place,
        env=settings,
        stderr=subprocess.PIPE,
        text=True,
    )


def _losses(file: Path) -> list[float]:
    with open(file) as rows:
        return [float(row["loss"]) for row in csv.DictReader(rows)]


@pytest.fixture(scope="module")
def single(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder in which each method was trained in one process."""
    found = {}
    for name, (recipe, _) in METHODS.items():
        place = _place(tmp_path_factory.mktemp("single"), inputs)
        process = _start(place, recipe)
        assert process.wait() == 0, process.stderr and process.stderr.read()
        found[name] = place
    return found


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    (file,) = folder.glob("*.safetensors")
    weights: dict[str, torch.Tensor] = load_file(file)
    return weights


def _rank_processes(place: Path) -> list[int]:
    """Process ids of all ranks that train in `place`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue  # it has just ended
        ours = any(word.startswith(str(place / "work")) for word in words)
        if ours and "text2sql.training.worker" in words and "torch.distributed.run" not in words:
            found.append(int(folder.name))
    return sorted(found)


def _wait_for_step(place: Path, process: subprocess.Popen[str], step: int) -> None:
    while process.poll() is None and _newest(place) < step:
        time.sleep(0.02)
    assert process.poll() is None, process.stderr and process.stderr.read()


def _newest(place: Path) -> int:
    states = place.glob("work/train/*/run/checkpoint-*/trainer_state.json")
    return max((int(file.parent.name.split("-")[1]) for file in states), default=0)


def _all_ended(pids: list[int]) -> bool:
    """Whether all processes end within ten seconds."""
    for _ in range(200):
        if not any(_alive(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("name", METHODS)
def test_two_ranks_give_the_loss_and_weights_of_one_process_with_the_same_global_batch(
    inputs: Path, tmp_path: Path, single: dict[str, Path], name: str
) -> None:
    recipe, deepspeed = METHODS[name]
    place = _place(tmp_path / "two", inputs)
    process = _start(place, recipe.replace(ranks=2, deepspeed=deepspeed))
    assert process.wait() == 0, process.stderr and process.stderr.read()
    assert _losses(place / "loss.csv") == pytest.approx(_losses(single[name] / "loss.csv"), rel=1.0e-4)
    assert _losses(place / "loss.csv")[-1] < 0.99 * _losses(place / "loss.csv")[0]
    ours, theirs = (_weights(folder / "output") for folder in (place, single[name]))
    assert set(theirs) <= set(ours) <= set(theirs) | {"lm_head.weight"}  # DeepSpeed writes tied weights twice
    for key, weight in theirs.items():
        torch.testing.assert_close(ours[key], weight, rtol=1.0e-3, atol=1.0e-5)


def _underway(place: Path, recipe: Recipe) -> tuple[subprocess.Popen[str], list[int]]:
    """A run on two ranks that has written a checkpoint, and the process ids of its ranks."""
    process = _start(place, recipe)
    _wait_for_step(place, process, 8)
    ranks = _rank_processes(place)
    assert len(ranks) == 2
    return process, ranks


def _resumed(place: Path, recipe: Recipe) -> list[float]:
    """The losses of a killed run after a second run that resumed from its checkpoint."""
    assert _start(place, recipe).wait() == 0
    assert "resume_from_checkpoint" in next(place.glob("work/train/*/config.yaml")).read_text()
    return _losses(place / "loss.csv")


def test_a_killed_rank_ends_the_run_with_an_error_and_the_next_run_resumes(
    inputs: Path, tmp_path: Path, single: dict[str, Path]
) -> None:
    recipe, deepspeed = METHODS["zero2-full"]
    two = recipe.replace(ranks=2, deepspeed=deepspeed)
    place = _place(tmp_path / "killed", inputs)
    process, ranks = _underway(place, two)
    os.kill(ranks[1], signal.SIGKILL)
    _, error = process.communicate()
    assert process.returncode != 0 and "test: the trainer ended with status" in error
    assert _all_ended(ranks)
    assert not (place / "output").exists()
    whole = _losses(single["zero2-full"] / "loss.csv")
    assert _resumed(place, two) == pytest.approx(whole, rel=1.0e-4)


def test_the_ranks_of_a_killed_launcher_end_and_the_next_run_resumes(
    inputs: Path, tmp_path: Path, single: dict[str, Path]
) -> None:
    recipe, deepspeed = METHODS["zero3-lora"]
    two = recipe.replace(ranks=2, deepspeed=deepspeed)
    place = _place(tmp_path / "killed", inputs)
    process, ranks = _underway(place, two)
    process.kill()
    assert _all_ended(ranks)
    whole = _losses(single["zero3-lora"] / "loss.csv")
    assert _resumed(place, two) == pytest.approx(whole, rel=1.0e-4)


@pytest.fixture
def port() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    yield str(number)


def test_two_nodes_train_one_model_and_only_node_0_writes_it(
    inputs: Path, tmp_path: Path, single: dict[str, Path], port: str
) -> None:
    store = {"TEXT2SQL_WORK": str(tmp_path / "work")}
    master = {"NNODES": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port} | store
    places = [_place(tmp_path / f"node{rank}", inputs) for rank in range(2)]
    nodes: list[Any] = [_start(place, FULL, NODE_RANK=str(n), **master) for n, place in enumerate(places)]
    errors = [node.communicate()[1] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], errors
    assert _losses(places[0] / "loss.csv") == pytest.approx(
        _losses(single["zero2-full"] / "loss.csv"), rel=1.0e-4
    )
    assert not (places[1] / "output").exists()
    assert "node 1 has finished; node 0 writes the weights" in errors[1]


def test_ranks_that_do_not_divide_the_global_batch_are_refused_before_anything_starts(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(_place(tmp_path / "here", inputs))
    with pytest.raises(Exception, match="global_batch 4 is not a multiple of device_batch 1 times 3"):
        train(FULL.replace(ranks=3), Path("base"), Path("dataset"), Path("o"), Path("l"), "test")
