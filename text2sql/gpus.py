"""The GPUs that this process may use, as nvidia-smi lists them and CUDA_VISIBLE_DEVICES restricts them."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
from dataclasses import dataclass, replace

VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Gpu:
    """A GPU; memory in bytes. `number` is what CUDA_VISIBLE_DEVICES calls it, `uuid` names it for good."""

    name: str
    memory: int
    number: str = "0"
    uuid: str = ""


def visible_gpus() -> list[Gpu]:
    """The GPUs that CUDA_VISIBLE_DEVICES allows; none if torch is a CPU build or nvidia-smi is missing.

    A device is given by nvidia-smi's number or by its UUID or the beginning of it. As for CUDA, the list ends
    before the first entry that is no device, and is empty if one is named twice.
    Not covered: a MIG slice (MIG-...) is taken to have the memory of the machine's first GPU. With several
    kinds of GPU CUDA may number them otherwise, unless CUDA_DEVICE_ORDER is PCI_BUS_ID (see `environment`).
    """
    gpus = _machine_gpus()
    named = os.environ.get(VISIBLE)
    if named is None or not gpus:
        return gpus
    found: list[Gpu] = []
    for name in map(str.strip, named.split(",")):
        gpu = _named(name, gpus)
        if gpu is None:
            break
        found.append(gpu)
    return found if len(set(found)) == len(found) else []


def environment(gpus: list[Gpu]) -> dict[str, str]:
    """Variables that give a process these GPUs and no others; CUDA then numbers them as nvidia-smi does."""
    return {VISIBLE: ",".join(gpu.number for gpu in gpus), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def _machine_gpus() -> list[Gpu]:
    if "+cpu" in importlib.metadata.version("torch"):
        return []
    query = ["nvidia-smi", "--query-gpu=index,uuid,memory.total,name", "--format=csv,noheader,nounits"]
    try:
        listed = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    return [_gpu(line) for line in listed.splitlines() if line]


def _gpu(line: str) -> Gpu:
    number, uuid, mebibytes, name = (part.strip() for part in line.split(",", 3))
    return Gpu(name, int(mebibytes) << 20, number, uuid)


def _named(name: str, gpus: list[Gpu]) -> Gpu | None:
    """The GPU that an entry of CUDA_VISIBLE_DEVICES stands for, None if there is no such device."""
    if name.startswith("MIG-"):
        return replace(gpus[0], number=name, uuid=name)
    for gpu in gpus:
        if gpu.number == name or (name.startswith("GPU-") and gpu.uuid.startswith(name)):
            return gpu
    return None
