"""A machine with GPUs, as far as nvidia-smi tells: a stand-in for it on PATH, and a CUDA build of torch."""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path

import pytest

BUILD = """
import importlib.metadata as metadata
version = metadata.version
metadata.version = lambda name: "2.13.0+cu130" if name == "torch" else version(name)
"""
"""A line for a script that is to see the GPUs: it takes torch for a CUDA build."""


def gpu_machine(monkeypatch: pytest.MonkeyPatch, folder: Path, *gibibytes: int) -> None:
    """Give this process, and those that it starts, GPUs with these memories, and locks in `folder`."""
    lines = [f"{n}, GPU-{n}{n}-ab, {size << 10}, NVIDIA H200" for n, size in enumerate(gibibytes)]
    program = folder / "bin" / "nvidia-smi"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\ncat <<END\n" + "\n".join(lines) + "\nEND\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    version = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "2.13.0+cu130" if name == "torch" else version(name)
    )
