"""Databases that users upload: each belongs to one session, and is removed with it.

An uploaded file is moved to a name that the server makes up; what the user calls it is only shown. Whether it
can be read is tried in a process of its own first, with limits of time and memory (`text2sql.web.probe`).
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from text2sql.ask.asker import Asker
from text2sql.ask.shown import printable
from text2sql.errors import UserError
from text2sql.targets.files import FileTarget, file_dialect
from text2sql.web.databases import Named
from text2sql.web.model import SharedModel
from text2sql.web.probe import PROBE_S

_OF_ONE_SESSION = 5
_OF_ALL = 50
_START_S = 20.0
_NAME = 60  # characters that are shown


class Uploads:
    """The uploaded databases of all sessions, by session and key."""

    def __init__(self, folder: Path, model: SharedModel) -> None:
        self._folder, self._model = folder, model
        self._of: dict[str, dict[str, Asker]] = {}
        self._lock = Lock()

    def add(self, session: str, path: Path, name: str) -> str:
        """Take over the file at `path`; returns the key of the database.

        Raises:
            UserError: it is no database, takes too long to read, or there are too many uploads.
        """
        key = secrets.token_hex(16)
        home = self._folder / key
        home.mkdir(mode=0o700)
        with self._removing_on_error(home):
            file = Path(shutil.move(path, home / "database"))
            asker = self._asker(file, shown_name(name))
            self._keep(session, key, asker)
        return key

    def names(self, session: str) -> dict[str, str]:
        """The names of a session's databases by key."""
        return {key: asker.target.label for key, asker in self._of.get(session, {}).items()}

    def asker(self, session: str, key: str) -> Asker:
        """What asks an uploaded database.

        Raises:
            KeyError: this session has no such database.
        """
        return self._of.get(session, {})[key]

    def drop(self, session: str) -> None:
        """Remove the files of a session that has ended."""
        with self._lock:
            for key in self._of.pop(session, {}):
                shutil.rmtree(self._folder / key)

    def _asker(self, file: Path, name: str) -> Asker:
        try:
            target = FileTarget(file, file_dialect(file))
            _probe(file, self._model)
            return self._model.asker(Named(name, target))
        except UserError as error:
            raise UserError(str(error).replace(str(file), name)) from error

    def _keep(self, session: str, key: str, asker: Asker) -> None:
        with self._lock:
            own = self._of.get(session, {})
            if len(own) >= _OF_ONE_SESSION:
                raise UserError(f"you have {len(own)} uploads already; reload the page to remove them")
            if sum(map(len, self._of.values())) >= _OF_ALL:
                raise UserError(f"the server keeps {_OF_ALL} uploads already; try again later")
            self._of.setdefault(session, {})[key] = asker

    @contextmanager
    def _removing_on_error(self, home: Path) -> Iterator[None]:
        try:
            yield
        except BaseException:
            shutil.rmtree(home)
            raise


def shown_name(name: str) -> str:
    """A user's file name as it is shown: its last part, printable and not long."""
    last = printable(name.replace("\\", "/").rpartition("/")[2]).strip() or "upload"
    return last if len(last) <= _NAME else f"{last[:_NAME]}..."


def _probe(file: Path, model: SharedModel) -> None:
    """Read the schema in another process first.

    Raises:
        UserError: it cannot be read within the limits.
    """
    plan = model.plan
    examples = plan.examples if plan.values != "none" else 0
    command = [sys.executable, "-P", "-m", "text2sql.web.probe"]
    arguments = [str(os.getpid()), str(file), str(examples), str(int(plan.prompt.comments))]
    try:
        done = subprocess.run([*command, *arguments], capture_output=True, timeout=PROBE_S + _START_S)
    except subprocess.TimeoutExpired as error:
        raise UserError(f"{file}: takes too long to read; upload a smaller database") from error
    if done.returncode != 0:
        last = done.stdout.decode(errors="replace").strip()
        raise UserError(last or f"{file}: cannot be read within {PROBE_S:g} s; upload a smaller database")
