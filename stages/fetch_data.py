"""Bring the raw rows and test sets to data/raw/, from the built-in generator, a folder or the hub.

Writes train/NAME with the training rows as the source has them, train_schemas/NAME.json ({database id:
CREATE TABLE text}) for sources with databases, test/NAME.jsonl for each test set in the one form of
text2sql/preparation/raw_test.py, test_sets.json with their names, and databases/ID/ID.sqlite for those that
questions name. The built-in source also writes planted.json, the list of the training rows that were planted
as leaks.
"""

from __future__ import annotations

import filecmp
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import click

from stages._main import stage_main
from stages._params import load_params
from text2sql.databases import database_path
from text2sql.errors import UserError
from text2sql.files import copy_file, replacing_folder, write_json, write_jsonl
from text2sql.preparation.outside_data import OutsideFolder, OutsideSchemas, data_folder
from text2sql.preparation.raw_test import write_test_sets
from text2sql.preparation.settings import FetchData, QuestionFile, TrainingFile
from text2sql.preparation.test_sets import QuestionReader, add_recorded
from text2sql.preparation.text_files import compression
from text2sql.schema.descriptions import FOLDER, description_files
from text2sql.schema.recorded import read_recorded

_NO_DATABASES = "databases/none"
"""An empty file, so that a stage that reads the folder finds it where no database is there."""


@click.command(help=__doc__)
@click.option("--output", type=click.Path(path_type=Path), required=True)
@stage_main
def main(output: Path) -> None:
    config = load_params().fetch_data
    with replacing_folder(output) as folder:
        if config.outside_train() or config.outside_test():
            fetch_outside(folder, config)
        if config.source == "builtin":
            fetch_builtin(folder, config)
        elif config.source == "hub":
            fetch_hub(folder, config)


def fetch_builtin(folder: Path, config: FetchData) -> None:
    """Make the built-in benchmark; with test sets of the user only its training rows are kept."""
    from text2sql.builtin import build_benchmark

    if config.test is None:
        build_benchmark(folder, config.seed, config.train_rows, config.test_rows)
        return
    build_benchmark(folder / "made", config.seed, config.train_rows, config.test_rows)
    (folder / "made" / "train").rename(folder / "train")
    shutil.rmtree(folder / "made")


def fetch_outside(folder: Path, config: FetchData) -> None:
    """Bring test sets and training rows; local files are checked before anything long.

    Raises:
        UserError: a file is missing or broken, or has another checksum.
    """
    outside = OutsideFolder(data_folder(), config.sha256)
    fetch_test(outside, folder, config)
    fetch_train(outside, folder, config.outside_train())
    outside.refuse_unread()


def fetch_train(outside: OutsideFolder, folder: Path, files: Mapping[str, TrainingFile]) -> None:
    """Copy the training files, and write the schemas of their databases.

    Raises:
        UserError: a file is missing or cannot be read, or a folder has no databases.
    """
    for name, source in files.items():
        path = outside.file(source.file)
        copy_file(path, folder / "train" / f"{name}{_suffixes(path)}")
        if source.databases is not None:
            outside.require_databases(source.databases)
        if source.databases is not None or source.tables is not None:
            schemas = OutsideSchemas(outside, source)
            texts = {db_id: schemas.ddl(db_id) for db_id in schemas.known}
            write_json(folder / "train_schemas" / f"{name}.json", texts)


def fetch_hub(folder: Path, config: FetchData) -> None:
    """Stream the training rows from the hub at the pinned revision.

    Raises:
        UserError: the hub cannot be reached, or has no such data set or revision.
    """
    import datasets
    import httpx
    from huggingface_hub.errors import HfHubHTTPError

    try:
        rows = datasets.load_dataset(
            config.hub_dataset, revision=config.hub_revision, split="train", streaming=True
        )
        count = write_jsonl(folder / "train" / "hub.jsonl", rows)
    except (
        OSError,
        ValueError,
        datasets.exceptions.DatasetsError,
        HfHubHTTPError,
        httpx.HTTPError,
    ) as error:
        raise UserError(
            f"cannot fetch {config.hub_dataset} at revision {config.hub_revision} from the hub: "
            f"{type(error).__name__}: {error}; check the network and params.yaml, fetch_data, or "
            "work without a network: `make use PROFILE=embedded`"
        ) from error
    if not count:
        raise UserError(f"{config.hub_dataset} at revision {config.hub_revision} has no row")


