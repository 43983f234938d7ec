"""`text2sql dedupe`: removes training rows that leak test questions."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from text2sql.commands.options import check_outputs, setting
from text2sql.contamination.settings import Rules
from text2sql.errors import UserError
from text2sql.files import replacing
from text2sql.preparation.sources import read_chunks
from text2sql.progress import Progress
from text2sql.records import TestQuestion, TrainingRow
from text2sql.schema.ddl import write_ddl
from text2sql.schema.prose import read_prose
from text2sql.settings import checked

if TYPE_CHECKING:
    from text2sql.contamination.leaks import Embed, Evidence, LeakFinder

# The keys of a row's question, SQL and schema: the first of these that the row has.
_QUESTION = ("question", "prompt", "input")
_SQL = ("answer", "query", "output", "sql", "SQL", "gold")
_SCHEMA = ("context", "schema", "ddl", "prose", "instruction")
_DATABASE = ("db_id",)
_KINDS = (".json", ".jsonl")
_EMBEDDED_AT_ONCE = 64  # questions

_path = functools.partial(click.Path, path_type=Path)


@dataclass(frozen=True, slots=True)
class _Judged:
    """A training row: its number (from 0), its text and value in the file, and the evidence against it."""

    number: int
    text: str
    value: dict[str, Any]
    evidence: Evidence | None


@dataclass
class _Unreadable:
    """The number of rows whose schema a rule needed and could not read, and why for the first of them."""

    rows: int = 0
    first: str = ""

    def note(self, row: TrainingRow, error: UserError) -> None:
        """Count one such row."""
        self.first = self.first or f"row {row.id}: {error}"
        self.rows += 1


@click.command()
@click.option("--train", required=True, type=_path(), help="Training rows: a JSON list, or JSON lines.")
@click.option("--test", required=True, type=_path(), help="Test rows, in the same forms.")
@click.option("--output", required=True, type=_path(), help="The training rows that are kept, unchanged.")
@click.option("--removed", required=True, type=_path(), help="The removed rows, JSON lines with evidence.")
@click.option("--databases", type=_path(), help="Folder of the test databases, ID/ID.sqlite.")
@setting(Rules, "recommended")
@setting(Rules, "question")
@setting(Rules, "contains")
@setting(Rules, "near_question", off=0)
@setting(Rules, "same_sql", off="off")
@setting(Rules, "same_result")
@setting(Rules, "same_database")
@setting(Rules, "embedding", off=0)
def dedupe(
    train: Path, test: Path, output: Path, removed: Path, databases: Path | None, **options: Any
) -> None:
    """Remove training rows that leak test questions, and write the evidence for each.

    A row has its question under question, prompt or input; its SQL under answer, query, output, sql,
    SQL or gold; its schema (CREATE TABLE, or DB-GPT's prose) under context, schema, ddl, prose or
    instruction; the name of its database under db_id. A test row may lack the SQL, and any row the
    schema.
    """
    for path in (train, test):
        _check_kind(path)
    check_outputs({"--train": train, "--test": test}, {"--output": output, "--removed": removed})
    rules = checked(Rules, options, "command line")
    _check_databases(databases, rules)
    unreadable, questions = _Unreadable(), read_test(test)
    counts: Counter[str] = Counter()
    finder = _finder(test, questions, rules, unreadable, databases)
    with closing(finder), replacing(output) as kept, replacing(removed) as gone:
        judged = _judged(train, finder, counts)
        _write(kept, _kept(judged, gone, questions), as_list=output.suffix == ".json")
    click.echo("\n".join(_report(rules, counts, unreadable)))


# -- the arguments --


def _check_kind(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"{path}: no such file; name another file")
    if path.suffix not in _KINDS:
        raise UserError(f"{path}: unknown kind of file; use a JSON list (.json) or JSON lines (.jsonl)")


def _check_databases(databases: Path | None, rules: Rules) -> None:
    if rules.same_result and databases is None:
        raise UserError("--same-result needs the test databases; add --databases with their folder")
    if rules.same_result and databases and not databases.is_dir():
        raise UserError(f"{databases}: no such folder; name the folder of the test databases (ID/ID.sqlite)")


def _embed() -> Embed:
    from text2sql.retrieval.embed import PACKAGED_MODEL, load_embedder

    return load_embedder(PACKAGED_MODEL, _EMBEDDED_AT_ONCE).embed


def _finder(
    path: Path,
    test: Sequence[TestQuestion],
    rules: Rules,
    unreadable: _Unreadable,
    databases: Path | None,
) -> LeakFinder:
    from text2sql.contamination.leaks import LeakFinder, TestSchemaError

    try:
        return LeakFinder(test, rules, _embed() if rules.embedding else None, unreadable.note, databases)
    except TestSchemaError as error:
        remedy = f"fix its schema (under {', '.join(_SCHEMA)}), or compare no schemas: --same-sql off"
        raise UserError(f"{path}: {error}; {remedy}") from error


# -- the two files --


def read_test(path: Path) -> list[TestQuestion]:
    """Read the test questions, numbered from 0.

    Raises:
        UserError: there is none, or one has no question.
    """
    questions = []
    for chunk in read_chunks(path, strict=True):
        for row, (_, value) in enumerate(chunk.rows, chunk.first):
            question, sql, schema, db_id = _fields(path, row, value)
            db_id = db_id or _name_in_prose(schema)
            questions.append(TestQuestion(row, db_id, question, sql, schema, "all"))
    if not questions:
        raise UserError(f"{path}: has no test rows; name another file")
    return questions


def _judged(path: Path, finder: LeakFinder, counts: Counter[str]) -> Iterator[_Judged]:
    """Count and yield every training row with the evidence against it; show the progress on stderr."""
    progress = Progress(path.stat().st_size >> 10, "KiB", "dedupe")
    for chunk in read_chunks(path, strict=True):
        block = [_training_row(path, row, value) for row, (_, value) in enumerate(chunk.rows, chunk.first)]
        for at, evidence in enumerate(finder.evidence(block)):
            counts[evidence.rule if evidence else "kept"] += 1
            yield _Judged(chunk.first + at, *chunk.rows[at], evidence)
        progress.advance((chunk.position >> 10) - progress.done)


def _training_row(path: Path, row: int, value: object) -> TrainingRow:
    question, sql, schema, db_id = _fields(path, row, value)
    _check_text(path, row, sql, _SQL)
    return TrainingRow(str(row), path.stem, question, _as_ddl(schema), sql, db_id)


def _fields(path: Path, row: int, value: object) -> tuple[str, str, str, str]:
    """Question, SQL, schema and database of a row; what is missing is "".

    Raises:
        UserError: the row is not an object, or has no question.
    """
    if not isinstance(value, dict):
        raise UserError(f"{path}, row {row}: not a JSON object; fix it or take it out")
    question, sql, schema, db_id = (_text(value, keys) for keys in (_QUESTION, _SQL, _SCHEMA, _DATABASE))
    _check_text(path, row, question, _QUESTION)
    return question, sql, schema, db_id


def _check_text(path: Path, row: int, text: str, keys: Sequence[str]) -> None:
    if not text:
        raise UserError(f"{path}, row {row}: no text under {', '.join(keys)}; fix it or take it out")


def _text(value: Mapping[str, Any], keys: Sequence[str]) -> str:
    found = next((value[key] for key in keys if key in value), "")
    return found.strip() if isinstance(found, str) else ""


@functools.lru_cache(maxsize=1024)
def _name_in_prose(schema: str) -> str:
    """The name of the database with which DB-GPT's prose begins; "" for another text."""
    try:
        return read_prose(schema)[0]
    except UserError:
        return ""


@functools.lru_cache(maxsize=65_536)
def _as_ddl(schema: str) -> str:
    """CREATE TABLE text of a schema in prose; other text is returned as it is."""
    try:
        return write_ddl(read_prose(schema)[1])
    except UserError:
        return schema


def _kept(judged: Iterable[_Judged], removed: IO[str], test: Sequence[TestQuestion]) -> Iterator[str]:
    """Yield the text of the rows to keep, and write the others with the evidence to `removed`."""
    for row in judged:
        if row.evidence is None:
            yield row.text
            continue
        asked = test[row.evidence.test_row].question
        evidence = {"row": row.number, **asdict(row.evidence), "test_question": asked}
        removed.write(json.dumps({**row.value, "evidence": evidence}) + "\n")


def _write(file: IO[str], texts: Iterable[str], as_list: bool) -> None:
    """Write JSON values, one a line; with `as_list` as one JSON list."""
    before = "[\n" if as_list else ""
    for text in texts:
        file.write(f"{before}{text}")
        before = ",\n" if as_list else "\n"
    file.write(("\n]\n" if before != "[\n" else "[]\n") if as_list else before)


def _report(rules: Rules, counts: Counter[str], unreadable: _Unreadable) -> Iterator[str]:
    """Yield the lines for stdout."""
    yield f"{'rows':<15}{counts.total():>9}"
    yield f"{'kept':<15}{counts['kept']:>9}"
    for rule in rules.names():
        yield f"{rule:<15}{counts[rule]:>9}"
    if unreadable.rows:
        yield f"{unreadable.rows} rows could not be compared by their schema; the first, {unreadable.first}"
