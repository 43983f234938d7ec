"""One rank of a training: LLaMA-Factory's trainer with our eyes in it. `launch` starts it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

import click
import yaml

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends, so that nobody goes on writing unwatched."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@click.command(help=__doc__)
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--save-minutes", type=float, help="A checkpoint also after so many minutes.")
def main(config: Path, save_minutes: float | None) -> None:
    """Train as `config` says; why it was stopped is left in fault.txt beside it."""
    die_with_parent()  # of several ranks the parent is torchrun
    from llamafactory.train.tuner import run_exp

    from text2sql.training.watch import NonFiniteLoss, Watch

    arguments = yaml.safe_load(config.read_text(encoding="utf-8"))
    watch = Watch(config.parent, save_minutes, sees_batches=os.environ.get("USE_MCA") != "1")
    try:
        run_exp(arguments, callbacks=[watch])
    except NonFiniteLoss as error:
        (config.parent / "fault.txt").write_text(str(error), encoding="utf-8")
        sys.exit(str(error))


if __name__ == "__main__":
    main()
