"""The work store: keeps long work between runs in `.work/STAGE/KEY/`, where KEY is a hash of all inputs.

DVC deletes the outputs of a stage before it runs the stage, and queued experiments run in a copy without
ignored files. The work store is affected by neither: a killed run resumes in its folder, a finished one is
reused, and a changed input has another folder. Of two runs with one key at the same time the second waits
for the first, see `locked`. Not covered: growth (`make distclean` removes the store).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from multiprocessing.util import register_after_fork
from pathlib import Path

from text2sql.errors import UserError

DEFAULT_ROOT = ".work"
_BLOCK = 1 << 20


@dataclass(frozen=True)
class WorkStore:
    """The folder that contains the work folders; TEXT2SQL_WORK sets another one."""

    root: Path

    @classmethod
    def from_environment(cls) -> WorkStore:
        """The store in the folder TEXT2SQL_WORK, by default in `.work` of the checkout.

        An experiment that DVC runs in a copy below .dvc/tmp/exps uses the store of its checkout.
        """
        folder = os.environ.get("TEXT2SQL_WORK")
        return cls(Path(folder).absolute() if folder else _checkout(Path.cwd()) / DEFAULT_ROOT)

    def open(self, stage: str, key_parts: Mapping[str, object]) -> Path:
        """Create or find the folder of `stage` for these inputs, which are recorded in its key.json.

        Raises:
            OSError: the folder cannot be written to.
        """
        text = json.dumps(key_parts, sort_keys=True, ensure_ascii=False, indent=1)
        folder = self.root / stage / hashlib.sha256(text.encode()).hexdigest()[:16]
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "key.json"
        try:
            file.write_text(text, encoding="utf-8")
        except OSError as error:  # of a full disk it does not name the file
            raise OSError(error.errno, error.strerror, str(file)) from error
        return folder


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock `folder` for this process, where another process has locked it as soon as that one ends.

    Queued experiments share most of their work: the one that waited finds it done. The lock of a killed
    process is free. Not covered: file systems whose locks do not reach other machines.
    """
    with open(folder / ".lock", "w") as file:
        # forked worker processes inherit the file and may outlive a killed parent by a moment
        register_after_fork(file, TextIOWrapper.close)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{folder}: another run is doing this work; waiting until it ends", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def hash_path(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, or of the names and bytes of all files below a folder.

    Raises:
        UserError: the path does not exist.
    """
    root = Path(path)
    if root.is_file():
        return _hash_file(root)
    if not root.is_dir():
        raise UserError(f"{path}: no such file or folder; `dvc repro` creates the pipeline's files")
    digest = hashlib.sha256()
    for file in sorted(p for p in root.rglob("*") if p.is_file()):
        digest.update(f"{file.relative_to(root).as_posix()}\0{_hash_file(file)}\n".encode())
    return digest.hexdigest()


def _checkout(folder: Path) -> Path:
    """`folder`, or for a copy below .dvc/tmp/exps the checkout it was copied from."""
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
