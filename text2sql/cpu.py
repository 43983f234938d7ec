"""The same float32 bytes on every x86-64 CPU with AVX2.

Libraries choose their kernels by the CPU's instructions, its maker and its number of cores, and each
kernel adds up in an order of its own. `with_kernels` fixes the choice, and `use_fixed_products`
replaces the one thing that no variable fixes at an acceptable price: MKL, which multiplies torch's
matrices, has one AVX2 kernel for Intel's CPUs and another for AMD's, and in common only SSE2, at a
third of the speed (https://www.intel.com/content/www/us/en/docs/onemkl/developer-guide-linux/2025-1/
get-started-with-conditional-num-reproducibility.html).

Not covered: other versions of the libraries or of libm, a CPU without AVX2 and FMA, more than one
thread, GPUs, number types other than float32.
"""

from __future__ import annotations

import os
import platform
import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

KERNELS = "avx2-1"
"""Name of what this module fixes; it changes when the same input gives other bytes."""
_FIXED = {
    "ATEN_CPU_CAPABILITY": "avx2",  # torch's own kernels
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "COMPATIBLE",  # AVX2 is for Intel's CPUs only
    "OPENBLAS_CORETYPE": "Haswell",  # numpy's products
}


def allowed_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0))


def with_kernels(environment: Mapping[str, str], threads: int, fixed: bool = True) -> dict[str, str]:
    """`environment` for a process whose torch and numpy are to use `threads` threads.

    It counts for libraries that are loaded later. Kernels are fixed if `fixed`, and for one thread only:
    with more, or in bf16, speed is what matters, and the libraries choose what is fastest.
    """
    numbers = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    if not has_avx2():
        return {**environment, **numbers}
    free = {name: value for name, value in environment.items() if name not in _FIXED}
    return {**free, **numbers, **(_FIXED if fixed and threads == 1 else {})}


def fix_kernels(threads: int) -> None:
    """Bring `with_kernels` into this process; to be called before torch and numpy are loaded."""
    wanted = with_kernels(os.environ, threads)
    for name in set(os.environ) - set(wanted):
        del os.environ[name]
    os.environ.update(wanted)


@cache
def has_avx2() -> bool:
    """Whether this is an x86-64 CPU (of Linux) with AVX2 and FMA."""
    return platform.machine() == "x86_64" and {"avx2", "fma"} <= cpu_flags()


def has_fast_bf16() -> bool:
    """Whether this CPU (of Linux) multiplies bfloat16; others convert each number first, which is slower."""
    return bool({"avx512_bf16", "amx_bf16"} & cpu_flags())


def cpu_flags() -> set[str]:
    """What the first core can do, in Linux's words."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((set(line.split()[2:]) for line in lines if line.startswith("flags")), set())


@cache
def use_fixed_products() -> None:
    """From now on torch multiplies float32 matrices on this CPU as numpy does.

    numpy's OpenBLAS has one AVX2 kernel for all makers (OPENBLAS_CORETYPE) and is as fast as MKL. The
    fused attention of torch calls MKL from within, so attention is computed in separate steps. All that
    is not replaced stays with MKL. Gradients are as before: they are made of the same products.
    """
    import torch

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"[\s\S]*Overriding a previously registered kernel")
        for name, kernel in (("mm", _mm), ("bmm", _bmm), ("addmm", _addmm), ("sqrt", _sqrt)):
            _library().impl(name, kernel, "CPU")
    torch.backends.cuda.enable_flash_sdp(False)  # despite its name also of the CPU


@cache
def _library() -> Any:
    """The replaced kernels live as long as this object."""
    import torch

    return torch.library.Library("aten", "IMPL")


def _mm(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """(n, k) times (k, m)."""
    return _product(left, right, (left.shape[0], right.shape[1]))


def _bmm(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """(b, n, k) times (b, k, m)."""
    return _product(left, right, (*left.shape[:2], right.shape[2]))


def _addmm(
    bias: torch.Tensor, left: torch.Tensor, right: torch.Tensor, *, beta: float = 1, alpha: float = 1
) -> torch.Tensor:
    """`beta` times the bias plus `alpha` times (n, k) times (k, m)."""
    product = _mm(left, right)
    return (product if alpha == 1 else product.mul_(alpha)).add_(bias, alpha=beta)


def _sqrt(values: torch.Tensor) -> torch.Tensor:
    """Roots as IEEE 754 rounds them; MKL's begin with an approximation that differs between makers."""
    import numpy as np
    import torch

    values = values.detach()
    roots = torch.empty_like(values, dtype=torch.result_type(values, 1.0))
    if values.dtype is not torch.float32:
        return torch.sqrt(values, out=roots)
    with np.errstate(invalid="ignore"):  # torch says nothing of negative values either
        np.sqrt(values.numpy(), out=roots.numpy())
    return roots


def _product(left: torch.Tensor, right: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    import numpy as np
    import torch

    left, right = left.detach(), right.detach()
    product = left.new_empty(shape)
    if left.dtype is not torch.float32 or right.dtype is not torch.float32:
        return torch.matmul(left, right, out=product)
    np.matmul(left.numpy(), right.numpy(), out=product.numpy())
    return product
