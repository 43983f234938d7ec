"""Gives each job on a machine its own GPUs: a lock a GPU, held while a job uses it.

The locks are files of one folder per user, `text2sql-UID` in the folder for temporary files. The kernel
releases a lock when its process ends, however it ends.
Not covered: programs other than this project's, other users, jobs with another TMPDIR, the order in which
waiting jobs go on, and a MIG slice beside its whole GPU.
"""

from __future__ import annotations

import fcntl
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from io import TextIOWrapper
from multiprocessing.util import register_after_fork
from pathlib import Path

from text2sql.errors import UserError
from text2sql.gpus import VISIBLE, Gpu, environment, visible_gpus

HELD = "TEXT2SQL_GPUS"
"""Set while GPUs are claimed: those of CUDA_VISIBLE_DEVICES belong to this process or one that started it."""
_POLL_S = 1.0
_held = ExitStack()  # what `hold_gpus` claimed


@contextmanager
def claimed_gpus(count: int, label: str) -> Iterator[list[Gpu]]:
    """Hold `count` of the visible GPUs, and have CUDA_VISIBLE_DEVICES name only them; none without a GPU.

    It waits until as many are free, and says so on stderr. Inside a claim, also that of a process which
    started this one, the GPUs of that claim are used. To be entered before CUDA is initialised, because CUDA
    reads the variable then.

    Raises:
        UserError: fewer GPUs are visible, or the folder of the locks cannot be used.
    """
    gpus = visible_gpus()
    if not gpus:
        yield []
        return
    if len(gpus) < count:
        seen = f"only {len(gpus)} {'is' if len(gpus) == 1 else 'are'} visible"
        raise UserError(f"{label}: needs {count} GPUs, and {seen} (check nvidia-smi and {VISIBLE})")
    with ExitStack() as locks:
        taken = gpus[:count] if HELD in os.environ else _wait(gpus, count, label, locks)
        with _variables({**environment(taken), HELD: "claimed"}):
            yield taken


def hold_gpus(count: int, label: str) -> list[Gpu]:
    """Claim GPUs for the rest of this process; see `claimed_gpus`. Inside a claim it only names them."""
    return _held.enter_context(claimed_gpus(count, label))


def _wait(gpus: list[Gpu], count: int, label: str, locks: ExitStack) -> list[Gpu]:
    """Lock `count` of `gpus`, all at once; the locks are released with `locks`."""
    folder = _folder()
    said = False
    while True:
        taken, users = _try(folder, gpus, count, label, locks)
        if taken:
            return taken
        if not said:
            message = f"{label}: waits for {count} of {len(gpus)} GPUs; {'; '.join(users)}"
            print(message, file=sys.stderr, flush=True)
            said = True
        time.sleep(_POLL_S)


def _try(
    folder: Path, gpus: list[Gpu], count: int, label: str, locks: ExitStack
) -> tuple[list[Gpu], list[str]]:
    """Lock the first `count` free GPUs; with fewer free ones none, and it is said who uses the others."""
    # One job at a time tries, otherwise two could each hold a part of what both need.
    with open(folder / "claim.lock", "w") as turn, ExitStack() as trial:
        fcntl.flock(turn, fcntl.LOCK_EX)
        taken, users = [], []
        for gpu in gpus:
            path = folder / f"{gpu.uuid.replace('/', '_')}.lock"  # an older MIG name has slashes
            if _lock(path, label, trial):
                taken.append(gpu)
                if len(taken) == count:
                    locks.enter_context(trial.pop_all())
                    return taken, []
            else:
                users.append(f"GPU {gpu.number} is used by {path.read_text(encoding='utf-8')}")
        return [], users


def _lock(path: Path, label: str, locks: ExitStack) -> bool:
    """Whether the file could be locked; then it names this process, and is released with `locks`."""
    file = locks.enter_context(path.open("a+", encoding="utf-8"))
    # a forked process would otherwise hold the lock as long as it lives
    register_after_fork(file, TextIOWrapper.close)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    file.truncate(0)
    file.write(f"process {os.getpid()} ({label})")
    file.flush()
    return True


def _folder() -> Path:
    """The folder of the locks, which only this user can write to.

    Raises:
        UserError: another user made it.
    """
    folder = Path(tempfile.gettempdir()) / f"text2sql-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.lstat().st_uid != os.getuid():
        raise UserError(
            f"{folder}: belongs to another user; remove it, or set TMPDIR to a folder of your own"
        )
    return folder


@contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables of this process, and of those that it starts, for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
