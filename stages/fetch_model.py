"""Write the base model to a folder, and what it is to metrics/fetch_model.json.

fetch_model.source in params.yaml decides where it comes from: trained here, a folder, a repository of the
hub, or a Python package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import click

from stages._main import stage_main
from stages._params import Params, load_params
from text2sql.base_models.folder import copy_model, model_facts, require_model
from text2sql.base_models.hub import fetch_hub_model, read_pins
from text2sql.base_models.licence import BUILTIN, licence_in, packaged_licence
from text2sql.base_models.packaged import convert_packaged_model
from text2sql.base_models.tiny import build_base_model
from text2sql.builtin.base_rows import base_rows
from text2sql.errors import UserError
from text2sql.files import write_json
from text2sql.hub import Hub
from text2sql.preparation.raw_test import read_lines
from text2sql.prompts import prompt_form
from text2sql.training.templates import checked_template
from text2sql.workstore import hash_path


@click.command(help=__doc__)
@click.option("--raw", required=True, type=click.Path(path_type=Path), help="Folder of raw inputs.")
@click.option("--output", required=True, type=click.Path(path_type=Path), help="Folder for the model.")
@click.option(
    "--metrics",
    required=True,
    type=click.Path(path_type=Path),
    help="JSON file for what the model is; if it is there, a commit in it is used again.",
)
@stage_main
def main(raw: Path, output: Path, metrics: Path) -> None:
    params = load_params()
    pins = read_pins(metrics)
    commit = SOURCES[params.fetch_model.source](params, raw, output, pins)
    require_model(output)
    write_json(metrics, _facts(params, output, commit))


def _facts(params: Params, output: Path, commit: str | None) -> dict[str, object]:
    source = params.fetch_model
    return {
        "source": source.source,
        "name": source.name,
        "revision": source.hub_revision if commit else None,
        "commit": commit,
        "sha256": hash_path(output),
        **model_facts(output),
        "licence": _licence(params, output),
        "template": checked_template(params.training.template, output, params.training.enable_thinking),
    }


def _licence(params: Params, output: Path) -> str | None:
    """The licence that the model's own card or package states; None: unknown."""
    match params.fetch_model.source, params.fetch_model.package:
        case "builtin", _:
            return BUILTIN
        case "package", str(package):
            return packaged_licence(package)
    return licence_in(output)


def _builtin(params: Params, raw: Path, output: Path, pins: Mapping[str, str]) -> None:
    """Train the tiny model on simple questions that are not in the test."""
    tiny = params.fetch_model.tiny
    test_questions = [line["question"] for _, _, line in read_lines(raw)]
    prompt = params.prompt
    rows = base_rows(tiny.seed, tiny.rows, test_questions, prompt.schema_types)
    build_base_model(rows, tiny, output, prompt_form(prompt.form))


def _from_folder(params: Params, raw: Path, output: Path, pins: Mapping[str, str]) -> None:
    folder = params.fetch_model.folder
    assert folder, "load_params requires it"
    try:
        copy_model(Path(folder).expanduser(), output)
    except UserError as error:
        raise UserError(f"params.yaml, fetch_model.folder:\n{error}") from error


def _from_package(params: Params, raw: Path, output: Path, pins: Mapping[str, str]) -> None:
    package = params.fetch_model.package
    assert package, "load_params requires it"
    convert_packaged_model(package, output)


def _from_hub(params: Params, raw: Path, output: Path, pins: Mapping[str, str]) -> str:
    """Returns the commit: that of the earlier run, if it asked for the same revision of the same model."""
    repo, revision = params.fetch_model.hub_model, params.fetch_model.hub_revision
    assert repo and revision, "load_params requires them"
    return fetch_hub_model(repo, revision, output, Hub(pins))


SOURCES: dict[str, Callable[[Params, Path, Path, Mapping[str, str]], str | None]] = {
    "builtin": _builtin,
    "folder": _from_folder,
    "hub": _from_hub,
    "package": _from_package,
}


if __name__ == "__main__":
    main()
