"""How fast training is, and how much of the device that uses."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from text2sql.files import replacing

QUANTITIES = ("tokens_per_s", "mfu")  # of a line, beside its step; MFU where the peak is known

# Dense bf16 operations a second, from NVIDIA's data sheets; the first name that the device's contains counts.
_PEAK = {
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "RTX 4090": 165e12,
}


def flops_per_token(parameters: int, trainable: int) -> int:
    """Floating-point operations of one trained token: 6 a weight (Chowdhery et al. 2022, appendix B).

    Two of the six are the gradient of the weight itself, which frozen weights do not need. Attention's own
    products are left out, so utilisation is understated, by some percent at lengths of about 1,000 tokens.
    """
    return 4 * parameters + 2 * trainable


def peak_flops(device: str) -> float | None:
    """Dense bf16 operations a second of a device by its CUDA name; None where it is not known."""
    return next((peak for name, peak in _PEAK.items() if name in device), None)


def read_throughput(log: Path) -> list[dict[str, float]]:
    """The lines of a throughput.jsonl in the order of their steps; none where there is no such file.

    A resumed training writes on in the file of the killed one, and trains the steps after its checkpoint
    again: of two lines of one step the later counts. A line that a full disk or a kill has torn is left
    out, and so is the one after it, which was written onto its end.
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

    A file of an earlier run is replaced, or removed where `lines` have nothing in its place. Quantities
    have files of their own because DVC draws one column of a file.
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
