"""Write the hashes of the outside files that fetch_data reads, so that it runs again when one has changed.

DVC runs this stage every time, as it cannot know the files. A file is hashed once, and again when its size or
its time of change is another one. With generated data, and without test sets of your own, there are none.
"""

from __future__ import annotations

from pathlib import Path

import click

from stages._main import stage_main
from stages._params import load_params
from text2sql.files import write_json
from text2sql.preparation.outside_data import content_hashes, data_folder, outside_files
from text2sql.workstore import WorkStore


@click.command(help=__doc__)
@click.option("--output", type=click.Path(path_type=Path), required=True)
@stage_main
def main(output: Path) -> None:
    config = load_params().fetch_data
    hashes: dict[str, str | None] = {}
    if config.outside_train() or config.outside_test():
        root = data_folder()
        cache = WorkStore.from_environment().open("outside_data", {}) / "hashes.json"
        hashes = content_hashes(root, outside_files(root, config), cache)
    write_json(output, hashes)


if __name__ == "__main__":
    main()
