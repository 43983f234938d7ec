"""Which database files scores were measured on: how many, and one hash of them all."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from text2sql.evaluation.execution.databases import database_files
from text2sql.evaluation.execution.sandbox import DatabaseError
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


def used_databases(databases: Path, db_ids: Collection[str], suites: bool) -> UsedDatabases:
    """Describe the files of these databases; missing ones are left out.

    `suites`: whether all databases in a folder were used, or one for each id. The hash does not depend on
    where the folder is, nor on whether it has ID/ID.sqlite or ID.sqlite.
    """
    digest = hashlib.sha256()
    counts = []
    for db_id in sorted(db_ids):
        try:
            files = database_files(databases, db_id)[: None if suites else 1]
        except DatabaseError:
            continue
        counts.append(len(files))
        for file in files:
            digest.update(f"{db_id}/{file.name}\0{hash_path(file)}\n".encode())
    return UsedDatabases(sum(counts), min(counts, default=0), max(counts, default=0), digest.hexdigest())
