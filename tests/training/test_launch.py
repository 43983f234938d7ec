"""The command and environment of the ranks of one machine, and a failing conversion from Megatron."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.gpu_machine import gpu_machine
from tests.training.test_memory import MEGATRON, RECIPE
from text2sql.errors import UserError
from text2sql.training import launch as launching
from text2sql.training.launch import command, environment
from text2sql.training.megatron import convert_to_hugging_face
from text2sql.training.nodes import Nodes

CONFIG = Path("config.yaml")
WORKER = ["-m", "text2sql.training.worker", "config.yaml"]


def test_one_rank_is_one_plain_process() -> None:
    assert command(RECIPE, CONFIG, Nodes()) == [sys.executable, *WORKER]


@pytest.mark.parametrize(
    "changes",
    [{"ranks": 2}, {"deepspeed": "z3"}, {"megatron": MEGATRON, "ranks": 2}],
    ids=lambda changes: next(iter(changes)),
)
def test_several_ranks_deepspeed_and_megatron_go_through_torchrun(changes: dict[str, object]) -> None:
    recipe = RECIPE.replace(**changes)
    torchrun = ["-m", "torch.distributed.run", f"--nproc-per-node={recipe.ranks}", "--standalone"]
    assert command(recipe, CONFIG, Nodes()) == [sys.executable, *torchrun, *WORKER]


def test_the_ranks_of_several_machines_connect_to_node_0() -> None:
    words = command(RECIPE.replace(ranks=4), CONFIG, Nodes(2, 1, "10.0.0.1", 29500))
    expected = {
        "--nproc-per-node=4",
        "--nnodes=2",
        "--node-rank=1",
        "--master-addr=10.0.0.1",
        "--master-port=29500",
    }
    assert expected <= set(words) and "--standalone" not in words


def test_minutes_between_checkpoints_reach_the_worker() -> None:
    assert command(RECIPE.replace(save_minutes=20.0), CONFIG, Nodes())[-2:] == ["--save-minutes", "20.0"]


def test_steps_whose_weights_stay_reach_the_worker() -> None:
    assert command(RECIPE.replace(keep_steps=8), CONFIG, Nodes())[-2:] == ["--keep-steps", "8"]


def test_waiting_threads_sleep() -> None:
    assert environment(RECIPE)["OMP_WAIT_POLICY"] == "passive"


@pytest.mark.parametrize(("megatron", "flag"), [(None, "0"), (MEGATRON, "1")], ids=["off", "on"])
def test_use_mca_switches_megatron(megatron: object, flag: str) -> None:
    assert environment(RECIPE.replace(ranks=2, megatron=megatron))["USE_MCA"] == flag


@pytest.mark.parametrize(
    ("ranks", "chosen", "given"),
    [(1, None, "0"), (2, None, "0,1"), (1, "3", "3"), (2, "3,1", "3,1")],
)
def test_each_rank_has_a_gpu_of_its_own_among_those_that_the_user_chose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ranks: int, chosen: str | None, given: str
) -> None:
    gpu_machine(monkeypatch, tmp_path, 80, 80, 80, 80)
    if chosen:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    show = [sys.executable, "-c", "import os; print(os.environ['CUDA_VISIBLE_DEVICES'])"]
    monkeypatch.setattr(launching, "command", lambda *_: show)
    assert launching.run_ranks(RECIPE.replace(ranks=ranks), tmp_path, Nodes(), "train") == 0
    assert (tmp_path / "train.log").read_text() == f"{given}\n"


def test_a_conversion_that_fails_shows_why(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train_full: mcore_adapter could not convert[\s\S]*mcore_adapter"):
        convert_to_hugging_face(tmp_path / "run", tmp_path / "out", tmp_path / "base", "train_full")


FULL = r"^train: the disk of {} is full \({} bytes free\); free some, then `dvc repro`, which resumes$"


@pytest.mark.parametrize(
    ("free", "said"),
    [
        (4096, ""),
        (5_000_000_000, "OSError: [Errno 28] No space left on device"),
        (5_000_000_000, "OSError: [Errno 122] Disk quota exceeded"),
    ],
)
def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, said: str) -> None:
    monkeypatch.setattr(launching.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(free, 0, free))
    script = f"import sys; print('step 1'); sys.exit({said!r} or 1)"
    monkeypatch.setattr(launching, "command", lambda *_: [sys.executable, "-c", script])
    with pytest.raises(UserError, match=FULL.format(tmp_path, f"{free:,}")):
        launching.launch(RECIPE, {}, tmp_path, Nodes(), "train")


def test_a_trainer_that_fails_for_another_reason_shows_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launching, "command", lambda *_: [sys.executable, "-c", "raise ValueError('odd')"])
    with pytest.raises(UserError, match=r"train: the trainer ended with status 1[\s\S]*ValueError: odd"):
        launching.launch(RECIPE, {}, tmp_path, Nodes(), "train")
