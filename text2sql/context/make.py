"""The schema text of each question with the context that the settings ask for."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from text2sql.context.hints import Hint, ValueIndex
from text2sql.context.link import Linker, places
from text2sql.context.settings import Context
from text2sql.context.values import DatabaseValues, database_values, quoted
from text2sql.context.words import question_words
from text2sql.context.write import Shown, as_ddl, as_m_schema
from text2sql.errors import UserError
from text2sql.processes import spread
from text2sql.progress import Progress
from text2sql.schema.ddl import read_ddl
from text2sql.schema.descriptions import with_descriptions
from text2sql.schema.model import Place, Schema
from text2sql.schema.settings import Prompt
from text2sql.workstore import WorkStore

_LINKED_BY = 10  # values of the question that count in the choice of columns
KEPT, MISSING, WRONG = "kept", "missing", "wrong"


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, or a training row where `trained`; `database` is its file, which may be missing."""

    id: str
    database: Path
    db_id: str
    question: str
    ddl: str
    trained: bool = False


@dataclass(frozen=True, slots=True)
class Made:
    """The schema text of a question, its hints, and the columns shown, in lower case.

    Where there is no context `problem` says why, and the text is "". `hinted` says what became of the hints
    of a training row: "" where the question has none, else KEPT, MISSING or WRONG.
    """

    text: str
    hints: tuple[Hint, ...] = ()
    columns: frozenset[Place] = frozenset()
    problem: str = ""
    hinted: str = ""


@dataclass(frozen=True, slots=True)
class Read:
    """What was left out of a database, by bounds and as unreadable; or why it has no values."""

    database: Path
    limits: Sequence[str] = ()
    unreadable: Mapping[str, str] | None = None
    problem: str = ""


def make_contexts(
    asked: Sequence[Asked], settings: Context, prompt: Prompt, store: WorkStore, processes: int
) -> tuple[list[Made], list[Read]]:
    """The context of each question, in their order, and what was read of each database, sorted by its file.

    A question whose database or schema cannot be read has none, and a `problem`.
    """
    groups = defaultdict[Path, list[int]](list)
    for number, one in enumerate(asked):
        groups[one.database].append(number)
    files = sorted(groups)
    work = partial(_of_database, settings=settings, prompt=prompt, store=store)
    items = [(file, [asked[number] for number in groups[file]]) for file in files]
    progress = Progress(len(files), "databases", "add_context")
    made: list[Made] = [Made("")] * len(asked)
    read: list[Read] = [Read(file) for file in files]
    for number, (report, found) in spread(work, items, processes):
        read[number] = report
        for place, context in zip(groups[files[number]], found, strict=True):
            made[place] = context
        progress.advance()
    return made, read


def _of_database(
    item: tuple[Path, Sequence[Asked]], settings: Context, prompt: Prompt, store: WorkStore
) -> tuple[Read, list[Made]]:
    file, asked = item
    try:
        values = database_values(file, store)
    except UserError as error:
        return Read(file, problem=str(error)), [Made("", problem=str(error)) for _ in asked]
    maker = Maker(values, file, settings, prompt)
    return Read(file, values.limits, values.unreadable), [maker.make(one) for one in asked]


class Maker:
    """Makes the contexts of the questions about one database."""

    def __init__(self, values: DatabaseValues, file: Path, settings: Context, prompt: Prompt) -> None:
        self._file, self._settings, self._prompt = file, settings, prompt
        self._index = ValueIndex(values)
        self._columns = {(one.table.lower(), one.column.lower()): one for one in values.columns}
        self._linkers: dict[str, Linker] = {}

    def make(self, asked: Asked) -> Made:
        """The context of one question."""
        try:
            linker = self._linker(asked.ddl)
        except UserError as error:
            return Made("", problem=str(error))
        words, settings = question_words(asked.question), self._settings
        scores = linker.scores(words)
        most = max(settings.value_hints, _LINKED_BY)
        found = self._index.find(asked.question, most, linker.names, lambda at: scores.get(_lower(at), 0.0))
        schema, columns = linker.schema, linker.places
        if settings.link is not None:
            schema = linker.cut(linker.scores(words, _qualities(found)), settings.link)
            columns = places(schema)
        hints = [hint for hint in found if _lower((hint.table, hint.column)) in columns]
        shown, fate = self._altered(asked, hints[: settings.value_hints])
        return Made(self._text(schema, shown, asked.db_id), tuple(shown), columns, hinted=fate)

    def _linker(self, ddl: str) -> Linker:
        if ddl not in self._linkers:
            schema = read_ddl(ddl, self._prompt.comments or self._settings.descriptions)
            described = with_descriptions(schema, self._file) if self._settings.descriptions else schema
            self._linkers[ddl] = Linker(described)
        return self._linkers[ddl]

    def _text(self, schema: Schema, hints: Sequence[Hint], db_id: str) -> str:
        settings, types = self._settings, self._prompt.schema_types
        if not settings.foreign_keys:
            schema = Schema(tuple(replace(table, foreign_keys=()) for table in schema.tables))
        named = defaultdict[Place, list[str]](list)
        for hint in hints:
            named[_lower((hint.table, hint.column))].append(quoted(hint.value))
        values = {place: Shown(named.get(place, ()), self._examples(place)) for place in places(schema)}
        if settings.form == "m_schema":
            return as_m_schema(schema, values, types, db_id)
        return as_ddl(schema, values, types)

    def _examples(self, place: Place) -> list[str]:
        column = self._columns.get(place)
        return column.examples(self._settings.example_values) if column else []

    def _altered(self, asked: Asked, hints: list[Hint]) -> tuple[list[Hint], str]:
        """The hints of a training row, or without them, or with wrong ones; by chance that its id decides."""
        if not asked.trained or not hints:
            return hints, KEPT if hints else ""
        chance = random.Random(f"hints:{asked.id}")
        drawn = chance.random()
        if drawn < self._settings.missing_rate:
            return [], MISSING
        if drawn < self._settings.missing_rate + self._settings.wrong_rate:
            wrong = [*self._wrong(hints, chance)]
            return wrong, WRONG if wrong else MISSING
        return hints, KEPT

    def _wrong(self, hints: Sequence[Hint], chance: random.Random) -> Iterator[Hint]:
        """Each hint with a value of its column that is none of the hints; none where there is no other."""
        used = {(hint.table, hint.column, hint.value) for hint in hints}
        for hint in hints:
            texts = self._columns[_lower((hint.table, hint.column))].texts
            others = [text for text in texts if (hint.table, hint.column, text) not in used]
            if others:
                value = chance.choice(others)
                used.add((hint.table, hint.column, value))
                yield replace(hint, value=value)


def _qualities(hints: Sequence[Hint]) -> dict[Place, float]:
    """The quality of the best hint of each column that has one."""
    best: dict[Place, float] = {}
    for hint in hints:
        place = _lower((hint.table, hint.column))
        best[place] = max(hint.quality, best.get(place, 0.0))
    return best


def _lower(place: Place) -> Place:
    return place[0].lower(), place[1].lower()
