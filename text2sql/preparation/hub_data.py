"""Files of data sets on the Hugging Face hub, brought at one commit, and what a later run holds them against.

The record (metrics/fetch_data.json) has an entry for each repository and asked revision ("owner/name@main"):
its `commit`, and under `files` the SHA-256 of each file that was read. A later run uses that commit and
checks those files. Of more than 20 databases one hash is kept: of the lines "SHA-256 path", sorted.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from text2sql.errors import UserError
from text2sql.hub import Hub, exactly, is_commit, matches, not_a_record, pin, read_record_file
from text2sql.preparation.settings import TrainingFile
from text2sql.schema.database_files import SUFFIXES
from text2sql.schema.descriptions import FOLDER
from text2sql.workstore import hash_path

_FILES = 20  # of a folder, whose hashes are kept one by one; and of a repository, that a message names


class HubData:
    """Brings the files of sources on the hub; `record` is what it brought."""

    def __init__(self, before: dict[str, Any]) -> None:
        """`before` is the record of an earlier run, {} if there is none."""
        self._before = before
        self.hub = Hub(pins(before))
        self.record: dict[str, Any] = {}

    def bring(self, key: str, source: TrainingFile) -> Path:
        """The folder with the files of a source, which is `key` in params.yaml.

        Raises:
            UserError: the hub does not give a file, or it is not the one of the earlier run.
        """
        assert source.repo, "a source on the hub"
        commit = resolve(self.hub, key, source)
        try:
            listed = sorted(self.hub.files(source.repo, commit, "dataset"))
            _require_named(key, source, listed)
            folder = self.hub.snapshot(source.repo, commit, "dataset", patterns(source))
        except UserError as error:
            raise UserError(f"{key}: {error}") from error
        self._keep(key, source, commit, checksums(folder, source))
        return folder

    def _keep(self, key: str, source: TrainingFile, commit: str, files: dict[str, str]) -> None:
        name = f"{source.repo}@{source.asked_revision}"
        before = self._before.get(name, {}).get("files", {})
        for file in sorted(set(before) & set(files)):
            if before[file] != files[file]:
                raise UserError(
                    f"{key}: {source.repo}, {file} at {commit}: its SHA-256 is {files[file]}, but an earlier "
                    f"run had {before[file]} (metrics/fetch_data.json); to take it, remove {name} there"
                )
        entry = self.record.setdefault(name, {"commit": commit, "files": {}})
        entry["files"] = dict(sorted((entry["files"] | files).items()))


def read_record(path: Path) -> dict[str, Any]:
    """The record of an earlier run, {} if there is none.

    Raises:
        UserError: the file is not a record.
    """
    record = read_record_file(path)
    if not all(_is_entry(*entry) for entry in record.items()):
        raise not_a_record(path)
    return record


def _is_entry(name: str, entry: object) -> bool:
    if "@" not in name or not isinstance(entry, dict):
        return False
    return is_commit(entry.get("commit")) and isinstance(entry.get("files"), dict)


def pins(record: dict[str, Any]) -> dict[str, str]:
    """The commits of a record, as text2sql/hub.py names them."""
    return {pin("dataset", *name.split("@", maxsplit=1)): entry["commit"] for name, entry in record.items()}


def resolve(hub: Hub, key: str, source: TrainingFile) -> str:
    """The commit (40 hex digits) of a source on the hub, which is `key` in params.yaml.

    Raises:
        UserError: the hub does not give it.
    """
    assert source.repo, "a source on the hub"
    try:
        return hub.resolve(source.repo, source.asked_revision, "dataset")
    except UserError as error:
        raise UserError(f"{key}: {error}") from error


def patterns(source: TrainingFile) -> list[str]:
    """The patterns of the paths that a source reads in its repository."""
    named = [exactly(name) for name in (source.file, source.tables) if name is not None]
    return named + _database_patterns(source)


def checksums(folder: Path, source: TrainingFile) -> dict[str, str]:
    """The SHA-256 (hex) of the source's files in `folder`, by their paths; one for many databases."""
    named = [name for name in (source.file, source.tables) if name is not None]
    below = folder / (source.databases or ".")
    paths = (path.relative_to(folder).as_posix() for path in below.rglob("*") if path.is_file())
    databases = sorted(path for path in paths if matches(path, _database_patterns(source)))
    hashes = {name: hash_path(folder / name) for name in [*named, *databases]}
    if len(databases) > _FILES:
        lines = "".join(f"{hashes.pop(name)} {name}\n" for name in databases)
        hashes[f"{source.databases}/*"] = hashlib.sha256(lines.encode()).hexdigest()
    return hashes


def _database_patterns(source: TrainingFile) -> list[str]:
    if source.databases is None:
        return []
    below = exactly(source.databases.rstrip("/"))
    return [f"{below}/*{suffix}" for suffix in SUFFIXES] + [f"{below}/*/{FOLDER}/*.csv"]


def _require_named(key: str, source: TrainingFile, listed: list[str]) -> None:
    """Check that a repository has what the source names, before anything large is brought."""
    for field in ("file", "tables"):
        name = getattr(source, field)
        if name is not None and name not in listed:
            raise _absent(key, field, name, listed)
    databases = _database_patterns(source)
    if databases and not any(matches(name, databases) for name in listed):
        raise _absent(key, "databases", f"database below {source.databases}", listed)


def _absent(key: str, field: str, name: str, listed: list[str]) -> UserError:
    shown = ", ".join(listed[:_FILES]) + (
        f", and {len(listed) - _FILES} more" if len(listed) > _FILES else ""
    )
    return UserError(f"the repository has no {name}; it has {shown}; fix {key}.{field} in params.yaml")
