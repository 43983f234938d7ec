"""Write what the files of one test set are now, so that fetch_data runs again when one has changed."""

from __future__ import annotations

from pathlib import Path

import click

from stages._main import stage_main
from stages._outside import write_state
from stages._params import load_params


@click.command(help=__doc__)
@click.option("--name", required=True, help="The name of the test set in fetch_data.test.")
@click.option("--pins", type=click.Path(path_type=Path), required=True, help="Metrics of fetch_data.")
@click.option("--output", type=click.Path(path_type=Path), required=True)
@stage_main
def main(name: str, pins: Path, output: Path) -> None:
    config = load_params().fetch_data
    write_state("fetch_data.test", dict(config.test), name, config.recorded_schemas, pins, output)


if __name__ == "__main__":
    main()
