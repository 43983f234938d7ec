"""Kernels of the CPU: which are chosen, and that their replacements compute the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from text2sql import cpu

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(not cpu.has_avx2(), reason="this CPU has no AVX2 and FMA")

STAGES = sorted(path.stem for path in ROOT.glob("stages/*.py") if not path.stem.startswith("_"))
# What a user's shell or another CPU would have libraries choose.
OTHER = {
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "MKL_CBWR": "AUTO",
    "OPENBLAS_CORETYPE": "Prescott",
    "OMP_NUM_THREADS": "2",
    "OPENBLAS_NUM_THREADS": "2",
}
# Imports stages, each in a process of its own, and says what was loaded before the settings were made.
_EARLY = """
import builtins, importlib, json, os, sys
plain = builtins.__import__
def watching(name, *rest):
    if name.split(".")[0] in ("numpy", "torch") and os.environ["ATEN_CPU_CAPABILITY"] != "avx2":
        print(sys.argv[1], "loads", name)
    return plain(name, *rest)
builtins.__import__ = watching
importlib.import_module("stages." + sys.argv[1])
"""
# Says what torch and numpy choose in a process of a stage.
_CHOSEN = """
import ctypes, json
from pathlib import Path
import stages
import numpy, torch
(library,) = Path(numpy.__file__).parents[1].glob("numpy.libs/libscipy_openblas*")
name = ctypes.CDLL(str(library)).scipy_openblas_get_corename64_
name.restype = ctypes.c_char_p
print(json.dumps([torch.backends.cpu.get_cpu_capability(), torch.get_num_threads(), name().decode()]))
"""


def in_a_users_shell(*command: str) -> str:
    """What Python prints where other kernels are chosen."""
    environment = os.environ | OTHER | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", *command], env=environment, stdout=subprocess.PIPE, check=True
    )
    return done.stdout.decode()


@pytest.fixture(scope="module", autouse=True)
def fixed() -> None:
    cpu.use_fixed_products()


@pytest.mark.slow
def test_stages_fix_the_kernels_before_they_load_numpy_or_torch() -> None:
    assert "predict" in STAGES
    assert "".join(in_a_users_shell(_EARLY, stage) for stage in STAGES) == ""


def test_the_fixed_kernels_are_those_that_torch_and_numpy_choose() -> None:
    assert json.loads(in_a_users_shell(_CHOSEN).splitlines()[-1]) == ["AVX2", 1, "Haswell"]


def test_settings_name_every_library_and_override_the_users() -> None:
    fixed = cpu.with_kernels(OTHER | {"HOME": "/home"}, 1)
    assert fixed.keys() == OTHER.keys() | {"HOME"}
    assert not [name for name, value in OTHER.items() if fixed[name] == value]


@pytest.mark.parametrize(("threads", "fixed"), [(8, True), (1, False)])
def test_with_several_threads_or_in_bf16_the_libraries_choose(threads: int, fixed: bool) -> None:
    numbers = {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
    assert cpu.with_kernels(cpu.with_kernels({}, 1), threads, fixed) == numbers


def test_this_process_can_be_fixed_and_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OTHER:
        monkeypatch.setenv(name, "before")
    cpu.fix_kernels(1)
    assert os.environ["ATEN_CPU_CAPABILITY"] == "avx2"
    cpu.fix_kernels(2)
    assert "ATEN_CPU_CAPABILITY" not in os.environ and os.environ["OMP_NUM_THREADS"] == "2"


def test_a_cpu_without_avx2_is_left_alone_but_for_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "has_avx2", lambda: False)
    numbers = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    assert cpu.with_kernels({"MKL_CBWR": "AUTO"}, 1) == numbers | {"MKL_CBWR": "AUTO"}


@pytest.mark.parametrize("kind", ["float32", "float64", "bfloat16", "int64"])
def test_products_are_those_of_float64(kind: str) -> None:
    dtype = getattr(torch, kind)
    left, right = torch.randn(2, 33, 70).mul(4), torch.randn(2, 70, 19).mul(4)
    left, right, bias = left.to(dtype), right.to(dtype), torch.arange(19).to(dtype)
    exact = left.double() @ right.double()
    near = {"rtol": 2e-2, "atol": 2.0} if kind == "bfloat16" else {"rtol": 1e-5, "atol": 1e-3}
    assert torch.bmm(left, right).dtype == dtype
    torch.testing.assert_close(torch.bmm(left, right).double(), exact, **near)
    torch.testing.assert_close((left[0] @ right[0]).double(), exact[0], **near)
    sums = torch.addmm(bias, left[0], right[0], beta=3, alpha=2).double()
    torch.testing.assert_close(sums, 3 * bias.double() + 2 * exact[0], **near)


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_products_take_views_of_any_order_and_size(rows: int) -> None:
    left, right = torch.randn(7, rows).mT, torch.randn(6, 14)[:, ::2].mT
    torch.testing.assert_close(left @ right, (left.double() @ right.double()).float())


def test_gradients_flow_through_products() -> None:
    left, right = torch.randn(4, 3, requires_grad=True), torch.randn(3, 5, requires_grad=True)
    (left @ right).square().sum().backward()
    exact = 2 * left.detach() @ right.detach()
    torch.testing.assert_close(left.grad, exact @ right.detach().mT)
    torch.testing.assert_close(right.grad, left.detach().mT @ exact)


def test_roots_are_correctly_rounded() -> None:
    values = torch.rand(10_000) * 1e4
    assert torch.equal(values.sqrt(), values.double().sqrt().float())
    assert torch.equal(torch.tensor([4, 9]).sqrt(), torch.tensor([2.0, 3.0]))
    assert torch.tensor(-1.0).sqrt().isnan()


def test_attention_is_made_of_these_products() -> None:
    query, key, value = torch.randn(3, 1, 2, 9, 8)
    found = torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    weights = (query @ key.mT / 8**0.5).masked_fill(torch.ones(9, 9).triu(1).bool(), -torch.inf)
    torch.testing.assert_close(found, weights.softmax(-1) @ value)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    assert not [event.key for event in profile.key_averages() if "flash" in event.key]


def test_the_report_of_hashes_names_the_cpu_and_every_output(tmp_path: Path) -> None:
    made = (
        *("models/base", "data/drafted/mine", "data/context/mine", "metrics/full.json"),
        *("metrics/rank_by_draft/mine.json", "metrics/context/mine.json"),
    )
    files = (f"{made[0]}/model.safetensors", f"{made[1]}/test.jsonl", f"{made[2]}/test/test.jsonl", *made[3:])
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    command = [sys.executable, str(ROOT / "scripts" / "hashes.py")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("cpu ") and "avx2=1" in lines[1] and "torch=" in lines[3]
    assert [line.split()[1] for line in lines[4:]] == list(made)
