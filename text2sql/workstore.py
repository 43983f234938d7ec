"""Where long work is kept between runs: `.work/STAGE/KEY/`, KEY a hash of all that goes in.

DVC empties a stage's outputs before it runs the stage, and queued experiments run in a copy without
ignored files. Work under a content key outlives both: a killed run resumes in its folder, a finished
one is reused, and a changed input can never meet old work. Not covered: two runs of one key at a time
(the second is refused, see `WorkFolder.locked`), and growth (`make clean` empties the store).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from text2sql.errors import UserError

DEFAULT_ROOT = ".work"
_BLOCK = 1 << 20


@dataclass(frozen=True)
class WorkStore:
    """A folder of work folders; the variable TEXT2SQL_WORK moves it."""

    root: Path

    @classmethod
    def from_environment(cls) -> WorkStore:
        """The store that TEXT2SQL_WORK names, else `.work` of the checkout.

        An experiment that DVC runs in a copy below .dvc/tmp/exps shares the store of its checkout.
        """
        named = os.environ.get("TEXT2SQL_WORK")
        return cls(Path(named).absolute() if named else _checkout(Path.cwd()) / DEFAULT_ROOT)

    def open(self, stage: str, key_parts: Mapping[str, object]) -> Path:
        """Create or find the folder of `stage` for this very input; key.json in it says which."""
        text = json.dumps(key_parts, sort_keys=True, ensure_ascii=False, indent=1)
        folder = self.root / stage / hashlib.sha256(text.encode()).hexdigest()[:16]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "key.json").write_text(text, encoding="utf-8")
        return folder


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process. UserError: another process still works in it."""
    with open(folder / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"{folder}: another run works here; wait for it, then `dvc repro`") from error
        yield


def hash_path(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, or of the names and bytes of all files below a folder.

    UserError: the path does not exist.
    """
    root = Path(path)
    if root.is_file():
        return _hash_file(root)
    if not root.is_dir():
        raise UserError(f"{path}: no such file or folder; `dvc repro` makes what the pipeline writes")
    digest = hashlib.sha256()
    for file in sorted(p for p in root.rglob("*") if p.is_file()):
        digest.update(f"{file.relative_to(root).as_posix()}\0{_hash_file(file)}\n".encode())
    return digest.hexdigest()


def _checkout(folder: Path) -> Path:
    parts = folder.parts
    for at in range(len(parts) - 3):
        if parts[at : at + 3] == (".dvc", "tmp", "exps"):
            return Path(*parts[:at])
    return folder


def _hash_file(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
