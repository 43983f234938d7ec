"""Print this machine's CPU and the hashes of what the pipeline made, to compare two machines.

`python -m scripts.hashes` in the checkout, after `make reproduce`. docs/reproducibility.md says which
hashes should be equal.
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterator
from pathlib import Path

from text2sql.cpu import KERNELS, allowed_cores, cpu_flags
from text2sql.workstore import hash_path

OUTPUTS = (
    *("models/*", "data/index", "data/examples", "data/drafted/*", "data/context/*", "data/predictions/*"),
    *("metrics/*.*", "metrics/rank_by_draft/*", "metrics/context/*", "metrics/loss/*"),
)
PACKAGES = ("torch", "numpy", "transformers", "llamafactory", "peft", "tokenizers")
FLAGS = ("avx2", "fma", "avx512f", "avx512_bf16", "amx_tile")  # what kernels are chosen by


def main() -> None:
    print("\n".join([*machine(), *hashes(Path())]))


def machine() -> Iterator[str]:
    """The CPU by name, what it can do, and the versions of what computes."""
    flags = cpu_flags()
    yield f"cpu       {cpu_name()}, {allowed_cores()} cores"
    yield f"flags     {' '.join(f'{flag}={int(flag in flags)}' for flag in FLAGS)}"
    yield f"kernels   {KERNELS}, libc {' '.join(platform.libc_ver())}, Python {platform.python_version()}"
    yield f"packages  {' '.join(f'{name}={importlib.metadata.version(name)}' for name in PACKAGES)}"


def cpu_name() -> str:
    """The first core's name, family, model and stepping, as Linux gives them."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    numbers = [f"{name} {fields.get(name, '?')}" for name in ("cpu family", "model", "stepping")]
    return f"{fields.get('model name', platform.machine())} ({', '.join(numbers)})"


def hashes(checkout: Path) -> Iterator[str]:
    """The first 16 hex digits of the SHA-256 of every output that is there."""
    for path in (path for pattern in OUTPUTS for path in sorted(checkout.glob(pattern))):
        if not path.name.startswith(".") and path.name != "README.md":
            yield f"{hash_path(path)[:16]}  {path.relative_to(checkout)}"


if __name__ == "__main__":
    main()
