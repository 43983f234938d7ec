"""Files and folders that are complete or absent, and reading and writing JSON.

A file is written under a temporary name and renamed, so that a reader never sees a part of it.
Not covered: a power cut, after which the file system decides what is on disk.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from text2sql.errors import UserError


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[str]]:
    """Open a temporary UTF-8 file that replaces `path` if the block ends without error."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle = tempfile.NamedTemporaryFile(  # noqa: SIM115 - closed below, before the rename
        "w",
        encoding="utf-8",
        newline="\n",
        dir=target.parent,
        prefix=f".{target.name}.",
        delete=False,
    )
    try:
        with handle:
            yield handle
        os.chmod(handle.name, 0o644)
        os.replace(handle.name, target)
    except BaseException:
        Path(handle.name).unlink(missing_ok=True)
        raise


def write_json(path: str | os.PathLike[str], value: object) -> None:
    """Write `value` as indented JSON to `path`, replacing it."""
    with replacing(path) as file:
        json.dump(value, file, ensure_ascii=False, indent=2)
        file.write("\n")


def write_jsonl(path: str | os.PathLike[str], rows: Iterable[Any]) -> int:
    """Write dicts or dataclass instances as JSON lines to `path`, replacing it; returns their number."""
    count = 0
    with replacing(path) as file:
        for row in rows:
            value = row if isinstance(row, dict) else dataclasses.asdict(row)
            file.write(json.dumps(value, ensure_ascii=False) + "\n")
            count += 1
    return count


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file.

    Raises:
        UserError: it is missing, not UTF-8 or not JSON; for JSON the message names the line.
    """
    try:
        return json.loads(_bytes(path).decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {error.lineno}: not JSON ({error.msg})") from error


def read_jsonl(path: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON-lines file; blank lines are skipped.

    Raises:
        UserError: the file is missing, or a line (numbered from 1) is not UTF-8, not JSON or not an object.
    """
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file; `dvc repro` makes the files of the pipeline")
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield _object(path, number, line)


@contextmanager
def replacing_folder(output: Path) -> Iterator[Path]:
    """Yield an empty folder beside `output` that replaces it if the block ends without error.

    Not covered: a kill between the last two renames, after which `output` is missing and the old folder is
    beside it under a name that begins with a dot; the next `dvc repro` makes the output again.
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
    """Copy a file's bytes; the folders above `target` are made."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def publish(source: Path, output: Path) -> None:
    """Copy the finished folder or file `source` to `output`, replacing it; `output` is never incomplete."""
    if source.is_dir():
        with replacing_folder(output) as folder:
            shutil.copytree(source, folder, dirs_exist_ok=True)
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as scratch:
        os.replace(shutil.copy2(source, scratch), output)


def _object(path: str | os.PathLike[str], number: int, line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        raise UserError(f"{path}, line {number}: not UTF-8 text ({error.reason})") from error
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {number}: not JSON ({error.msg})") from error
    if not isinstance(value, dict):
        raise UserError(f"{path}, line {number}: expected a JSON object, found {type(value).__name__}")
    return value


def _bytes(path: str | os.PathLike[str]) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; `dvc repro` makes the files of the pipeline") from error
