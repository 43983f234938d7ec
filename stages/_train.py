"""Shared by the training stages: their command line, and arms that are switched off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from stages._main import stage_main
from stages._params import load_params
from text2sql.training.run import train, write_loss
from text2sql.training.throughput import write_throughput
from text2sql.training.validation import write_validation

_FILE = click.Path(path_type=Path)
_OPTIONS = (
    click.option("--base", type=_FILE, required=True, help="Folder of the model to train."),
    click.option(
        "--train", "dataset", type=_FILE, required=True, help="Folder with LLaMA-Factory's data set."
    ),
    click.option("--output", type=_FILE, required=True, help="Folder for the trained weights."),
    click.option("--loss", type=_FILE, required=True, help="CSV file for the loss by step."),
    click.option(
        "--throughput", type=_FILE, required=True, help="Folder for CSV files of the speed by step."
    ),
    click.option(
        "--validation", type=_FILE, required=True, help="CSV file for measurements on held-out rows."
    ),
    click.option("--databases", type=_FILE, required=True, help="Folder of the training sources' databases."),
)


def training_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give `command` the options of every training stage, in this order."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def training_command(stage: str, section: str) -> click.Command:
    """The command of the training stage `stage`, whose settings are in `section` of params.yaml."""

    @click.command(name=stage)
    @training_options
    @stage_main
    def command(
        base: Path,
        dataset: Path,
        output: Path,
        loss: Path,
        throughput: Path,
        validation: Path,
        databases: Path,
    ) -> None:
        params = load_params()
        if params.trained()[section].enabled:
            recipe = params.recipe(section)
            train(recipe, base, dataset, output, loss, stage, throughput, validation, databases)
        else:
            write_empty_outputs(section, output, loss, stage, throughput, validation)

    return command


def write_empty_outputs(
    section: str, output: Path, loss: Path, stage: str, throughput: Path, validation: Path
) -> None:
    """The outputs of an arm that is not trained: no weights, no losses, no speed, no measurements."""
    click.echo(f"{section}.enabled is false, so {output} is left empty", err=True)
    output.mkdir(parents=True, exist_ok=True)
    write_loss([], loss)
    write_throughput([], throughput, stage)
    write_validation([], validation)
