"""The folder of outside data, which the variable TEXT2SQL_DATA names, and the checksums of its files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from text2sql.databases import database_path
from text2sql.errors import UserError
from text2sql.workstore import hash_path

VARIABLE, OLDER_VARIABLE = "TEXT2SQL_DATA", "TEXT2SQL_REAL_DATA"
NEXT = f"set {VARIABLE} to the folder that holds it, or `make use PROFILE=embedded`"
"""How a message about a missing file ends."""


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

    def __init__(self, root: Path, sha256: Mapping[str, str]) -> None:
        """`sha256` has the expected checksums (hex) by path below `root`."""
        self.root = root
        self._sha256 = sha256
        self._unread = set(sha256)

    def file(self, name: str) -> Path:
        """The path of a file, given relative to the folder.

        Raises:
            UserError: it is missing, or its checksum is another one.
        """
        path, expected = self.root / name, self._sha256.get(name)
        if not path.is_file():
            raise UserError(f"{path}: no such file; {NEXT}")
        found = hash_path(path) if expected else None
        if expected and found != expected.lower():
            raise UserError(
                f"{path}: its SHA-256 is not the one in params.yaml, fetch_data.sha256: expected "
                f"{expected}, found {found}; bring the expected file, or fix params.yaml"
            )
        self._unread.discard(name)
        return path

    def databases(self, below: str) -> Iterator[tuple[str, Path]]:
        """Every ID with BELOW/ID/ID.sqlite and its path, sorted by ID.

        Raises:
            UserError: there is none, or one has another checksum.
        """
        files = (self.root / below).glob("*/*.sqlite")
        names = sorted(path.stem for path in files if path.stem == path.parent.name)
        if not names:
            raise UserError(f"{self.root / below}: has no database ID/ID.sqlite; {NEXT}")
        for name in names:
            yield name, self.file(database_path(Path(below), name).as_posix())

    def refuse_unread(self) -> None:
        """Check that every checksum was used: one for a file that is not read guards nothing.

        Raises:
            UserError: a checksum is given for a file that was not read.
        """
        if self._unread:
            names = ", ".join(sorted(self._unread))
            raise UserError(
                f"params.yaml, fetch_data.sha256: nothing reads {names} in {self.root}; "
                "take the entry out or fix its name"
            )
