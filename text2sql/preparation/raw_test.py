"""The test sets below data/raw: test_sets.json with their names in order, and test/NAME.jsonl for each.

A line is one question: {db_id, question, gold?, schema?, slice?, recorded?}. `schema` is DB-GPT's prose or
CREATE TABLE text, `recorded` a language model's answer to that prose.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from text2sql.errors import UserError
from text2sql.files import read_json, read_jsonl, write_json, write_jsonl

_AGAIN = "fetch the data again: dvc repro --force fetch_data"


def write_test_sets(raw: Path, sets: Mapping[str, Sequence[dict[str, Any]]]) -> None:
    """Write the lines of each set, by name, in the order of `sets`."""
    for name, lines in sets.items():
        write_jsonl(set_path(raw, name), lines)
    write_json(raw / "test_sets.json", list(sets))


def set_path(raw: Path, name: str) -> Path:
    """The file of a test set."""
    return raw / "test" / f"{name}.jsonl"


def set_names(raw: Path) -> list[str]:
    """The names of the test sets, in order.

    Raises:
        UserError: the list of names is missing, broken or empty.
    """
    path = raw / "test_sets.json"
    names = read_json(path)
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise UserError(f"{path}: expected a JSON list of names; {_AGAIN}")
    return names


def read_lines(raw: Path) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Yield every question with the name of its set and its row there, from 0.

    Raises:
        UserError: a file is missing or broken, or a set has no question.
    """
    for name in set_names(raw):
        number = -1
        for number, line in enumerate(read_jsonl(set_path(raw, name))):
            yield name, number, line
        if number < 0:
            raise UserError(f"{set_path(raw, name)}: has no question; {_AGAIN}")