def fetch_test(outside: OutsideFolder, folder: Path, config: FetchData) -> None:
    """Write the test sets in one form, and copy the databases that their questions name.

    Raises:
        UserError: a file is missing or broken, or two sets have different databases of one id.
    """
    sets = config.outside_test()
    if config.test is None:  # a user's own set may come without, the known one never does
        for known in sets.values():
            outside.require_databases(known.databases or "")
    lines, copied = {}, dict[str, tuple[str, Path]]()
    for name, source in sets.items():
        schemas = OutsideSchemas(outside, source)
        lines[name] = questions(outside, name, source, schemas, config.recorded_schemas)
        found = copy_databases(name, schemas, {line["db_id"] for line in lines[name]}, folder, copied)
        _say_what_is_missing(name, lines[name], found)
    write_test_sets(folder, lines)
    if not copied:
        (folder / _NO_DATABASES).parent.mkdir()
        (folder / _NO_DATABASES).touch()


def questions(
    outside: OutsideFolder, name: str, source: QuestionFile, schemas: OutsideSchemas, recorded: str | None
) -> list[dict[str, str]]:
    """The questions of a set in one form; `recorded` names a file of schemas that a language model wrote."""
    path = outside.file(source.file)
    lines = list(QuestionReader(name, path, source, schemas).lines())
    if not recorded:
        return lines
    answers = outside.file(recorded)
    return add_recorded(lines, read_recorded(answers), path, str(answers))


def copy_databases(
    name: str,
    schemas: OutsideSchemas,
    db_ids: Iterable[str],
    folder: Path,
    copied: dict[str, tuple[str, Path]],
) -> set[str]:
    """Copy the databases of a set that are there, with the descriptions of their columns; returns their ids.

    `copied` has, for each database that is in `folder`, its set and file; new ones are added.

    Raises:
        UserError: another set has a database of the same id and other bytes.
    """
    files = {db_id: file for db_id in sorted(db_ids) if (file := schemas.database(db_id))}
    for db_id, file in files.items():
        other, before = copied.setdefault(db_id, (name, file))
        if not filecmp.cmp(before, file, shallow=False):
            raise UserError(
                f"test sets {other} and {name} have different databases {db_id}: {before} and {file}; rename "
                "one, or give both sets one file (fetch_data.test in params.yaml), then: dvc repro"
            )
        target = database_path(folder / "databases", db_id)
        if not target.exists():
            copy_file(file, target)
            for path in description_files(file):
                copy_file(path, target.parent / FOLDER / path.name)
    return set(files)


def _say_what_is_missing(name: str, lines: list[dict[str, str]], found: set[str]) -> None:
    """Say on stderr that questions have no database, or that none has gold; later stages need them."""
    named = {line["db_id"] for line in lines if line["db_id"]}
    missing = sorted(named - found)
    if missing:
        shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        sentence = f"lacks {len(missing)} of its {len(named)} databases ({shown})"
        print(f"fetch_data: test set {name} {sentence}", file=sys.stderr)
    if not any("gold" in line for line in lines):
        print(f"fetch_data: test set {name} has no gold query, so none is scored", file=sys.stderr)


def _suffixes(path: Path) -> str:
    """The last suffix, and before that of a compression also the one before."""
    return "".join(path.suffixes[-2:] if compression(path) else path.suffixes[-1:])


if __name__ == "__main__":
    main()
