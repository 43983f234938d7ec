"""Bring the raw rows and test sets to data/raw/, from the built-in generator, a folder or the hub.

`--outside` has what the stages outside_train and outside_test wrote; files of sources that params.yaml no
longer has are removed there. `--metrics` has the commits and checksums of what came from the hub, which this
run keeps to, and gets those of this run.

Writes train/NAME with the training rows as the source has them, train_schemas/NAME.json ({database id:
CREATE TABLE text}) for sources with databases, test/NAME.jsonl for each test set in the one form of
text2sql/preparation/raw_test.py, test_sets.json with their names, and databases/ID/ID.sqlite for those that
questions name. `--train-databases` gets NAME/ID/ID.sqlite of the training sources, if training.validation has
questions or a context has training rows. The built-in source also writes planted.json, the list of the
training rows that were planted as leaks.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click

from stages._main import stage_main
from stages._params import load_params
from text2sql.databases import database_path
from text2sql.errors import UserError
from text2sql.files import copy_file, replacing_folder, write_json
from text2sql.preparation.hub_data import HubData, read_record
from text2sql.preparation.outside_data import OutsideFolder, OutsideSchemas, data_folder, refuse_unread
from text2sql.preparation.raw_test import write_test_sets
from text2sql.preparation.settings import FetchData, QuestionFile, TrainingFile
from text2sql.preparation.test_sets import QuestionReader, add_recorded
from text2sql.preparation.text_files import compression
from text2sql.processes import die_with_parent
from text2sql.schema.descriptions import FOLDER, description_files
from text2sql.schema.recorded import read_recorded

_NONE = "none"
_NO_DATABASES = f"databases/{_NONE}"
"""An empty file, so that a stage that reads the folder finds it where no database is there."""


@click.command(help=__doc__)
@click.option("--outside", type=click.Path(path_type=Path), required=True)
@click.option("--output", type=click.Path(path_type=Path), required=True)
@click.option("--train-databases", type=click.Path(path_type=Path), required=True)
@click.option("--metrics", type=click.Path(path_type=Path), required=True)
@stage_main
def main(outside: Path, output: Path, train_databases: Path, metrics: Path) -> None:
    params = load_params()
    config, validation = params.fetch_data, params.training.validation
    remove_stale(outside, config)
    folders = Folders(config.sha256, HubData(read_record(metrics)))
    with replacing_folder(train_databases) as databases, replacing_folder(output) as folder:
        (databases / _NONE).touch()
        for_contexts = any(context.train for context in params.contexts.values())
        wanted = databases if for_contexts or (validation is not None and validation.questions) else None
        if config.test:  # before anything long
            fetch_test(folders, folder, config)
        if config.train:
            fetch_train(folders, folder, config.train, wanted)
        else:
            fetch_builtin(folder, config, wanted)
        folders.refuse_unread()
    write_json(metrics, dict(sorted(folders.hub.record.items())))


@contextmanager
def warnings_of_later_stages() -> Iterator[None]:
    """Have what later stages will miss on this machine printed on stderr, while this stage works.

    In a process of its own: what it imports does not affect the outputs of this stage.
    """
    here = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "stages.check", "--later"]
    with subprocess.Popen(
        command, env=os.environ | here, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent
    ):
        yield


def remove_stale(outside: Path, config: FetchData) -> None:
    """Remove the states of sources that are no longer there: DVC hashes all files of the folder."""
    for kind, names in (("train", config.train), ("test", config.test)):
        for path in (outside / kind).glob("*.json"):
            if path.stem not in names:
                path.unlink()


class Folders:
    """The folders that sources are in: TEXT2SQL_DATA, and for each repository on the hub its files."""

    def __init__(self, sha256: Mapping[str, str], hub: HubData) -> None:
        self.hub = hub
        self._sha256 = sha256
        self._opened: dict[str, OutsideFolder] = {}

    def local(self) -> OutsideFolder:
        """The folder that TEXT2SQL_DATA names.

        Raises:
            UserError: there is none.
        """
        if "" not in self._opened:
            self._opened[""] = OutsideFolder(data_folder(), self._sha256)
        return self._opened[""]

    def of(self, key: str, source: TrainingFile) -> OutsideFolder:
        """The folder of a source, which is `key` in params.yaml.

        Raises:
            UserError: there is none, or the hub does not give its files.
        """
        if source.repo is None:
            return self.local()
        root = self.hub.bring(key, source)
        folder = OutsideFolder(root, self._sha256, source.repo, f"fix {key} in params.yaml")
        self._opened[key] = folder
        return folder

    def refuse_unread(self) -> None:
        """Check that every checksum was used.

        Raises:
            UserError: one is for a file that was not read.
        """
        refuse_unread(self._sha256, self._opened.values())


def fetch_builtin(folder: Path, config: FetchData, databases: Path | None) -> None:
    """Make the built-in benchmark; with test sets of the user only its training rows are kept."""
    from text2sql.builtin import build_benchmark

    own = databases / "embedded" if databases else None
    if not config.test:
        build_benchmark(folder, config.seed, config.train_rows, config.test_rows, own)
        return
    build_benchmark(folder / "made", config.seed, config.train_rows, config.test_rows, own)
    (folder / "made" / "train").rename(folder / "train")
    shutil.rmtree(folder / "made")


def fetch_train(
    folders: Folders, folder: Path, files: Mapping[str, TrainingFile], databases: Path | None
) -> None:
    """Copy the training files, and write the schemas of their databases; copy these to `databases`, if given.

    Raises:
        UserError: a file is missing or cannot be read, or a folder has no databases.
    """
    for name, source in files.items():
        outside = folders.of(f"fetch_data.train.{name}", source)
        path = outside.file(source.file)
        copy_file(path, folder / "train" / f"{name}{_suffixes(path)}")
        if source.databases is not None:
            outside.require_databases(source.databases)
        schemas = OutsideSchemas(outside, source)
        if source.databases is not None or source.tables is not None:
            texts = {db_id: schemas.ddl(db_id) for db_id in schemas.known}
            write_json(folder / "train_schemas" / f"{name}.json", texts)
        if databases and source.databases is not None:
            for db_id in schemas.databases:
                file = outside.database(source.databases, db_id)
                copy_database(file, database_path(databases / name, db_id))


def fetch_test(folders: Folders, folder: Path, config: FetchData) -> None:
    """Write the test sets in one form, and copy the databases that their questions name.

    Raises:
        UserError: a file is missing or broken, or two sets have different databases of one id.
    """
    recorded = folders.local().file(config.recorded_schemas) if config.recorded_schemas else None
    lines, copied = {}, dict[str, tuple[str, Path]]()
    for name, source in config.test.items():
        outside = folders.of(f"fetch_data.test.{name}", source)
        schemas = OutsideSchemas(outside, source)
        lines[name] = questions(name, outside.file(source.file), source, schemas, recorded)
        if source.databases is not None:
            outside.require_databases(source.databases)
        found = copy_databases(name, schemas, {line["db_id"] for line in lines[name]}, folder, copied)
        _say_what_is_missing(name, lines[name], found)
    write_test_sets(folder, lines)
    if not copied:
        (folder / _NO_DATABASES).parent.mkdir()
        (folder / _NO_DATABASES).touch()


def questions(
    name: str, path: Path, source: QuestionFile, schemas: OutsideSchemas, recorded: Path | None
) -> list[dict[str, str]]:
    """The questions of a set in one form; `recorded` is a file of schemas that a language model wrote."""
    lines = list(QuestionReader(name, path, source, schemas).lines())
    if recorded is None:
        return lines
    return add_recorded(lines, read_recorded(recorded), path, str(recorded))


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
            copy_database(file, target)
    return set(files)


def copy_database(file: Path, target: Path) -> None:
    """Copy a database with the descriptions of its columns."""
    copy_file(file, target)
    for path in description_files(file):
        copy_file(path, target.parent / FOLDER / path.name)


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
    with warnings_of_later_stages():
        main()
