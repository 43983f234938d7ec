"""A made test suite: further databases with the schema of an original one, on which queries are judged too.

The folder has ID/ID_NUMBER.sqlite for each database ID, and suite.json, which says for each file on which
gold queries it decides nothing, because their result there depends on which of equal rows comes first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from text2sql.errors import UserError
from text2sql.files import read_json, write_json
from text2sql.schema.database_files import find_database
from text2sql.settings import Settings
from text2sql.workstore import hash_path

MANIFEST = "suite.json"
_FIX = "make the suite again: text2sql make-suite, or dvc repro make_suites"


class DatabaseSuite(Settings):
    """The files made for one database, each with its undecided golds; `sha256` is the original's."""

    sha256: str
    files: dict[str, list[str]]


class Manifest(Settings):
    """What suite.json says: the seed, and the files by database."""

    seed: int
    databases: dict[str, DatabaseSuite]


@dataclass(frozen=True)
class Suite:
    """A suite that was read; `folder` is where it is."""

    folder: Path
    manifest: Manifest

    @classmethod
    def read(cls, folder: Path, databases: Path) -> Suite:
        """Read suite.json and check it against the original databases.

        Raises:
            UserError: it is missing or unreadable, a file is missing, or an original database has changed.
        """
        manifest = read_manifest(folder)
        for db_id, made in manifest.databases.items():
            _check(folder, databases, db_id, made)
        return cls(folder, manifest)

    def files(self, db_id: str, gold: str) -> list[Path]:
        """The files on which this gold query decides; none for a database without suite."""
        made = self.manifest.databases.get(db_id)
        names = sorted(made.files) if made else []
        return [self.folder / db_id / name for name in names if made and gold not in made.files[name]]


def read_manifest(folder: Path) -> Manifest:
    """Read the suite.json of a folder.

    Raises:
        UserError: it is missing or unreadable.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise UserError(f"{path}: no such file; {_FIX}")
    try:
        return Manifest.model_validate(read_json(path))
    except ValidationError as error:
        raise UserError(
            f"{path}: not the manifest of a suite ({error.error_count()} faults); {_FIX}"
        ) from error


def write_manifest(folder: Path, seed: int, databases: Mapping[str, DatabaseSuite]) -> None:
    """Write suite.json into the folder of a suite."""
    manifest = Manifest(seed=seed, databases=dict(sorted(databases.items())))
    write_json(folder / MANIFEST, manifest.model_dump())


def _check(folder: Path, databases: Path, db_id: str, made: DatabaseSuite) -> None:
    original = find_database(databases, db_id)
    if original.is_file() and hash_path(original) != made.sha256:
        raise UserError(f"{original}: is not the database that the suite {folder} was made for; {_FIX}")
    for name in made.files:
        if not (folder / db_id / name).is_file():
            raise UserError(f"{folder / db_id / name}: no such file, though {MANIFEST} names it; {_FIX}")
