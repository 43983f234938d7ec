"""Training speed: tokens per second, and model FLOPs utilisation (MFU)."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from text2sql.files import replacing

QUANTITIES = ("tokens_per_s", "mfu")  # of a line, in addition to its step; MFU if the peak is known

# Dense bf16 operations per second with sums in fp32. Data sheets often state twice that, for sparse matrices.
_PEAK = {
    "GB200": 2500e12,  # NVIDIA's data sheets of the cards and servers, until another source is named
    "B200": 2250e12,
    "GH200": 989e12,
    "H200": 989e12,
    "H200 NVL": 835e12,
    "H100": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H800": 989e12,
    "H800 PCIe": 756e12,
    "H20": 148e12,
    "A100": 312e12,
    "A800": 312e12,
    "L40S": 362e12,
    "L40": 181e12,
    "RTX A6000": 155e12,
    "RTX 5090": 209e12,  # white paper "RTX Blackwell GPU architecture", appendix A
    "RTX 4090": 165e12,  # white paper "Ada GPU architecture", appendix A
    "RTX 4090 D": 147e12,  # as the 4090, with 114 of its 128 multiprocessors
    "RTX 3090": 71e12,  # white paper "Ampere GA102 GPU architecture", appendix A
}
_OTHER_CHIPS = ("Laptop", " Ti", "5090 D")  # slower or faster than the cards that they are named after


def flops_per_token(parameters: int, trainable: int) -> int:
    """Floating-point operations per training token: 6 per weight (Chowdhery et al. 2022, appendix B).

    Two of the six compute the gradient of the weight, which frozen weights do not need. The products inside
    attention are not counted, so utilisation is underestimated, by a few percent at about 1,000 tokens.
    """
    return 4 * parameters + 2 * trainable


def peak_flops(device: str) -> float | None:
    """Dense bf16 operations per second of a device with this CUDA name; None if unknown.

    Of several names in it the longest counts; "H20" is not in "H200".
    """
    if any(chip in device for chip in _OTHER_CHIPS):
        return None
    found = [name for name in _PEAK if re.search(rf"\b{name}\b", device)]
    return _PEAK[max(found, key=len)] if found else None


def read_throughput(log: Path) -> list[dict[str, float]]:
    """The lines of a throughput.jsonl, ordered by step; no lines if there is no such file.

    A resumed training appends to the file of the killed one and repeats the steps after its checkpoint: of
    two lines for one step the later one is used. A line that a full disk or a kill left incomplete is
    skipped, and with it the next one, which was appended to it.
    """
    if not log.is_file():
        return []
    lines = filter(None, map(_parsed, log.read_text(encoding="utf-8").splitlines()))
    by_step = {line["step"]: line for line in lines}
    return [by_step[step] for step in sorted(by_step)]


def _parsed(line: str) -> dict[str, float] | None:
    try:
        parsed: dict[str, float] = json.loads(line)
    except json.JSONDecodeError:
        return None
    return parsed


def write_throughput(lines: Sequence[Mapping[str, float]], folder: Path, stage: str) -> None:
    """Write `folder`/QUANTITY/`stage`.csv (step and that quantity) for every quantity in `lines`.

    A file of an earlier run is replaced, or removed if `lines` do not have its quantity. There is one file
    per quantity because DVC plots one column of a file.
    """
    for quantity in QUANTITIES:
        path = folder / quantity / f"{stage}.csv"
        rows = [(line["step"], line[quantity]) for line in lines if quantity in line]
        if not rows:
            path.unlink(missing_ok=True)
            continue
        with replacing(path) as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["step", quantity])
            writer.writerows(rows)
