"""Converts the schemas of test questions to CREATE TABLE text, each distinct schema once.

There are four back ends: `rules` reads prose or CREATE TABLE text, `sqlite` reads the database file,
`openai` (a module of its own) asks a language model, and `recorded` takes what a language model wrote
earlier. The last two need prose; `AnySchema` converts the other schemas by one of the first two. The text of
each is executed and compared with its source; what is wrong is listed, never dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from text2sql.errors import UserError
from text2sql.progress import Progress
from text2sql.schema.check import complaints
from text2sql.schema.database_files import find_database
from text2sql.schema.ddl import write_ddl
from text2sql.schema.model import Schema
from text2sql.schema.prose import read_prose
from text2sql.schema.reader import read_script
from text2sql.schema.recorded import recorded_ddl
from text2sql.schema.settings import ConvertSchema, Values
from text2sql.schema.sqlite import read_sqlite


@dataclass(frozen=True, slots=True)
class Source:
    """A schema to convert: `row` is the test question that has it (from 0).

    `prose` is DB-GPT's description, `ddl` CREATE TABLE text; both are "" if only the database has the schema.
    `recorded` is a language model's answer to the prose, "" if there is none.
    """

    row: int
    db_id: str
    prose: str
    recorded: str = ""
    ddl: str = ""


@dataclass(frozen=True, slots=True)
class Conversion:
    """CREATE TABLE text, and `problems`: how it differs from the source, () if it does not.

    `backend` made the text: `rules` also where a language model did not succeed. `attempts` counts the texts
    that were made and checked, which is 1 except for `openai`.
    """

    ddl: str
    backend: str
    attempts: int
    problems: tuple[str, ...]


class SourceError(UserError):
    """A source that cannot be read. The message names its row; callers put the name of the file before it."""


class Backend(Protocol):
    """A way to convert schemas."""

    def key(self, source: Source) -> str:
        """Two sources with one key have the same schema."""
        ...

    def convert_all(self, sources: Sequence[Source]) -> Iterator[tuple[Source, Conversion]]:
        """Yield each of `sources`, whose keys all differ, with its conversion, as soon as it is done.

        Raises:
            SourceError: the schema of a source cannot be read, or its recorded answer is missing.
            UserError: the back end cannot go on.
        """
        ...


@dataclass(frozen=True, slots=True)
class RulesBackend:
    """Reads prose by rules, or CREATE TABLE text of any database system.

    `values` says how the example values in prose are written (see `write_ddl`), `comments` whether the
    comments in CREATE TABLE text are.
    """

    values: Values
    comments: bool = False

    def key(self, source: Source) -> str:
        """The schema's text; two databases never have the same prose, as it begins with the database id."""
        return source.prose or source.ddl

    def convert_all(self, sources: Sequence[Source]) -> Iterator[tuple[Source, Conversion]]:
        """Yield the conversions in the order of `sources`."""
        for source in sources:
            if source.prose:
                yield source, written(prose_schema(source), "rules", self.values)
            else:
                yield source, rewritten(source, self.values, self.comments)


@dataclass(frozen=True, slots=True)
class SqliteBackend:
    """Reads DATABASES/ID/ID.sqlite, with up to `examples` values, and with `comments` these, of columns."""

    databases: Path
    values: Values
    examples: int
    comments: bool = False

    def key(self, source: Source) -> str:
        """The database id, whatever the prose says about that database."""
        return source.db_id

    def has(self, source: Source) -> bool:
        """Whether the file of the source's database is there."""
        return find_database(self.databases, source.db_id).is_file()

    def convert_all(self, sources: Sequence[Source]) -> Iterator[tuple[Source, Conversion]]:
        """Yield the conversions in the order of `sources`."""
        for source in sources:
            path = find_database(self.databases, source.db_id)
            examples = self.examples if self.values != "none" else 0
            schema = read_sqlite(path, examples, self.comments)
            yield source, written(schema, "sqlite", self.values, comments=self.comments)


