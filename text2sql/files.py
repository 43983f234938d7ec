"""Files and folders that are complete or absent, and reading and writing JSON.

A file or folder is made in a scratch folder beside its place (`.NAME.XXXXXXXX.partial`) and renamed, so that
a reader never sees a part of it. The scratch folder of a killed process is removed when the same output is
written again: its lock is then free, while that of a running process is not, in whatever container it runs.
Not covered: a power cut, after which the file system decides what is on disk; file systems without locks,
where scratch folders stay, and those whose locks do not reach other machines that write the same output.
"""

from __future__ import annotations

import dataclasses
import fcntl
import io
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from multiprocessing.util import register_after_fork
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from text2sql.errors import DISK_FULL, UserError

if TYPE_CHECKING:
    from typing_extensions import Buffer

_PARTIAL = ".partial"
_NEW, _OLD, _LOCK = "new", "old", "lock"  # in a scratch folder
_OPEN_FILE = re.compile(r"(?:/dev|/proc/self)/fd/(\d+)|/dev/(stdin|stdout|stderr)")
_STREAMS = {"stdin": 0, "stdout": 1, "stderr": 2}
Opening = Callable[[str | os.PathLike[str]], AbstractContextManager[IO[str]]]


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[IO[str]]:
    """Open the UTF-8 file that a user names for output: as `replacing`, but nothing special is replaced.

    Of a symbolic link what it leads to is replaced. A pipe, a device and an open file such as /dev/stdout
    are written as they are, so a reader may see a part.

    Raises:
        OSError: the file cannot be written; its `filename` is `path`.
    """
    target = Path(path)
    opened = _open_file(target)
    if opened is None and not _is_special(target):
        with replacing(_led_to(target)) as file:
            yield file
        return
    raw = _NamedFile(target if opened is None else os.dup(opened), target)
    with io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", newline="\n") as file:
        yield file


def require_writable(path: Path) -> None:
    """Check before long work that `writing` can write `path`; the folders above it are made.

    Raises:
        UserError: it is a folder, or a pipe or device that this user may not write.
        OSError: no file can be made there; its `filename` is in `path`.
    """
    if path.is_dir():
        raise UserError(f"{path}: is a folder; name a file")
    if _open_file(path) is not None:
        return
    if _is_special(path):
        if not os.access(path, os.W_OK):
            raise UserError(f"{path}: may not be written; name another file")
        return
    with _scratch(_led_to(path)):
        pass


def _led_to(path: Path) -> Path:
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _open_file(path: Path) -> int | None:
    """The number of the open file that a path such as /dev/stdout or /dev/fd/3 names; None for others."""
    found = _OPEN_FILE.fullmatch(os.path.abspath(path))
    return (int(found[1]) if found[1] else _STREAMS[found[2]]) if found else None


def _is_special(path: Path) -> bool:
    return path.exists() and not (path.is_file() or path.is_dir())


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[str]]:
    """Open a temporary UTF-8 file that replaces `path` if the block ends without error.

    Raises:
        OSError: the file cannot be written; its `filename` is `path`, also for a full disk.
    """
    target = Path(path)
    with _scratch(target) as scratch:
        raw = _NamedFile(scratch / _NEW, target)
        with io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", newline="\n") as file:
            yield file
        os.chmod(scratch / _NEW, 0o644)
        os.replace(scratch / _NEW, target)


def write_json(path: str | os.PathLike[str], value: object, opening: Opening = replacing) -> None:
    """Write `value` as indented JSON to `path`, replacing it; where a user names it, `opening=writing`."""
    with opening(path) as file:
        json.dump(value, file, ensure_ascii=False, indent=2)
        file.write("\n")


def write_jsonl(path: str | os.PathLike[str], rows: Iterable[Any], opening: Opening = replacing) -> int:
    """Write dicts or dataclass instances as JSON lines to `path`; returns their number. See `write_json`."""
    count = 0
    with opening(path) as file:
        for row in rows:
            value = row if isinstance(row, dict) else dataclasses.asdict(row)
            file.write(json.dumps(value, ensure_ascii=False) + "\n")
            count += 1
    return count


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write bytes to `path`, replacing it.

    Raises:
        OSError: the file cannot be written; its `filename` is `path`, also for a full disk.
    """
    target = Path(path)
    with _scratch(target) as scratch:
        with io.BufferedWriter(_NamedFile(scratch / _NEW, target)) as file:
            file.write(content)
        os.chmod(scratch / _NEW, 0o644)
        os.replace(scratch / _NEW, target)


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
    except RecursionError as error:
        raise UserError(f"{path}: lists or objects are nested too deeply") from error
    except ValueError as error:  # an integer of thousands of digits
        raise UserError(f"{path}: not JSON ({error})") from error


def folder_above(path: str | os.PathLike[str], *folders: str) -> str | None:
    """The first of `folders`, relative to the working directory, that is or has `path`; None if none does."""
    for folder in folders:
        for place in (os.path.abspath, os.path.realpath):  # as it is written, and where links lead
            if Path(place(path)).is_relative_to(place(folder)):
                return folder
    return None


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

    If the process is killed between the last two renames, the next run for `output` puts the old folder back.

    Raises:
        OSError: the disk is full; its `filename` is the file of `output` that was being written, or `output`.
    """
    with _scratch(output) as scratch, _naming(scratch / _NEW, output):
        (scratch / _NEW).mkdir()
        yield scratch / _NEW
        if output.exists():
            os.rename(output, scratch / _OLD)
        os.rename(scratch / _NEW, output)


