"""Checks on a GPU what the tests cannot check without one, in parts; scripts/gpu_check.sh starts it."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from scripts import gpu_parts
from scripts.gpu_parts import Place, Report
from scripts.profiles import ROOT
from text2sql.processes import die_with_parent
from text2sql.training.preflight import installed

RESULTS = ROOT / ".work" / "gpu_check"
_INSTALL = "configs/requirements-gpu.txt says how to install it"


@dataclass(frozen=True)
class Part:
    """A part: what it checks, how long it should take on an H100 (seconds), what it needs."""

    what: str
    run: Callable[[Place, Report], None]
    seconds: int
    packages: tuple[str, ...] = ()
    data: bool = False
    modules: tuple[str, ...] = ()

    @property
    def limit(self) -> int:
        """Seconds after which it is stopped."""
        return 3 * self.seconds

    def missing(self) -> list[str]:
        """A sentence for each thing that this machine lacks."""
        lacking = [f"{name} is not installed; {_INSTALL}" for name in self.packages if not installed(name)]
        lacking += [f"{name} is not installed; {_INSTALL}" for name in self.modules if not _importable(name)]
        data = gpu_parts.data_missing() if self.data else None
        return [*lacking, *([data] if data else [])]


# Estimates, from single trainings on an H200: about 25 seconds to start one, 2 to 10 for its steps.
PARTS = {
    "spider": Part("SmolLM2-135M trained on Spider, predicted, scored", gpu_parts.spider, 180, data=True),
    "speed": Part("tokens/s and MFU of both recipes for Qwen3-1.7B", gpu_parts.speed, 150),
    "labelled": Part("loss of labelled tokens only equals that of all", gpu_parts.labelled, 20),
    "liger": Part("losses with Liger equal plain ones", gpu_parts.liger, 55, ("liger-kernel",)),
    "8bit": Part("losses with 8-bit moments equal plain ones", gpu_parts.moments, 30, ("bitsandbytes",)),
    "flash": Part(
        "losses with flash attention equal plain ones", gpu_parts.flash_attention, 30, ("flash-attn",)
    ),
    "memory": Part("peak memory against the estimate, row by row", gpu_parts.memory, 150),
    "megatron": Part(
        "losses with Megatron equal plain ones",
        gpu_parts.megatron,
        60,
        ("megatron-core",),
        modules=("mcore_adapter",),
    ),
    "vllm": Part("vLLM's answers equal transformers'", gpu_parts.vllm, 120, ("vllm",), data=True),
}


@click.command()
@click.option("--part", "chosen", multiple=True, type=click.Choice(list(PARTS)), help="Only this part.")
@click.option("--again", is_flag=True, help="Run parts again that have passed.")
@click.option("--dry-run", is_flag=True, help="List the parts, and what this machine lacks for them.")
@click.option("--tiny", is_flag=True, help="Try the parts themselves with a tiny model, also on a CPU.")
@click.option("--results", type=click.Path(path_type=Path), default=RESULTS, help="Folder of the results.")
@click.option("--child", hidden=True, is_flag=True)
def main(chosen: tuple[str, ...], again: bool, dry_run: bool, tiny: bool, results: Path, child: bool) -> None:
    """Check training and prediction on a GPU, with limits; exit status 1 if a part failed.

    A part that has passed is not run again: its lines are printed from the folder of the results.
    """
    names = chosen or tuple(PARTS)
    place = Place(results.resolve() / ("tiny" if tiny else "full"), tiny)
    if dry_run:
        for line in listed(names):
            click.echo(line)
    elif gpu_parts.device_name() == "CPU" and not tiny:
        sys.exit("no GPU is visible (see nvidia-smi); `scripts/gpu_check.sh --dry-run` lists the parts")
    else:
        place.folder.mkdir(parents=True, exist_ok=True)
        click.echo(f"{gpu_parts.device_name()}, results in {place.folder}")
        sys.stdout.flush()  # the parts' processes begin with an empty buffer
        good = [passed(name, place, again) for name in names]
        sys.exit(0 if all(good) else 1)


def listed(names: tuple[str, ...]) -> Iterator[str]:
    """A line for each part, and one for each thing that it lacks."""
    for name in names:
        part = PARTS[name]
        yield f"{name:<9} about {part.seconds:>3} s  {part.what}"
        for sentence in part.missing():
            yield f"{'':<9} lacks: {sentence}"
    if gpu_parts.device_name() == "CPU":
        yield "no GPU is visible (see nvidia-smi), so none of them runs here"


def passed(name: str, place: Place, again: bool) -> bool:
    """Print the lines of a part, from an earlier run or from a new one; returns whether all are good."""
    lines = read_result(place.folder / f"{name}.jsonl")
    if lines and not again:
        for line in lines:
            click.echo(f"{line['text']} (earlier run)")
        return True
    lacking = PARTS[name].missing()
    if lacking:
        click.echo(f"{name}: skipped: {'; '.join(lacking)}")
        return True
    return _run_part(name, place)


def _run_part(name: str, place: Place) -> bool:
    """Run a part in a process of its own, so that a crash or a hang ends only that part."""
    limit = PARTS[name].limit
    log = place.folder / f"{name}.log"
    started = time.monotonic()
    process = multiprocessing.get_context("fork").Process(target=_with_log, args=(name, place, log))
    process.start()
    process.join(limit)
    if process.is_alive():
        process.kill()  # and with it what it started, see die_with_parent
        process.join()
        click.echo(f"{name}: FAILED: stopped after {limit} s; read {log}")
        return False
    if process.exitcode not in (0, 1):
        click.echo(f"{name}: FAILED: status {process.exitcode}; read {log}")
    click.echo(f"{name}: took {time.monotonic() - started:.0f} s")
    return process.exitcode == 0


def _with_log(name: str, place: Place, log: Path) -> None:
    die_with_parent()
    with open(log, "wb") as file:
        os.dup2(file.fileno(), 2)  # stderr, also of what it starts
    run_here(name, place)


def run_here(name: str, place: Place) -> None:
    """Run a part in this process; its lines go to stdout and to NAME.jsonl, which ends with a mark."""
    file = place.folder / f"{name}.jsonl"
    bad: list[str] = []

    def report(text: str, good: bool) -> None:
        bad.extend([] if good else [text])
        _append(file, {"text": text, "good": good})
        print(text if good else f"{text}: FAILED", flush=True)

    file.unlink(missing_ok=True)
    try:
        PARTS[name].run(place, report)
    except Exception as error:  # of any library: the other parts run
        traceback.print_exc()
        report(f"{name}: {type(error).__name__}: {error}", False)
    if not bad:
        _append(file, {"complete": True})
    sys.exit(1 if bad else 0)


def _append(file: Path, line: dict[str, object]) -> None:
    with open(file, "a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")


def read_result(file: Path) -> list[dict[str, object]]:
    """The lines of a part that has passed; none if it has not."""
    if not file.is_file():
        return []
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return lines[:-1] if lines and "complete" in lines[-1] else []


def _importable(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


if __name__ == "__main__":
    main()
