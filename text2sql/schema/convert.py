"""Schemas of test questions become CREATE TABLE text: each distinct one once, by one of four back ends.

`rules` reads the prose, `sqlite` the database file, `openai` (its own module) asks a language model, and
`recorded` takes what a language model once wrote.
Whatever a back end makes is executed and compared with its source; what is wrong is told, never dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from text2sql.databases import database_path
from text2sql.errors import UserError
from text2sql.progress import Progress
from text2sql.schema.check import complaints
from text2sql.schema.ddl import write_ddl
from text2sql.schema.model import Schema
from text2sql.schema.prose import read_prose
from text2sql.schema.recorded import recorded_ddl
from text2sql.schema.settings import ConvertSchema, Values
from text2sql.schema.sqlite import read_sqlite


@dataclass(frozen=True, slots=True)
class Source:
    """A schema to convert: `row` is the question where it stands (from 0), `prose` DB-GPT's words.

    `recorded` is a language model's answer to that prose, "" where there is none.
    """

    row: int
    db_id: str
    prose: str
    recorded: str = ""


@dataclass(frozen=True, slots=True)
class Conversion:
    """CREATE TABLE text, and `problems`: what in it differs from the source, () when nothing does.

    `backend` made the text in the end: `rules` where a language model fell short. `attempts` counts
    the texts that were made and checked until then, 1 but for `openai`.
    """

    ddl: str
    backend: str
    attempts: int
    problems: tuple[str, ...]


class SourceError(UserError):
    """A source that cannot be read; the message names its row, who knows the file puts it before that."""


class Backend(Protocol):
    """A way to convert schemas."""

    def key(self, source: Source) -> str:
        """What tells the schema of one source from another's."""
        ...

    def convert_all(self, sources: Sequence[Source]) -> Iterator[tuple[Source, Conversion]]:
        """Yield each of `sources`, no two of one key, with its conversion, in any order, as they are done.

        SourceError: the prose of a source does not fit, or lacks its recorded answer. UserError: the
        back end cannot go on.
        """
        ...


@dataclass(frozen=True, slots=True)
class RulesBackend:
    """Reads the prose by rules. `values` says how its value hints are written (see `write_ddl`)."""

    values: Values

    def key(self, source: Source) -> str:
        """The prose: two databases never share it, for it begins with the database id."""
        return source.prose

    def convert_all(self, sources: Sequence[Source]) -> Iterator[tuple[Source, Conversion]]:
        """Yield the conversions in the order of `sources`."""
        for source in sources:
            yield source, written(told_schema(source), "rules", self.values)


@dataclass(frozen=True, slots=True)
class SqliteBackend:
    """Reads `databases`/ID/ID.sqlite, with up to `examples` values of each column."""

    databases: Path
    values: Values
    examples: int

    def key(self, source: Source) -> str:
        """The database id, whatever the prose tells of that database."""
        return source.db_id

    def convert_all(self, sources: Sequence[Source]) -> Iterator[tuple[Source, Conversion]]:
        """Yield the conversions in the order of `sources`."""
        for source in sources:
            path = database_path(self.databases, source.db_id)
            examples = self.examples if self.values != "none" else 0
            yield source, written(read_sqlite(path, examples), "sqlite", self.values)


@dataclass(frozen=True, slots=True)
class RecordedBackend:
    """Takes each source's `recorded` answer as it is, and tells what in it differs from the prose.

    Example values are not compared: the text has those that its model put there.
    """

    def key(self, source: Source) -> str:
        """The prose and the answer to it."""
        return f"{source.prose}\n{source.recorded}"

    def convert_all(self, sources: Sequence[Source]) -> Iterator[tuple[Source, Conversion]]:
        """Yield the conversions in the order of `sources`."""
        for source in sources:
            schema, ddl = told_schema(source), recorded_ddl(source.recorded)
            if not ddl:
                raise SourceError(f"row {source.row} (database {source.db_id}): no schema is recorded for it")
            yield source, Conversion(ddl, "recorded", 1, complaints(ddl, schema, with_values=False))


# back ends that need nothing but this machine
LocalBackend = RulesBackend | SqliteBackend | RecordedBackend


def local_backend(settings: ConvertSchema, databases: Path) -> LocalBackend:
    """The back end that `settings` name, other than openai; `databases` is for sqlite."""
    if settings.backend == "rules":
        return RulesBackend(settings.values)
    if settings.backend == "sqlite":
        return SqliteBackend(databases, settings.values, settings.examples)
    return RecordedBackend()


def convert(sources: Iterable[Source], backend: Backend) -> dict[str, Conversion]:
    """Convert each distinct schema once; returns the conversions by `backend.key(source)`.

    Says on stderr how far it is. UserError: see `Backend.convert_all`.
    """
    distinct: dict[str, Source] = {}
    for source in sources:
        distinct.setdefault(backend.key(source), source)
    progress = Progress(len(distinct), "schemas", "convert_schema")
    done = {}
    for source, conversion in backend.convert_all(list(distinct.values())):
        done[backend.key(source)] = conversion
        progress.advance()
    return {key: done[key] for key in distinct}


def told_schema(source: Source) -> Schema:
    """The schema that the source's prose tells. SourceError: it does not fit."""
    try:
        return read_prose(source.prose)[1]
    except UserError as error:
        raise SourceError(f"row {source.row} (database {source.db_id}): {error}") from error


def written(schema: Schema, backend: str, values: Values, attempts: int = 1) -> Conversion:
    """The conversion of a schema that is known: written, executed, compared."""
    ddl = write_ddl(schema, values=values)
    return Conversion(ddl, backend, attempts, complaints(ddl, schema, values != "none"))


def count_backends(conversions: Iterable[Conversion]) -> dict[str, int]:
    """How many conversions each back end made, by its name."""
    return dict(sorted(Counter(conversion.backend for conversion in conversions).items()))
