"""Which GPUs a process may use."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from tests.gpu_machine import gpu_machine
from text2sql.gpus import Gpu, environment, visible_gpus

LARGE = Gpu("NVIDIA H200", 141 << 30, "0", "GPU-00-ab")
SMALL = Gpu("NVIDIA H200", 46 << 30, "1", "GPU-11-ab")


@pytest.mark.parametrize(
    ("named", "found"),
    [
        (None, [LARGE, SMALL]),
        ("1", [SMALL]),
        ("1, 0", [SMALL, LARGE]),
        ("", []),
        ("-1", []),
        ("0,7,1", [LARGE]),
        ("0,0", []),
        ("GPU-11-ab", [SMALL]),
        ("GPU-0", [LARGE]),
        ("GPU-9", []),
    ],
)
def test_gpus_are_those_that_cuda_visible_devices_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str | None, found: list[Gpu]
) -> None:
    gpu_machine(monkeypatch, tmp_path, 141, 46)
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert visible_gpus() == found


def test_a_mig_slice_keeps_its_name_and_has_the_memory_of_the_first_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu_machine(monkeypatch, tmp_path, 141)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-a,MIG-b")
    assert [gpu.memory for gpu in visible_gpus()] == [141 << 30] * 2
    assert environment(visible_gpus())["CUDA_VISIBLE_DEVICES"] == "MIG-a,MIG-b"


def test_a_process_gets_numbers_in_the_order_of_nvidia_smi() -> None:
    assert environment([SMALL]) == {"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def test_without_nvidia_smi_there_are_no_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu_machine(monkeypatch, tmp_path, 141)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_gpus() == []


def test_with_a_cpu_build_of_torch_there_are_no_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu_machine(monkeypatch, tmp_path, 141)
    monkeypatch.setattr(importlib.metadata, "version", lambda package: "2.13.0+cpu")
    assert visible_gpus() == []
