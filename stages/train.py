"""Train an arm of your own, with its settings in section `train` of params.yaml."""

from __future__ import annotations

from pathlib import Path

import click

from stages._main import stage_main
from stages._params import load_params, require_entry
from stages._train import training_options, write_empty_outputs
from text2sql.errors import UserError
from text2sql.training.own_data import training_data
from text2sql.training.run import train


@click.command(help=__doc__)
@click.option("--arm", required=True, help="Arm in section train of params.yaml.")
@training_options
@stage_main
def main(
    arm: str,
    base: Path,
    dataset: Path,
    output: Path,
    loss: Path,
    throughput: Path,
    validation: Path,
    databases: Path,
) -> None:
    params = load_params()
    require_entry("train", params.train, arm)
    own, section, label = params.train[arm], f"train.{arm}", f"train_{arm}"
    if not own.enabled:
        write_empty_outputs(section, output, loss, label, throughput, validation)
        return
    _check_base(base, section)
    data = training_data(dataset, own.sources, section)
    recipe = params.recipe(section)
    train(recipe, base, data, output, loss, label, throughput, validation, databases)


def _check_base(base: Path, section: str) -> None:
    if (base / "adapter_config.json").is_file():
        raise UserError(
            f"{section}.base: {base} is a LoRA adapter, and training starts from a complete model; merge it "
            f"(`text2sql merge --adapter {base} --output FOLDER`) and name the merged folder"
        )
    if not (base / "config.json").is_file():
        raise UserError(f"{section}.base: {base} has no config.json, so it is no model; name a model folder")


if __name__ == "__main__":
    main()
