"""One rank of a training: LLaMA-Factory's trainer with our eyes in it. `launch` starts it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
import yaml

from text2sql.cpu import use_fixed_products
from text2sql.processes import die_with_parent


@click.command(help=__doc__)
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--save-minutes", type=float, help="A checkpoint also after so many minutes.")
def main(config: Path, save_minutes: float | None) -> None:
    """Train as `config` says; why it was stopped is left in fault.txt beside it."""
    die_with_parent()  # of several ranks the parent is torchrun
    import torch
    from llamafactory.train.tuner import run_exp

    from text2sql.training.muon import use_float32
    from text2sql.training.watch import NonFiniteLoss, Watch

    arguments = yaml.safe_load(config.read_text(encoding="utf-8"))
    if not torch.cuda.is_available():
        if arguments["use_muon"]:
            use_float32()
        if torch.get_num_threads() == 1:
            use_fixed_products()
    watch = Watch(config.parent, save_minutes, sees_batches=os.environ.get("USE_MCA") != "1")
    try:
        run_exp(arguments, callbacks=[watch])
    except NonFiniteLoss as error:
        (config.parent / "fault.txt").write_text(str(error), encoding="utf-8")
        sys.exit(str(error))


if __name__ == "__main__":
    main()
