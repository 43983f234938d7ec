"""Train an arm of your own, with its settings in section `train` of params.yaml."""

from __future__ import annotations

from pathlib import Path

import click

from stages._main import stage_main
from stages._params import load_params
from stages._train import write_empty_outputs
from text2sql.errors import UserError
from text2sql.training.own_data import training_data
from text2sql.training.run import train

FOLDER = click.Path(path_type=Path)


@click.command(help=__doc__)
@click.option("--arm", required=True, help="Arm in section train of params.yaml.")
@click.option("--base", type=FOLDER, required=True, help="Folder of the model to train.")
@click.option("--train", "dataset", type=FOLDER, required=True, help="Folder with LLaMA-Factory's data set.")
@click.option("--output", type=FOLDER, required=True, help="Folder for the trained weights.")
@click.option("--loss", type=FOLDER, required=True, help="CSV file for the loss by step.")
@click.option("--throughput", type=FOLDER, required=True, help="Folder for CSV files of the speed by step.")
@click.option("--validation", type=FOLDER, required=True, help="CSV file for measurements on held-out rows.")
@click.option("--databases", type=FOLDER, required=True, help="Folder of the training sources' databases.")
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
    if arm not in params.train:
        raise UserError(f"params.yaml: train has no {arm!r}; it has {', '.join(params.train) or 'no arm'}")
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