@dataclass(frozen=True, slots=True)
class RecordedBackend:
    """Takes each source's `recorded` answer as it is, and lists how it differs from the prose.

    Example values are not compared: the text has those that its model wrote.
    """

    def key(self, source: Source) -> str:
        """The prose and the answer to it."""
        return f"{source.prose}\n{source.recorded}"

    def convert_all(self, sources: Sequence[Source]) -> Iterator[tuple[Source, Conversion]]:
        """Yield the conversions in the order of `sources`."""
        for source in sources:
            schema, ddl = prose_schema(source), recorded_ddl(source.recorded)
            if not ddl:
                raise SourceError(f"row {source.row} (database {source.db_id}): no schema is recorded for it")
            yield source, Conversion(ddl, "recorded", 1, complaints(ddl, schema, with_values=False))


# Back ends that need no server.
LocalBackend = RulesBackend | SqliteBackend | RecordedBackend


@dataclass(frozen=True)
class AnySchema:
    """Converts what the back end `asked` can, and the rest from the database or from CREATE TABLE text.

    Prose goes to `asked`. Without prose, `rules` takes CREATE TABLE text and else the database; the others
    take the database, and CREATE TABLE text where it is missing. Each conversion names its back end.
    """

    asked: Backend
    database: SqliteBackend

    @property
    def rules(self) -> RulesBackend:
        """Reads CREATE TABLE text."""
        return RulesBackend(self.database.values, self.database.comments)

    def key(self, source: Source) -> str:
        """The back end and its key."""
        backend = self.choice(source)
        return f"{type(backend).__name__}: {backend.key(source)}"

    def choice(self, source: Source) -> Backend:
        """The back end that converts a source; `database` also where nothing can."""
        if source.prose or (source.ddl and isinstance(self.asked, RulesBackend)):
            return self.asked
        return self.rules if source.ddl and not self.database.has(source) else self.database

    def convert_all(self, sources: Sequence[Source]) -> Iterator[tuple[Source, Conversion]]:
        """Yield the conversions; what `asked` may be paid for comes last, when the others have succeeded."""
        own = [source for source in sources if self.choice(source) is self.asked]
        for source in (source for source in sources if self.choice(source) is not self.asked):
            yield from self.choice(source).convert_all([source])
        if own:
            yield from self.asked.convert_all(own)


def local_backend(settings: ConvertSchema, databases: Path, comments: bool = False) -> LocalBackend:
    """The back end that `settings` name, other than openai; `databases` is for sqlite.

    `comments`: whether schemas have the comments of columns.
    """
    if settings.backend == "rules":
        return RulesBackend(settings.values, comments)
    if settings.backend == "sqlite":
        return SqliteBackend(databases, settings.values, settings.examples, comments)
    return RecordedBackend()


def convert(sources: Iterable[Source], backend: Backend) -> dict[str, Conversion]:
    """Convert each distinct schema once; returns the conversions by `backend.key(source)`.

    Progress is shown on stderr. Exceptions are those of `Backend.convert_all`.
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


def prose_schema(source: Source) -> Schema:
    """The schema that the source's prose describes.

    Raises:
        SourceError: the prose cannot be read.
    """
    try:
        return read_prose(source.prose)[1]
    except UserError as error:
        raise SourceError(f"row {source.row} (database {source.db_id}): {error}") from error


def rewritten(source: Source, values: Values, comments: bool = False) -> Conversion:
    """The conversion of CREATE TABLE text; tables that cannot be read are left out, and among the problems.

    Raises:
        SourceError: no table can be read.
    """
    script = read_script(source.ddl)
    lost = tuple(f"table {name} is left out: {reason}" for name, reason in script.unreadable.items())
    if not script.schema.tables:
        fault = "; ".join(lost) or "it has none"
        place = f"row {source.row} (database {source.db_id})"
        raise SourceError(f"{place}: no table can be read from its CREATE TABLE text: {fault}")
    made = written(script.schema, "rules", values, comments=comments)
    return replace(made, problems=(*lost, *made.problems))


def written(
    schema: Schema, backend: str, values: Values, attempts: int = 1, comments: bool = False
) -> Conversion:
    """The conversion of a known schema: its text, executed and compared with it."""
    ddl = write_ddl(schema, values=values, comments=comments)
    return Conversion(ddl, backend, attempts, complaints(ddl, schema, values != "none"))


def count_backends(conversions: Iterable[Conversion]) -> dict[str, int]:
    """How many conversions each back end made, by its name."""
    return dict(sorted(Counter(conversion.backend for conversion in conversions).items()))
