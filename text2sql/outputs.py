"""Outputs that are there whole, or as they were before."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing_folder(output: Path) -> Iterator[Path]:
    """Yield an empty folder beside `output` that takes its place if the block ends without error.

    Not covered: a kill between the last two renames, after which the old folder lies under a dotted
    name beside the missing output; the next `dvc repro` makes the output again.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as scratch:
        new, old = Path(scratch) / "new", Path(scratch) / "old"
        new.mkdir()
        yield new
        if output.exists():
            os.rename(output, old)
        os.rename(new, output)


def copy_file(source: Path, target: Path) -> None:
    """Copy a file's bytes, making the folders above `target`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def publish(source: Path, output: Path) -> None:
    """Copy the finished folder or file `source` in place of `output`; nobody sees half of it."""
    if source.is_dir():
        with replacing_folder(output) as folder:
            shutil.copytree(source, folder, dirs_exist_ok=True)
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as scratch:
        os.replace(shutil.copy2(source, scratch), output)
