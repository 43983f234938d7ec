"""The databases of a server: those that it was started with, by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from text2sql.ask.asker import Asker
from text2sql.errors import UserError
from text2sql.schema.model import Schema
from text2sql.targets import open_target
from text2sql.targets.files import FileTarget, file_dialect
from text2sql.targets.model import Dialect, Limits, Result, Target
from text2sql.web.model import SharedModel


@dataclass(frozen=True, slots=True)
class Named:
    """A database whose users know its name, and not where it is. The functions are those of `Target`."""

    label: str
    target: Target

    @property
    def dialect(self) -> Dialect:
        """The SQL that it understands."""
        return self.target.dialect

    def schema(self, examples: int = 0, comments: bool = False) -> Schema:
        """Its tables."""
        with self._naming():
            return self.target.schema(examples, comments)

    def run(self, sql: str, limits: Limits) -> Result:
        """The result of one query."""
        with self._naming():
            return self.target.run(sql, limits)

    def plan(self, sql: str, limits: Limits) -> list[str]:
        """The lines of the database's EXPLAIN."""
        with self._naming():
            return self.target.plan(sql, limits)

    @contextmanager
    def _naming(self) -> Iterator[None]:
        """Write the name in messages that have the path or the server's address."""
        try:
            yield
        except UserError as error:
            raise UserError(str(error).replace(self.target.label, self.label)) from error


class Databases:
    """Databases by name. A schema is read once, when it is first wanted."""

    def __init__(self, targets: Mapping[str, Target], model: SharedModel) -> None:
        self._targets, self._model = targets, model
        self._askers: dict[str, Asker] = {}

    @property
    def dialects(self) -> dict[str, Dialect]:
        """The names, in the order in which they were given, each with its SQL."""
        return {name: target.dialect for name, target in self._targets.items()}

    def read(self) -> None:
        """Read all schemas now.

        Raises:
            UserError: a database cannot be read.
        """
        for name in self._targets:
            self.asker(name)

    def asker(self, name: str) -> Asker:
        """What asks a database.

        Raises:
            KeyError: there is no database of this name.
            UserError: it cannot be read.
        """
        if name not in self._askers:  # two threads may both read it: a slow one is not to stop all others
            self._askers[name] = self._model.asker(Named(name, self._targets[name]))
        return self._askers[name]


def named_targets(given: Sequence[str]) -> dict[str, Target]:
    """The targets of paths, folders and URLs by a name for each: the file's, without its ending.

    Raises:
        UserError: see `open_target`; a folder has no database.
    """
    found: dict[str, Target] = {}
    for target in (target for text in given for target in _targets(text)):
        stem = target.path.stem if isinstance(target, FileTarget) else target.label.rpartition("/")[2]
        names = (stem if count == 1 else f"{stem} ({count})" for count in range(1, len(found) + 2))
        found[next(name for name in names if name not in found)] = target
    return found


def _targets(given: str) -> Iterable[Target]:
    folder = Path(given).expanduser()
    if "://" in given or not folder.is_dir():
        return [open_target(given)]
    targets = [target for path in sorted([*folder.glob("*"), *folder.glob("*/*")]) for target in _file(path)]
    if not targets:
        raise UserError(f"{folder}: has no SQLite or DuckDB file; name a database, or another folder")
    return targets


def _file(path: Path) -> list[Target]:
    """The database at a path of a folder, where other files are too."""
    if not path.is_file():
        return []
    try:
        return [FileTarget(path, file_dialect(path))]
    except UserError:
        return []
