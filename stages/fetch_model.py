"""Write the base model to a folder: `python -m stages.fetch_model --raw data/raw --output models/base`.

fetch_model.source in params.yaml decides where it comes from: trained here, a Python package, or the hub.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from stages._main import stage_main
from stages._params import Params, load_params
from text2sql.base_models.hub import fetch_hub_model
from text2sql.base_models.packaged import convert_packaged_model
from text2sql.base_models.tiny import build_base_model
from text2sql.builtin.benchmark import base_rows
from text2sql.preparation.raw_test import read_lines
from text2sql.prompts import prompt_form


@click.command(help=__doc__)
@click.option("--raw", required=True, type=click.Path(path_type=Path), help="Folder of raw inputs.")
@click.option("--output", required=True, type=click.Path(path_type=Path), help="Folder for the model.")
@stage_main
def main(raw: Path, output: Path) -> None:
    params = load_params()
    SOURCES[params.fetch_model.source](params, raw, output)


def _builtin(params: Params, raw: Path, output: Path) -> None:
    """Train the tiny model on simple questions that are not in the test."""
    tiny = params.fetch_model.tiny
    test_questions = [line["question"] for _, _, line in read_lines(raw)]
    rows = base_rows(tiny.seed, tiny.rows, test_questions)
    prompt = params.prompt
    build_base_model(rows, tiny, params.training, prompt.schema_types, output, prompt_form(prompt.form))


def _from_package(params: Params, raw: Path, output: Path) -> None:
    package = params.fetch_model.package
    assert package, "load_params requires it"
    convert_packaged_model(package, output)


def _from_hub(params: Params, raw: Path, output: Path) -> None:
    repo, revision = params.fetch_model.hub_model, params.fetch_model.hub_revision
    assert repo and revision, "load_params requires them"
    fetch_hub_model(repo, revision, output)


SOURCES: dict[str, Callable[[Params, Path, Path], None]] = {
    "builtin": _builtin,
    "package": _from_package,
    "hub": _from_hub,
}


if __name__ == "__main__":
    main()
