"""The folder of outside data, which the variable TEXT2SQL_DATA names: its files, checksums and schemas."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from text2sql.databases import changes_beside
from text2sql.errors import UserError
from text2sql.files import write_json
from text2sql.preparation.settings import TrainingFile
from text2sql.schema.database_files import database_ids, find_database
from text2sql.schema.ddl import write_ddl
from text2sql.schema.descriptions import description_files
from text2sql.schema.model import Schema
from text2sql.schema.spider_tables import read_spider_tables
from text2sql.schema.sqlite import read_sqlite
from text2sql.workstore import hash_path

VARIABLE, OLDER_VARIABLE = "TEXT2SQL_DATA", "TEXT2SQL_REAL_DATA"
NEXT = f"set {VARIABLE} to the folder that holds it, or `make use PROFILE=embedded`"
"""How a message about a missing file ends."""

_SETTLED = 2_000_000_000  # nanoseconds after which a changed file surely has another time of change


def data_folder() -> Path:
    """The folder that TEXT2SQL_DATA names, or else the variable's older name TEXT2SQL_REAL_DATA.

    Raises:
        UserError: neither is set, or there is no such folder.
    """
    named = os.environ.get(VARIABLE) or os.environ.get(OLDER_VARIABLE)
    if not named:
        raise UserError(
            f"{VARIABLE} is not set: set it to the folder of the outside data, or `make use PROFILE=embedded`"
        )
    if not Path(named).is_dir():
        raise UserError(f"{named}: no such folder; {NEXT}")
    return Path(named)


class OutsideFolder:
    """A folder of outside files; each is checked against its SHA-256 where one is given."""

    def __init__(
        self, root: Path, sha256: Mapping[str, str], repo: str | None = None, next_step: str = NEXT
    ) -> None:
        """`sha256` has the expected checksums (hex) by path below `root`, with `repo`/ before it if given.

        `next_step` ends the message about a missing file.
        """
        self.root = root
        self.read: set[str] = set()
        """The names, as in `sha256`, of the files that were asked for."""
        self._sha256, self._next = sha256, next_step
        self._prefix = f"{repo}/" if repo else ""

    def file(self, name: str) -> Path:
        """The path of a file, given relative to the folder.

        Raises:
            UserError: it is missing, its checksum is another one, or it is a database of which a -wal file
                beside it has a part.
        """
        path, expected = self.root / name, self._sha256.get(self._prefix + name)
        if not path.is_file():
            raise UserError(f"{path}: no such file; {self._next}")
        if changes := changes_beside(path):
            raise UserError(changes)
        found = hash_path(path) if expected else None
        if expected and found != expected.lower():
            raise UserError(
                f"{path}: its SHA-256 is not the one in params.yaml, fetch_data.sha256: expected "
                f"{expected}, found {found}; bring the expected file, or fix params.yaml"
            )
        self.read.add(self._prefix + name)
        return path

    def database(self, below: str, db_id: str) -> Path:
        """The file of a database in the folder `below`.

        Raises:
            UserError: it is missing, or its checksum is another one.
        """
        return self.file(find_database(self.root / below, db_id).relative_to(self.root).as_posix())

    def require_databases(self, below: str) -> None:
        """Check that a folder has databases.

        Raises:
            UserError: it has none, or there is no such folder.
        """
        if not database_ids(self.root / below):
            raise UserError(f"{self.root / below}: has no database ID/ID.sqlite; {self._next}")


def refuse_unread(sha256: Mapping[str, str], folders: Iterable[OutsideFolder]) -> None:
    """Check that every checksum was used: one for a file that is not read guards nothing.

    Raises:
        UserError: a checksum is given for a file that was read in none of the folders.
    """
    unread = set(sha256).difference(*(folder.read for folder in folders))
    if unread:
        raise UserError(
            f"params.yaml, fetch_data.sha256: nothing reads {', '.join(sorted(unread))}; take the entry out "
            "or fix its name"
        )


@dataclass(frozen=True)
class OutsideSchemas:
    """The schemas of the databases of a source: from its database files, else from its tables.json."""

    folder: OutsideFolder
    source: TrainingFile

    @cached_property
    def databases(self) -> list[str]:
        """The ids of the databases whose file is there."""
        below = self.source.databases
        return [] if below is None else database_ids(self.folder.root / below)

    @cached_property
    def known(self) -> list[str]:
        """The ids of all databases with a file or an entry in the tables.json, sorted."""
        return sorted({*self.databases, *self._tables})

    def database(self, db_id: str) -> Path | None:
        """The file of a database, None if it is not there.

        Raises:
            UserError: its checksum is another one.
        """
        below = self.source.databases
        return self.folder.database(below, db_id) if below is not None and db_id in self.databases else None

    def ddl(self, db_id: str) -> str:
        """The CREATE TABLE text of a database with the comments of columns, "" if its schema is not known.

        Raises:
            UserError: the database or the tables.json cannot be read.
        """
        if db_id not in self._written:
            file = self.database(db_id)
            schema = read_sqlite(file, comments=True) if file else self._tables.get(db_id)
            self._written[db_id] = write_ddl(schema, comments=True) if schema else ""
        return self._written[db_id]

    @cached_property
    def _tables(self) -> dict[str, Schema]:
        tables = self.source.tables
        return {} if tables is None else read_spider_tables(self.folder.file(tables))

    @cached_property
    def _written(self) -> dict[str, str]:
        return {}


# -- whether outside files have changed --


def outside_files(root: Path, sources: Iterable[TrainingFile], recorded: str | None) -> list[str]:
    """The files below `root` that fetch_data may read of these sources, missing ones included.

    `recorded` is the file of recorded schemas, if there is one.
    """
    named = [recorded]
    for source in sources:
        named += [source.file, source.tables]
        if source.databases is not None:
            below, ids = root / source.databases, database_ids(root / source.databases)
            files = [find_database(below, db_id) for db_id in ids]
            files += [path for file in files for path in description_files(file)]
            named += [path.relative_to(root).as_posix() for path in files]
    return list(dict.fromkeys(name for name in named if name))


def content_hashes(root: Path, names: Iterable[str], cache: Path) -> dict[str, str | None]:
    """The SHA-256 (hex) of each file by its name below `root`, None if it is missing.

    `cache` is a file that keeps the hashes between runs: a file is read again only if its size, inode or time
    of change is another one.
    Not covered: a change that keeps all three.
    """
    before = _cached(cache)
    kept: dict[str, list[int | str]] = {}
    found: dict[str, str | None] = {}
    for name, path in ((name, root / name) for name in names):
        key, state = str(path.absolute()), _state(path)
        if state is not None and before.get(key, [])[:-1] == state:
            found[name] = str(before[key][-1])
        else:
            found[name] = hash_path(path) if state is not None else None
        if state is not None and time.time_ns() - state[-1] > _SETTLED:
            kept[key] = [*state, str(found[name])]
    write_json(cache, kept)
    return found


def _state(path: Path) -> list[int] | None:
    """Size, inode and times of change (ns) of a file, None if there is no such file."""
    if not path.is_file():
        return None
    stat = path.stat()
    return [stat.st_size, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns]


def _cached(cache: Path) -> dict[str, list[int | str]]:
    """The entries of a cache; none if it is missing or damaged, as it only saves time."""
    try:
        entries = json.loads(cache.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return entries if isinstance(entries, dict) else {}