def copy_file(source: Path, target: Path) -> None:
    """Copy a file's bytes; the folders above `target` are made."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def copy_folder(source: Path, target: Path) -> None:
    """Copy a folder, with the files that its links refer to; unlike copytree it stops at the first error."""
    for folder, _, names in os.walk(source, onerror=_fail, followlinks=True):
        inner = target / Path(folder).relative_to(source)
        inner.mkdir(parents=True, exist_ok=True)
        for name in names:
            shutil.copy2(Path(folder) / name, inner / name)


def publish(source: Path, output: Path) -> None:
    """Copy the finished folder or file `source` to `output`, replacing it; `output` is never incomplete."""
    if source.is_dir():
        with replacing_folder(output) as folder:
            copy_folder(source, folder)
        return
    with _scratch(output) as scratch, _naming(scratch / _NEW, output):
        os.replace(shutil.copy2(source, scratch / _NEW), output)


def _fail(error: OSError) -> None:
    raise error


# -- the scratch folder --


@contextmanager
def _scratch(output: Path) -> Iterator[Path]:
    """A new folder beside `output`, removed at the end; those of killed processes are removed first.

    Raises:
        UserError: `output` is a device or a pipe, which a rename would replace.
    """
    if _is_special(output):
        raise UserError(f"{output}: is neither a file nor a folder; name a file")
    output.parent.mkdir(parents=True, exist_ok=True)
    _tidy(output)
    scratch, lock = _new_scratch(output)
    with lock:
        try:
            yield scratch
        finally:
            _dissolve(scratch, output)


def _new_scratch(output: Path) -> tuple[Path, io.FileIO]:
    """A scratch folder with its locked file; another process may remove it before it is locked."""
    while True:
        try:
            scratch = Path(tempfile.mkdtemp(_PARTIAL, f".{output.name}.", output.parent))
            lock = _locked(scratch / _LOCK, "x")
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(output)) from error
        if lock:
            return scratch, lock


def _tidy(output: Path) -> None:
    """Remove the scratch folders for `output` whose process has ended."""
    mark = re.compile(rf"\.{re.escape(output.name)}\.[a-z0-9_]{{8}}{re.escape(_PARTIAL)}")
    for path in list(output.parent.iterdir()):
        if not mark.fullmatch(path.name):
            continue
        with suppress(OSError):  # what cannot be removed is in nothing's way
            if lock := _locked(path / _LOCK, "r+"):
                with lock:
                    _dissolve(path, output)
            elif not (path / _LOCK).exists():
                path.rmdir()  # empty: its process ended before it could lock it


def _locked(path: Path, mode: str) -> io.FileIO | None:
    """The open file, locked; None if another process has it locked, or has removed it."""
    try:
        file = io.FileIO(path, mode)
    except FileNotFoundError:
        return None
    register_after_fork(file, io.FileIO.close)  # worker processes may outlive a killed parent by a moment
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:  # a file system without locks: a new folder can be used all the same
        if mode == "x":
            return file
    file.close()
    return None


def _dissolve(scratch: Path, output: Path) -> None:
    """Remove a scratch folder, its lock last; an old output that was not replaced yet is put back."""
    if os.path.lexists(scratch / _OLD) and not os.path.lexists(output):
        os.rename(scratch / _OLD, output)
    for path in (scratch / _NEW, scratch / _OLD):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    (scratch / _LOCK).unlink(missing_ok=True)
    with suppress(FileNotFoundError):  # another process may have tidied the empty folder
        scratch.rmdir()


# -- a full disk --


class _NamedFile(io.FileIO):
    """A file to write, by path or number, whose errors name its target, as those of FileIO do not."""

    def __init__(self, file: Path | int, target: Path) -> None:
        super().__init__(file, "w")
        self._target = target

    def write(self, data: Buffer, /) -> int:
        """Write bytes; returns their number."""
        try:
            return super().write(data)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._target)) from error

    def close(self) -> None:
        """Close the file."""
        try:
            super().close()
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._target)) from error


@contextmanager
def _naming(new: Path, output: Path) -> Iterator[None]:
    """Give the error of a full disk the name that the file has in `output`, which is made in `new`."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        full = next((code for code in DISK_FULL if _tells(error, code)), None)
        if full is None:
            raise
        raise OSError(full, os.strerror(full), str(_final(error, new, output))) from error


def _tells(error: Exception, code: int) -> bool:
    """Whether this is the error of the system with that number, or a library's own error that quotes it."""
    return error.errno == code if isinstance(error, OSError) else os.strerror(code) in str(error)


def _final(error: Exception, new: Path, output: Path) -> Path:
    """The file that the error names, as it will be called; `output` if it names none."""
    named = (error.filename2 or error.filename) if isinstance(error, OSError) else None  # copying names two
    path = Path(named or new)
    return output / path.relative_to(new) if path.is_relative_to(new) else path


# -- reading --


def _object(path: str | os.PathLike[str], number: int, line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        raise UserError(f"{path}, line {number}: not UTF-8 text ({error.reason})") from error
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {number}: not JSON ({error.msg})") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}, line {number}: not JSON ({error})") from error
    if not isinstance(value, dict):
        raise UserError(f"{path}, line {number}: expected a JSON object, found {type(value).__name__}")
    return value


def _bytes(path: str | os.PathLike[str]) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; `dvc repro` makes the files of the pipeline") from error
