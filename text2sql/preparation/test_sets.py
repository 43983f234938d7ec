"""Files of test questions in any known format, brought into the one form of text2sql/preparation/raw_test.py.

Formats: `dbgpt` (DB-GPT-Hub: instruction, input, output, the instruction being the schema in prose), `spider`
(question, query, db_id; of Spider-Syn the question with synonyms), `bird` (question, evidence, SQL,
difficulty, db_id) and `rows` (any names, by `columns`). A question without gold query is kept.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

from text2sql.errors import UserError
from text2sql.preparation.outside_data import OutsideSchemas
from text2sql.preparation.settings import Columns, Format, QuestionFile
from text2sql.preparation.sources import is_known_kind, known_kinds, read_chunks
from text2sql.prompts import with_evidence
from text2sql.schema.database_files import is_database_id
from text2sql.schema.prose import is_prose, prose_database

_NEXT = "fix it, then: dvc repro"
_SHARED = {"db_id": "db_id", "schema": "schema", "evidence": "evidence", "slice": "slice"}
_NUMBERS = {"id", "question_id"}  # keys that say nothing


class Shape(NamedTuple):
    """A format with the keys of its rows: for each field the key that has it."""

    format: Format
    keys: Mapping[str, str]

    def is_of(self, found: Collection[str]) -> bool:
        """Whether rows with these keys have this shape; without gold, no unknown key may be beside them."""
        needed = {self.keys["question"], self.keys["sql"]}
        if self.format == "dbgpt":
            needed |= {"instruction"}
        without_gold = self.keys["question"] in found and set(found) <= {*self.keys.values(), *_NUMBERS}
        return needed <= set(found) or without_gold

    def may_be_of(self, found: Collection[str]) -> bool:
        """Whether a user may say that rows have this shape: not if their gold is that of another one."""
        has_gold = self.keys["sql"] in found or not any(shape.keys["sql"] in found for shape in SHAPES)
        return self.keys["question"] in found and has_gold


_DBGPT = {"question": "input", "sql": "output", "schema": "instruction", "recorded": "table_creating"}
SHAPES = (
    Shape("spider", {**_SHARED, "question": "SpiderSynQuestion", "sql": "query"}),
    Shape("spider", {**_SHARED, "question": "question", "sql": "query"}),
    Shape("bird", {**_SHARED, "question": "question", "sql": "SQL", "slice": "difficulty"}),
    Shape("dbgpt", {"db_id": "db_id", "slice": "slice", **_DBGPT}),
    Shape("rows", {**_SHARED, "question": "question", "sql": "sql"}),
)


@dataclass(frozen=True)
class QuestionReader:
    """Reads the test set `name` from the file `path`."""

    name: str
    path: Path
    settings: QuestionFile
    schemas: OutsideSchemas

    def lines(self) -> Iterator[dict[str, str]]:
        """Yield the questions in the form of raw_test.py; every database id can be the name of a folder.

        Raises:
            UserError: the file cannot be read, has no question or an unknown format, or a row (numbered
                from 0) has no question or no database, or a value that is not text.
        """
        rows = [self._object(number, row) for number, row in enumerate(_rows(self.path))]
        if not rows:
            raise UserError(f"{self.path}: has no question; {_NEXT}")
        keys = self._keys(rows)
        for number, row in enumerate(rows):
            if None in row:  # the key under which csv.DictReader puts cells beyond the header
                raise UserError(f"{self.path}, row {number}: has more cells than the header; {_NEXT}")
            yield self._line(number, {field: self._text(number, row, key) for field, key in keys.items()})

    def _object(self, number: int, row: object) -> dict[str, Any]:
        if not isinstance(row, dict):
            raise UserError(
                f"{self.path}, row {number}: expected an object, found {type(row).__name__}; {_NEXT}"
            )
        return row

    def _keys(self, rows: list[dict[str, Any]]) -> Mapping[str, str]:
        """The key of each field that the rows may have."""
        found = list(dict.fromkeys(str(key) for row in rows for key in row))
        if self.settings.columns is not None:
            absent = sorted(set(self.settings.columns.values()) - set(found))
            if absent:
                raise self._unfit(f"no row has {', '.join(absent)}", found)
            return cast(Mapping[str, str], self.settings.columns)
        asked = self.settings.format
        for shape in SHAPES:
            fits = shape.is_of(found) if asked is None else shape.may_be_of(found) and shape.format == asked
            if fits:
                return shape.keys
        raise self._unfit(f"not of format {asked}" if asked else "its format is not known", found)

    def _unfit(self, what: str, found: Collection[str]) -> UserError:
        line = (
            f"{self.name}: {{file: {self.settings.file}, columns: {{question: ..., sql: ..., db_id: ...}}}}"
        )
        return UserError(
            f"{self.path}: {what}; its rows have {', '.join(found)}; say which is which in params.yaml, "
            f"fetch_data.test: `{line}` (also schema, evidence, slice; leave out what it does not have)"
        )

    def _text(self, number: int, row: dict[str, Any], key: str) -> str:
        """The stripped text under a key, "" where there is none."""
        value = row.get(key)
        if value is None:
            return ""
        text = str(value) if isinstance(value, int) else value
        if not isinstance(text, str) or not _is_fit(text):
            raise UserError(f"{self.path}, row {number}: {key!r} is not valid text; {_NEXT}")
        return text.strip()

    def _line(self, number: int, fields: dict[str, str]) -> dict[str, str]:
        question = fields["question"]
        if not question:
            raise UserError(f"{self.path}, row {number}: has no question; {_NEXT}")
        db_id = self._database(number, fields)
        line = {"db_id": db_id, "question": with_evidence(question, fields.get("evidence", ""))}
        schema = fields.get("schema") or (self.schemas.ddl(db_id) if db_id else "")
        optional = {"gold": fields.get("sql"), "schema": schema, "slice": fields.get("slice")}
        optional["recorded"] = fields.get("recorded")
        return line | {field: text for field, text in optional.items() if text}

    def _database(self, number: int, fields: dict[str, str]) -> str:
        """The database of a row: its own, that of its prose, or the only one; "" if it has only a schema."""
        schema, known = fields.get("schema", ""), self.schemas.known
        db_id = fields.get("db_id") or self._proses_database(number, schema)
        db_id = db_id or (known[0] if len(known) == 1 else "")
        if not db_id and not schema:
            raise UserError(
                f"{self.path}, row {number}: has no db_id, and the set has {len(known)} databases; add it, "
                f"or fix fetch_data.test.{self.name}.databases in params.yaml, then: dvc repro"
            )
        if db_id and not is_database_id(db_id):
            raise UserError(f"{self.path}, row {number}: {db_id!r} cannot be the name of a database; {_NEXT}")
        return db_id

    def _proses_database(self, number: int, schema: str) -> str:
        """The database that prose begins with, "" if the schema is not prose."""
        try:
            return prose_database(schema) if is_prose(schema) else ""
        except UserError as error:
            raise UserError(f"{self.path}, row {number}: {error}; {_NEXT}") from error


def add_recorded(
    lines: list[dict[str, str]], answers: Mapping[str, str], path: Path, recorded: str
) -> list[dict[str, str]]:
    """Add to each line with prose its answer; `path` is their file, `recorded` that of the answers.

    Raises:
        UserError: a prose has no answer.
    """
    for number, line in enumerate(lines):
        if is_prose(line.get("schema", "")) and line["schema"] not in answers:
            raise UserError(
                f"{path}, row {number}: {recorded} has no schema for its prose; use a "
                "file that has one, or set fetch_data.recorded_schemas in params.yaml to null"
            )
    return [line | _recorded(line, answers) for line in lines]


def _recorded(line: dict[str, str], answers: Mapping[str, str]) -> dict[str, str]:
    schema = line.get("schema", "")
    return {"recorded": answers[schema]} if is_prose(schema) else {}


def _rows(path: Path) -> Iterator[object]:
    """The values of a file's rows.

    Raises:
        UserError: the file is of an unknown kind, or cannot be read.
    """
    if not is_known_kind(path):
        raise UserError(f"{path}: unknown kind of file, known: {known_kinds()}; {_NEXT}")
    for chunk in read_chunks(path, _all_columns(path), strict=True):
        yield from (value for _, value in chunk.rows)


def _all_columns(path: Path) -> Columns | None:
    """The columns of a Parquet file, of which only those asked for are read; None for other files."""
    if path.suffix.lower() != ".parquet":
        return None
    import pyarrow
    import pyarrow.parquet

    try:
        return cast(Columns, {name: name for name in pyarrow.parquet.read_schema(path).names})
    except pyarrow.ArrowException as error:
        raise UserError(f"{path}: not a readable Parquet file ({error}); {_NEXT}") from error


def _is_fit(text: str) -> bool:
    """Whether SQLite reads a text to its end, and it can be written as UTF-8."""
    return "\0" not in text and text == text.encode("utf-8", "ignore").decode("utf-8")
