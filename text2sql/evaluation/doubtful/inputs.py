"""The gold queries of a file and their questions, in the forms that `text2sql evaluate` reads.

Other than `text2sql.evaluation.inputs.cases` it leaves out rows without a gold query, as the test questions
of the pipeline may have, and takes the database from DB-GPT's prose.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from text2sql.errors import UserError
from text2sql.evaluation.doubtful.questions import Gold
from text2sql.evaluation.inputs.cases import FieldNames
from text2sql.evaluation.inputs.layout import Content, Entry, read_content
from text2sql.schema.database_files import is_database_id
from text2sql.schema.prose import is_prose, prose_database

_QUESTION = ("question", "SpiderSynQuestion", "input")
_ROLE = "question="
_FORM = "write one gold query per line: its SQL, a tab, its db_id"


def read_golds(path: Path, fields: Iterable[str] = ()) -> list[Gold]:
    """Read the gold queries of a file; rows are counted from 0, as `text2sql evaluate` counts them.

    `fields` ("ROLE=NAME") name the fields of gold, db_id or question where they have no usual name. A row
    without a gold query is left out, and the others keep their numbers.

    Raises:
        UserError: the file cannot be read, a row has no database, or there is no gold query.
    """
    fields = list(fields)
    names = FieldNames.chosen(field for field in fields if not field.startswith(_ROLE))
    questions = [field.removeprefix(_ROLE) for field in fields if field.startswith(_ROLE)] or _QUESTION
    file = read_content(path, "--gold", (names.gold, names.db_id), lenient=False)
    golds = list(_rows(file, names, questions) if file.kind == "rows" else _lines(file))
    if not golds:
        raise UserError(f"{file.name}: no gold queries; {_FORM}, or name their field: --field gold=NAME")
    for gold in golds:
        _check(file.name, gold)
    return golds


def _lines(file: Content) -> Iterator[Gold]:
    if file.kind == "object":
        raise UserError(f"{file.name}: one JSON object with numbers as keys; write a list of objects")
    for row, entry in enumerate(entry for entry in file.entries if entry.value):
        fields = entry.value.split("\t")
        if len(fields) != 2:
            raise UserError(f"{file.name}, {entry.where}: {len(fields) - 1} tabs instead of one; {_FORM}")
        yield Gold(row, fields[1], fields[0])


def _rows(file: Content, names: FieldNames, questions: Sequence[str]) -> Iterator[Gold]:
    for row, entry in enumerate(file.entries):
        if not isinstance(entry.value, dict):
            raise UserError(f"{file.name}, {entry.where}: not a JSON object; write objects with named fields")
        found = {key: sql for key in names.gold if (sql := _text(entry, [key]))}
        if len(found) > 1:
            said = f"several fields may be gold: {', '.join(found)}; say which one it is"
            raise UserError(f"{file.name}, {entry.where}: {said} with --field gold=NAME")
        for sql in found.values():
            yield Gold(row, _database(file.name, entry, names), sql, _text(entry, questions))


def _text(entry: Entry, keys: Sequence[str]) -> str:
    """The text under the first of the keys that has one; Spider has a tree under `sql`."""
    value: dict[str, Any] = entry.value
    return next((value[key].strip() for key in keys if isinstance(value.get(key), str)), "")


def _database(name: str, entry: Entry, names: FieldNames) -> str:
    db_id, prose = _text(entry, names.db_id), _text(entry, ("instruction",))
    if not db_id and is_prose(prose):
        db_id = prose_database(prose)
    if not db_id:
        said = f"no database in a field {' or '.join(names.db_id)}"
        raise UserError(f"{name}, {entry.where}: {said}; say which one it is with --field db_id=NAME")
    return db_id


def _check(name: str, gold: Gold) -> None:
    if "\0" in gold.gold:
        raise UserError(f"{name}, row {gold.row}: a NUL byte in the SQL; remove it")
    if not is_database_id(gold.db_id):
        said = f"{gold.db_id!r} cannot be the name of a database"
        raise UserError(f"{name}, row {gold.row}: {said}; correct the db_id")
