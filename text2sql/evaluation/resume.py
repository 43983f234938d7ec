"""Verdicts of a run that was stopped, kept in the work store for the same command.

They are the first ones, in order, of a run on the same cases and databases, with the same settings. A
database counts as the same if its files have the same names, sizes and times of change. What is kept is
removed when the run is complete. Not covered: verdicts of the last `_EVERY_S` seconds before a kill; they are
given again.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from io import TextIOWrapper
from itertools import islice
from multiprocessing.util import register_after_fork
from pathlib import Path
from typing import Any

from text2sql.evaluation.execution.databases import database_files
from text2sql.evaluation.execution.sandbox import DatabaseError
from text2sql.evaluation.judge import describe
from text2sql.evaluation.settings import JudgeSettings
from text2sql.evaluation.verdicts import Case, PartCount, Verdict
from text2sql.journal import Journal
from text2sql.workstore import WorkStore, hash_path

_EVERY_S = 0.5  # between two writes
_STAGE, _FILE, _LOCK = "evaluate", "verdicts.jsonl", ".lock"
_FORMAT = (
    2  # of what is kept: raise it with every change of the verdicts that the evaluator's version does not say
)
_KEPT = "the verdicts until then are kept"


class Resumed:
    """The verdicts of an earlier run, and those of this one; `folder` is where they are kept (None: nowhere).

    Raises:
        UserError: the file in `folder` is damaged.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.found: list[Verdict] = []
        """The verdicts of the earlier run, on the first cases."""
        self._pending: list[Verdict] = []
        self._written = 0.0
        self._journal = Journal(folder / _FILE, self._read, "it is judged again") if folder else None

    @property
    def keeps(self) -> bool:
        """Whether the verdicts are kept, so that the next run can go on."""
        return self._journal is not None

    def judge(
        self, cases: Iterable[Case], judge: Callable[[Iterable[Case]], Iterable[Verdict]]
    ) -> Iterator[Verdict]:
        """Yield the verdicts that were found, then those of `judge` on the cases that are left."""
        yield from self.found
        for verdict in judge(islice(cases, len(self.found), None)):
            self._pending.append(verdict)
            if time.monotonic() > self._written + _EVERY_S:
                self.write()
            yield verdict

    def write(self) -> None:
        """Keep the verdicts since the last time.

        Raises:
            UserError: the disk does not take them.
        """
        # A signal may end this after it has written: what is pending must never be written twice.
        verdicts, self._pending = self._pending, []
        if self._journal and verdicts:
            self._journal.append({"verdicts": [asdict(verdict) for verdict in verdicts]}, _KEPT)
        self._written = time.monotonic()

    def _read(self, entry: Any) -> str:
        try:
            self.found += [_verdict(row) for row in entry["verdicts"]]
        except (TypeError, KeyError, AttributeError):
            return "not verdicts of this program"
        return ""


@contextmanager
def resuming(
    cases: Iterable[Case],
    databases: Path | None,
    settings: JudgeSettings,
    tables: Path | None,
    suite: Path | None,
    warn: Callable[[str], object],
) -> Iterator[Resumed]:
    """Find what an earlier run with the same inputs has kept; it is removed if the block ends without error.

    Where nothing can be kept, or another process is doing the same, `warn` is called with the reason.

    Raises:
        UserError: what was kept is damaged.
    """
    key = _key(cases, databases, settings, tables, suite)
    try:
        folder = WorkStore.from_environment().open(_STAGE, key)
        lock = (folder / _LOCK).open("w")
    except OSError as error:
        warn(f"{error.filename}: {error.strerror}; if this run is stopped, it begins anew")
        yield Resumed()
        return
    with lock:
        register_after_fork(lock, TextIOWrapper.close)  # workers must not keep it locked
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            warn(f"{folder}: another run is judging the same; if this one is stopped, it begins anew")
            yield Resumed()
            return
        resumed = Resumed(folder)
        try:
            yield resumed
        except BaseException:
            resumed.write()
            raise
        _remove(folder)


def _key(
    cases: Iterable[Case],
    databases: Path | None,
    settings: JudgeSettings,
    tables: Path | None,
    suite: Path | None,
) -> Mapping[str, object]:
    digest = hashlib.sha256()
    db_ids = set()
    for case in cases:
        db_ids.add(case.db_id)
        digest.update(repr(asdict(case)).encode())
    return {
        "cases": digest.hexdigest(),
        "databases": str(databases.resolve()) if databases else None,
        "files": {db_id: _state(databases, db_id) for db_id in sorted(db_ids)} if databases else {},
        "settings": settings.model_dump(exclude={"executor"}, mode="json"),
        "tables": hash_path(tables) if tables else None,
        "suite": hash_path(suite) if suite else None,
        "evaluator": describe(settings),
        "format": _FORMAT,
    }


def _state(databases: Path, db_id: str) -> list[tuple[str, int, int]]:
    try:
        files = [(file.name, file.stat()) for file in database_files(databases, db_id)]
    except DatabaseError:
        return []
    return [(name, status.st_size, status.st_mtime_ns) for name, status in files]


def _verdict(row: Mapping[str, Any]) -> Verdict:
    parts = row["parts"]
    counts = parts and {name: PartCount(**part) for name, part in parts.items()}
    return Verdict(**{**row, "parts": counts, "notes": tuple(row["notes"])})


def _remove(folder: Path) -> None:
    """Remove the folder, and those above it in the work store if they are empty."""
    shutil.rmtree(folder)
    with suppress(OSError):  # they have something else
        folder.parent.rmdir()
        folder.parent.parent.rmdir()
