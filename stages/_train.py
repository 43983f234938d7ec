"""What the four training stages share: their command line."""

from __future__ import annotations

from pathlib import Path

import click

from stages._main import stage_main
from stages._params import load_params
from text2sql.training.run import train, write_loss
from text2sql.training.throughput import write_throughput


def training_command(stage: str, section: str) -> click.Command:
    """The command of the training stage `stage`, whose parameters lie in `section` of params.yaml."""

    @click.command(name=stage)
    @click.option("--base", type=Path, required=True, help="Folder of the base model.")
    @click.option("--train", "dataset", type=Path, required=True, help="LLaMA-Factory dataset folder.")
    @click.option("--output", type=Path, required=True, help="Folder of the trained weights.")
    @click.option("--loss", type=Path, required=True, help="CSV of the loss by step.")
    @click.option("--throughput", type=Path, required=True, help="Folder for CSVs of the speed by step.")
    @stage_main
    def command(base: Path, dataset: Path, output: Path, loss: Path, throughput: Path) -> None:
        params = load_params()
        if params.trained()[section].enabled:
            train(params.recipe(section), base, dataset, output, loss, stage, throughput)
        else:
            _leave_empty(section, output, loss)
            write_throughput([], throughput, stage)

    return command


def _leave_empty(section: str, output: Path, loss: Path) -> None:
    click.echo(f"{section}.enabled is false: {output} stays empty", err=True)
    output.mkdir(parents=True, exist_ok=True)
    write_loss([], loss)
