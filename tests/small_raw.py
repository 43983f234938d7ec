"""A small data/raw, made on the spot, and a way to run one stage on it."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click
import yaml
from click.testing import CliRunner

from scripts.profiles import composed

ROOT = Path(__file__).resolve().parent.parent
FETCH = {
    "outside": "data/outside",
    "output": "data/raw",
    "train-databases": "data/train_databases",
    "metrics": "metrics/fetch_data.json",
}
"""The options of stage fetch_data."""
SPIDER: dict[str, dict[str, Any]] = {
    "train": {
        "spider": {"file": "spider/train_spider.json", "databases": "spider/train_database"},
        "sql_create_context": {"file": "sql_create_context/train.jsonl"},
    },
    "test": {"spider_dev": {"file": "spider/dev_sql.json", "databases": "spider/database"}},
}
"""Settings of fetch_data: the two training sources and the test set of profile spider-cpu."""
DDL = "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, price REAL);"
PROSE = (
    "shop contains tables such as item. Table item has columns such as id, name, price. "
    "id is the primary key. The name contains values such as Tea."
)
QUESTIONS = [
    {
        "instruction": PROSE,
        "input": "How many items are there?",
        "output": "SELECT count(*) FROM item",
    },
    {
        "instruction": PROSE,
        "input": "What does tea cost?",
        "output": "SELECT price FROM item WHERE name = 'Tea'",
    },
    {
        "instruction": PROSE,
        "input": "Name all items.",
        "output": "SELECT name FROM item",
        "slice": "seen",
    },
]
ROWS = [
    {
        "question": "List every name.",
        "context": DDL,
        "answer": "SELECT name FROM item ORDER BY name;",
    },
    {"prompt": "how many  ITEMS are there", "context": DDL, "answer": "SELECT count(id) FROM item"},
    {"instruction": PROSE, "input": "Prices?", "output": "SELECT price FROM item"},
    {"question": "What are the items called?", "context": DDL, "answer": "select Name from ITEM"},
]


# The keys of DB-GPT's rows, and what they are called in the form that fetch_data writes
_FIELDS = {"instruction": "schema", "input": "question", "output": "gold", "table_creating": "recorded"}


def write_raw(
    folder: Path, rows: Iterable[Any] = ROWS, questions: Iterable[Mapping[str, str]] = QUESTIONS
) -> Path:
    """Write train/made.jsonl, the test set `shop` and databases/shop/shop.sqlite; returns `folder`."""
    (folder / "train").mkdir(parents=True)
    lines = (json.dumps(row) + "\n" for row in rows)
    (folder / "train" / "made.jsonl").write_text("".join(lines), encoding="utf-8")
    write_test(folder, shop=map(question_line, questions))
    write_database(folder / "databases" / "shop" / "shop.sqlite")
    return folder


def question_line(row: Mapping[str, str]) -> dict[str, str]:
    """A row of DB-GPT as a line of a test set below data/raw."""
    return {"db_id": row["instruction"].split()[0]} | {_FIELDS.get(key, key): row[key] for key in row}


def write_test(folder: Path, **sets: Iterable[Any]) -> None:
    """Write test_sets.json and test/NAME.jsonl for each set."""
    (folder / "test").mkdir(parents=True, exist_ok=True)
    (folder / "test_sets.json").write_text(json.dumps(list(sets)), encoding="utf-8")
    for name, lines in sets.items():
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / "test" / f"{name}.jsonl").write_text(text, encoding="utf-8")


def write_database(path: Path, ddl: str = DDL) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path)
    connection.executescript(ddl)
    connection.close()


def write_params(folder: Path, **changes: Mapping[str, object]) -> None:
    """Write profile embedded without contexts as params.yaml, with `section={key: value}` changed."""
    params = without_contexts(yaml.safe_load(composed("embedded")))
    for section, values in changes.items():
        params[section].update(values)
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


def without_contexts(params: dict[str, Any]) -> dict[str, Any]:
    """Settings without sections contexts and train, and without the arms that need them."""
    arms = {
        name: arm for name, arm in params["arms"].items() if "context" not in "".join(map(str, arm.values()))
    }
    return params | {"contexts": {}, "train": {}, "arms": arms}


def run_stage(command: click.Command, **options: object) -> str:
    """Run a stage that should succeed; returns what it said."""
    result = CliRunner().invoke(command, _arguments(options))
    assert result.exit_code == 0, result.output
    return result.output


def failure(command: click.Command, **options: object) -> str:
    """Run a stage that should end in a user's error; returns the error."""
    result = CliRunner().invoke(command, _arguments(options))
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit), result
    assert "\nerror: " in f"\n{result.output}", result.output  # progress may come before it
    return result.output


def read_lines(path: str | os.PathLike[str]) -> list[Any]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def _arguments(options: dict[str, object]) -> list[str]:
    return [part for name, value in options.items() for part in (f"--{name}", str(value))]
