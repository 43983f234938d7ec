"""Which database files scores were measured on: how many, and one hash of them all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from text2sql.evaluation.execution.databases import database_files
from text2sql.evaluation.execution.sandbox import DatabaseError
from text2sql.evaluation.execution.suite import Suite
from text2sql.workstore import hash_path


@dataclass(frozen=True, slots=True)
class UsedDatabases:
    """The number of files, the fewest and the most for one question, and a hash of ids, names and bytes."""

    files: int
    fewest: int
    most: int
    sha256: str

    def per_question(self) -> str:
        """How many databases a question has, for people."""
        if self.fewest < self.most:
            return f"{self.fewest} to {self.most} databases"
        return "1 database" if self.most == 1 else f"{self.most} databases"

    def as_json(self) -> dict[str, Any]:
        """The same for a JSON file."""
        return {
            "files": self.files,
            "per_question": {"fewest": self.fewest, "most": self.most},
            "sha256": self.sha256,
        }


def used_databases(
    databases: Path | None, asked: Iterable[tuple[str, str]], suites: bool, made: Suite | None = None
) -> UsedDatabases:
    """Describe the files on which questions are judged, given as db_id and gold; missing ones are left out.

    `suites`: whether all databases in a folder were used and those of the suite `made`, or one for each id.
    Without `databases` there are none. The hash does not depend on where the folder is, nor on whether it has
    ID/ID.sqlite or ID.sqlite.
    """
    used: dict[Path, str] = {}
    counts = []
    originals = cache(partial(_originals, databases or Path()))
    for db_id, gold in dict.fromkeys(asked) if databases else ():
        files = originals(db_id)
        if not files:
            continue
        files = [*files, *(made.files(db_id, gold) if made else ())] if suites else files[:1]
        counts.append(len(files))
        used |= dict.fromkeys(files, db_id)
    digest = hashlib.sha256()
    for name, file in sorted((f"{db_id}/{file.name}", file) for file, db_id in used.items()):
        digest.update(f"{name}\0{hash_path(file)}\n".encode())
    return UsedDatabases(len(used), min(counts, default=0), max(counts, default=0), digest.hexdigest())


def _originals(databases: Path, db_id: str) -> list[Path]:
    try:
        return database_files(databases, db_id)
    except DatabaseError:
        return []
