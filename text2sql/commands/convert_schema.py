"""`text2sql convert-schema`: writes CREATE TABLE text for the schemas of rows of DB-GPT, Spider or BIRD."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from text2sql.commands.options import check_outputs, setting
from text2sql.errors import UserError
from text2sql.files import read_json, read_jsonl, write_jsonl
from text2sql.schema.settings import ConvertSchema, OpenAI
from text2sql.settings import Settings, checked

if TYPE_CHECKING:
    from text2sql.schema.convert import Conversion, LocalBackend, Source
    from text2sql.schema.openai_backend import OpenAIBackend

_FORM = (
    'write rows like {"instruction": the schema in prose, "output": the gold SQL}, or, with --database-dir, '
    'like {"db_id": the database, "query": the gold SQL}'
)
_GOLD = ("output", "query", "SQL", "sql")  # of DB-GPT, Spider, BIRD and others
_FILE = click.Path(path_type=Path)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the input: its schema, and its gold query (None if it has none)."""

    source: Source
    gold: str | None


@click.command("convert-schema")
@click.option(
    "--input",
    "questions",
    required=True,
    type=_FILE,
    help="Rows of DB-GPT, Spider or BIRD: a JSON list, or .jsonl.",
)
@click.option("--output", required=True, type=_FILE, help="JSON lines, one for each row, in input order.")
@setting(ConvertSchema, "backend")
@click.option(
    "--database-dir",
    type=_FILE,
    help="Folder of ID/ID.sqlite or ID.sqlite, or of .db: for sqlite, and for rows without prose.",
)
@setting(ConvertSchema, "values")
@setting(ConvertSchema, "examples")
@click.option("--work", type=_FILE, help="openai: folder of the answers; default: OUTPUT.answers.")
@setting(OpenAI, "base_url", required=False)
@setting(OpenAI, "model", required=False)
@setting(OpenAI, "temperature")
@setting(OpenAI, "max_tokens")
@setting(OpenAI, "max_tokens_name")
@setting(OpenAI, "max_repairs")
@setting(OpenAI, "concurrency")
@setting(OpenAI, "requests_per_minute")
@setting(OpenAI, "timeout_s", "--timeout")
@setting(OpenAI, "max_retries")
@setting(OpenAI, "usd_per_million_in")
@setting(OpenAI, "usd_per_million_out")
@setting(OpenAI, "cap_usd")
def convert_schema(questions: Path, output: Path, **options: Any) -> None:
    """Convert schemas described in prose to CREATE TABLE text, and check it by executing it in SQLite.

    Rows that have a db_id and no prose are read from their databases. The options from --work on are for
    --backend openai.
    """
    from text2sql.schema.check import gold_problem
    from text2sql.schema.convert import AnySchema, LocalBackend, SourceError, SqliteBackend, convert

    check_outputs(
        {"--input": questions, "--database-dir": options["database_dir"]},
        {"--output": output, "--work": _journal(output, options)},
    )
    asked = make_backend(output, options)
    databases = options["database_dir"]
    backend = AnySchema(asked, SqliteBackend(databases or Path(), options["values"], options["examples"]))
    rows = read_rows(questions, databases is not None)
    if not rows:
        raise UserError(f"{questions}: has no rows; {_FORM}")
    try:
        conversions = convert((row.source for row in rows), backend)
    except SourceError as error:
        raise UserError(f"{questions}, {error}; fix the row") from error
    made = [conversions[backend.key(row.source)] for row in rows]
    golds = [gold_problem(one.ddl, row.gold) if row.gold else "" for row, one in zip(rows, made, strict=True)]
    results = [result(*parts) for parts in zip(rows, made, golds, strict=True)]
    write_jsonl(output, results)
    click.echo("\n".join(report(conversions.values(), rows, results, golds)))
    if not isinstance(asked, LocalBackend):
        click.echo(spending(asked))


# -- the options --


def make_backend(output: Path, options: dict[str, Any]) -> LocalBackend | OpenAIBackend:
    """The back end that the options ask for.

    Raises:
        UserError: it needs an option that is missing, or the options exclude each other.
    """
    from text2sql.schema.convert import local_backend

    if options["backend"] == "openai":
        return _openai_backend(output, options)
    if options["backend"] == "sqlite":
        _require(options, "database_dir")
    settings = checked(ConvertSchema, _values(ConvertSchema, options), "command line")
    return local_backend(settings, options["database_dir"] or Path())


def _journal(output: Path, options: dict[str, Any]) -> Path | None:
    """The file of the model's answers, if one is asked."""
    if options["backend"] != "openai":
        return None
    from text2sql.schema.openai_backend import JOURNAL

    return _work(output, options) / JOURNAL


