"""Bring the raw rows and test files to data/raw/, from the built-in generator, a folder or the hub.

Writes train/NAME.jsonl (rows of question or prompt, context, answer), test.json (DB-GPT-Hub's form,
with `table_creating` where schemas are recorded) and databases/ID/ID.sqlite; the built-in source also
writes planted.json, which lists the training rows that were planted as leaks.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from stages._main import stage_main
from stages._params import load_params
from text2sql.databases import database_path
from text2sql.errors import UserError
from text2sql.files import copy_file, read_json, replacing_folder, write_jsonl
from text2sql.preparation.outside_data import NEXT, OutsideFolder, data_folder
from text2sql.preparation.settings import FetchData
from text2sql.schema.ddl import write_ddl
from text2sql.schema.recorded import read_recorded
from text2sql.schema.sqlite import read_sqlite


@click.command(help=__doc__)
@click.option("--output", type=click.Path(path_type=Path), required=True)
@stage_main
def main(output: Path) -> None:
    config = load_params().fetch_data
    with replacing_folder(output) as folder:
        if config.source == "builtin":
            fetch_builtin(folder, config)
        else:
            fetch_outside(folder, config)


def fetch_builtin(folder: Path, config: FetchData) -> None:
    """Make the built-in benchmark."""
    from text2sql.builtin import build_benchmark

    build_benchmark(folder, config.seed, config.train_rows, config.test_rows)


def fetch_outside(folder: Path, config: FetchData) -> None:
    """Bring test files and training rows; local files are checked before a long download.

    Raises:
        UserError: a file is missing or broken, or has another checksum.
    """
    outside = OutsideFolder(data_folder(), config.sha256)
    fetch_test(outside, folder, config.recorded_schemas)
    if config.source == "folder" and config.train_files:
        fetch_files(outside, folder, config.train_files)
    elif config.source == "folder":
        fetch_spider(outside, folder)
    outside.refuse_unread()
    if config.source == "hub":
        fetch_hub(folder, config)


def fetch_spider(outside: OutsideFolder, folder: Path) -> None:
    """Training rows of Spider (schemas read from its databases) and of sql-create-context."""
    databases = dict(outside.databases("spider/train_database"))
    questions = _spider_questions(outside.file("spider/train_spider.json"))
    rows = [row for row in questions if row["db_id"] in databases]
    _say_skipped(row["db_id"] for row in questions if row["db_id"] not in databases)
    contexts = {db_id: write_ddl(read_sqlite(databases[db_id])) for db_id in {row["db_id"] for row in rows}}
    write_jsonl(
        folder / "train" / "spider.jsonl",
        (_raw_row(row["question"], contexts[row["db_id"]], row["query"]) for row in rows),
    )
    context_rows = outside.file("sql_create_context/train.jsonl")
    copy_file(context_rows, folder / "train" / "sql_create_context.jsonl")


def fetch_files(outside: OutsideFolder, folder: Path, names: Sequence[str]) -> None:
    """Copy the training rows from the user's own files.

    Raises:
        UserError: a file is missing, or two have the same name.
    """
    for name in names:
        target = folder / "train" / Path(name).name
        if target.exists():
            raise UserError(
                f"params.yaml, fetch_data.train_files: two files are called {target.name}; rename one"
            )
        copy_file(outside.file(name), target)


def fetch_hub(folder: Path, config: FetchData) -> None:
    """Stream the training rows from the hub at the pinned revision.

    Raises:
        UserError: the hub cannot be reached, or has no such data set or revision.
    """
    import datasets
    import httpx
    from huggingface_hub.errors import HfHubHTTPError

    try:
        rows = datasets.load_dataset(
            config.hub_dataset, revision=config.hub_revision, split="train", streaming=True
        )
        count = write_jsonl(folder / "train" / "hub.jsonl", rows)
    except (
        OSError,
        ValueError,
        datasets.exceptions.DatasetsError,
        HfHubHTTPError,
        httpx.HTTPError,
    ) as error:
        raise UserError(
            f"cannot fetch {config.hub_dataset} at revision {config.hub_revision} from the hub: "
            f"{type(error).__name__}: {error}; check the network and params.yaml, fetch_data, or "
            "work without a network: `make use PROFILE=embedded`"
        ) from error
    if not count:
        raise UserError(f"{config.hub_dataset} at revision {config.hub_revision} has no row")


def fetch_test(outside: OutsideFolder, folder: Path, recorded: str | None) -> None:
    """Copy the test questions, with recorded schemas if `recorded` names their file, and the databases."""
    questions = outside.file("spider/dev_sql.json")
    if recorded:
        rows = with_schemas(questions, outside.file(recorded))
        (folder / "test.json").write_text(json.dumps(rows, indent=2), encoding="utf-8")
    else:
        copy_file(questions, folder / "test.json")
    for db_id, path in outside.databases("spider/database"):
        copy_file(path, database_path(folder / "databases", db_id))


def with_schemas(questions: Path, recorded: Path) -> list[dict[str, Any]]:
    """The test questions, each with the schema recorded for its prose under `table_creating`.

    Raises:
        UserError: one of the files is broken, or a question has no recorded schema.
    """
    answers, rows = read_recorded(recorded), read_json(questions)
    if not isinstance(rows, list):
        raise UserError(f"{questions}: expected a JSON list of questions; {NEXT}")
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or str(row.get("instruction")).strip() not in answers:
            raise UserError(
                f"{questions}, row {number}: {recorded} has no schema for its prose; use a "
                "file that has one, or set fetch_data.recorded_schemas in params.yaml to null"
            )
    return [{**row, "table_creating": answers[row["instruction"].strip()]} for row in rows]


def _spider_questions(path: Path) -> list[dict[str, Any]]:
    rows = read_json(path)
    if not isinstance(rows, list):
        raise UserError(f"{path}: expected a JSON list of rows, found {type(rows).__name__}; {NEXT}")
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or not {"question", "query", "db_id"} <= set(row):
            raise UserError(f"{path}, row {number}: expected question, query and db_id; {NEXT}")
    return rows


def _raw_row(question: str, context: str, answer: str) -> dict[str, str]:
    return {"question": question, "context": context, "answer": answer}


def _say_skipped(db_ids: Iterator[str]) -> None:
    missing = Counter(db_ids)
    if missing:
        named = ", ".join(f"{db_id} ({rows} rows)" for db_id, rows in sorted(missing.items()))
        print(
            f"fetch_data: {missing.total()} rows of Spider train skipped, whose database is missing: {named}",
            file=sys.stderr,
        )


if __name__ == "__main__":
    main()
