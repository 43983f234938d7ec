"""Which folder a suite may be written to: what is replaced is deleted."""

from __future__ import annotations

from pathlib import Path

from text2sql.errors import UserError
from text2sql.evaluation.execution.suite import MANIFEST, read_manifest

QUALITY = "quality.jsonl"
"""The file of a suite with the quality of each gold query."""

_FIX = "name a new folder with --out"


def require_replaceable(output: Path) -> None:
    """Check that nothing but an older suite is lost if `output` is replaced.

    It may be missing, an empty folder, or a folder with exactly the files of a suite, as its suite.json names
    them.

    Raises:
        UserError: it is something else, or the current folder or one above it.
    """
    if not output.is_dir():
        if output.exists() or output.is_symlink():
            raise UserError(f"{output}: is not a folder; {_FIX}")
        return
    if Path.cwd().is_relative_to(output.resolve()):
        raise UserError(f"{output}: has the current folder in it and would be replaced; {_FIX}")
    found = sorted(output.rglob("*"))
    if not found:
        return
    if output / MANIFEST not in found:
        raise UserError(f"{output}: has {_name(found[0], output)}, and no {MANIFEST} of a suite; {_FIX}")
    of_suite = _of_suite(output)
    others = [path for path in found if path not in of_suite]
    if others:
        raise UserError(f"{output}: has {_name(others[0], output)}, which is no file of a suite; {_FIX}")


def _of_suite(folder: Path) -> set[Path]:
    """The files of the suite in a folder, and the folders that they are in."""
    try:
        databases = read_manifest(folder).databases
    except UserError as error:
        raise UserError(f"{folder}: is not replaced, because it is no suite ({error}); {_FIX}") from error
    files = {folder / db_id / name for db_id, made in databases.items() for name in made.files}
    files |= {folder / MANIFEST, folder / QUALITY}
    return files | {file.parent for file in files}


def _name(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder))