def _work(output: Path, options: dict[str, Any]) -> Path:
    return options["work"] or output.with_name(f"{output.name}.answers")


def _openai_backend(output: Path, options: dict[str, Any]) -> OpenAIBackend:
    from text2sql.schema.openai_backend import OpenAIBackend

    _require(options, "base_url", "model")
    settings = checked(OpenAI, _values(OpenAI, options), "--backend openai")
    work = _work(output, options)
    work.mkdir(parents=True, exist_ok=True)
    return OpenAIBackend(settings, options["values"], work)


def _values(model: type[Settings], options: dict[str, Any]) -> dict[str, Any]:
    """The options that stand for a field of `model`."""
    return {name: options[name] for name in model.model_fields if name in options}


def _require(options: dict[str, Any], *names: str) -> None:
    for name in names:
        if not options[name]:
            flag = f"--{name.replace('_', '-')}"
            raise UserError(f"--backend {options['backend']} needs {flag}; add it")


# -- the input --


def read_rows(path: Path, databases: bool) -> list[Row]:
    """Rows, counted from 0: `instruction` is the prose; `output`, `query`, `SQL` or `sql` the gold query.

    The gold query may be missing; then none is compiled on the row's schema. `db_id` names the database;
    without it the first word of the prose does. A row with a `db_id` needs no prose if there are `databases`.
    `table_creating` is a language model's answer to the prose, for the back end `recorded`.

    Raises:
        UserError: the file is missing or not JSON, or a row has no schema; the message names the row.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; fix --input")
    rows = list(read_jsonl(path)) if path.suffix == ".jsonl" else read_json(path)
    if not isinstance(rows, list):
        raise UserError(f"{path}: expected a JSON list; {_FORM}")
    return [_row(f"{path}, row {number}", number, row, databases) for number, row in enumerate(rows)]


def _row(place: str, number: int, row: object, databases: bool) -> Row:
    from text2sql.schema.convert import Source

    if not isinstance(row, dict):
        raise UserError(f"{place}: expected an object; {_FORM}")
    bare = databases and "db_id" in row and "instruction" not in row
    prose = "" if bare else _text(place, row, "instruction")
    gold = next((_text(place, row, key) for key in _GOLD if key in row), None)
    db_id = _text(place, row, "db_id") if "db_id" in row else _prose_database(place, prose)
    recorded = _text(place, row, "table_creating") if row.get("table_creating") else ""
    return Row(Source(number, db_id, prose, recorded), gold)


def _text(place: str, row: dict[str, object], field: str) -> str:
    value = row.get(field)
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{place}: no text under `{field}`; {_FORM}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"{place}: `{field}` contains half of a surrogate pair ({error.reason}); fix it"
        ) from error
    return value


def _prose_database(place: str, prose: str) -> str:
    from text2sql.schema.prose import prose_database

    try:
        return prose_database(prose)
    except UserError as error:
        raise UserError(f"{place}: {error}; fix the row") from error


# -- the results --


def result(row: Row, conversion: Conversion, gold: str) -> dict[str, Any]:
    """A line of the output; `gold` is SQLite's error for the gold query, "" if there is none."""
    return {
        "row": row.source.row,
        "db_id": row.source.db_id,
        "ddl": conversion.ddl,
        "backend": conversion.backend,
        "attempts": conversion.attempts,
        "problems": [*conversion.problems, *([gold] if gold else [])],
    }


def report(
    conversions: Collection[Conversion],
    rows: Sequence[Row],
    results: Sequence[dict[str, Any]],
    golds: Sequence[str],
) -> Iterator[str]:
    """Yield the lines for stdout: counts, then every row with a problem."""
    from text2sql.schema.convert import count_backends

    by = ", ".join(f"{count} by {name}" for name, count in count_backends(conversions).items())
    wrong = sum(bool(conversion.problems) for conversion in conversions)
    asked = sum(row.gold is not None for row in rows)
    yield f"schemas: {len(conversions)} ({by}), {wrong} with problems"
    yield f"rows: {len(rows)}"
    yield f"gold queries that compile: {asked - sum(map(bool, golds))} of {asked}"
    for line in results:
        if line["problems"]:
            yield f"row {line['row']} ({line['db_id']}): {'; '.join(line['problems'])}"


def spending(backend: OpenAIBackend) -> str:
    """What the language model's answers cost, including those of earlier runs."""
    spent = backend.spending
    tokens = f"{spent.tokens_in} tokens read, {spent.tokens_out} written"
    return f"answers: {spent.answers}, {tokens}, {spent.usd:.4f} US dollars"
