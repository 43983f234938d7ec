"""One rank of a training: LLaMA-Factory's trainer with our eyes in it. `launch` starts it."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import yaml

from text2sql.cpu import use_fixed_products
from text2sql.processes import die_with_parent

if TYPE_CHECKING:
    from transformers import TrainerCallback


@click.command(help=__doc__)
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--save-minutes", type=float, help="A checkpoint also after so many minutes.")
def main(config: Path, save_minutes: float | None) -> None:
    """Train as `config` says; why it was stopped is left in fault.txt beside it."""
    die_with_parent()  # of several ranks the parent is torchrun
    gc.disable()  # what is imported stays, and looking through it takes a seventh of these seconds
    import torch
    from llamafactory.train.tuner import run_exp

    from text2sql.training.watch import NonFiniteLoss, Watch

    gc.enable()
    arguments = yaml.safe_load(config.read_text(encoding="utf-8"))
    megatron = os.environ.get("USE_MCA") == "1"
    callbacks: list[TrainerCallback] = [Watch(config.parent, save_minutes, sees_batches=not megatron)]
    if not torch.cuda.is_available() and not megatron:
        callbacks += _for_cpu(arguments)
    try:
        run_exp(arguments, callbacks=callbacks)
    except NonFiniteLoss as error:
        (config.parent / "fault.txt").write_text(str(error), encoding="utf-8")
        sys.exit(str(error))


def _for_cpu(arguments: dict[str, Any]) -> list[TrainerCallback]:
    """Number types and kernels of a CPU, and what saves it work."""
    import torch

    from text2sql.training.logits import AnswerLogits
    from text2sql.training.muon import use_float32

    if arguments["use_muon"]:
        use_float32()
    if torch.get_num_threads() == 1:
        use_fixed_products()
    return [AnswerLogits()]


if __name__ == "__main__":
    main()
