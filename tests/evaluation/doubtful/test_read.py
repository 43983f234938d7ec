"""The file of `text2sql audit-gold` is read, and refused if it does not fit the gold queries."""

from __future__ import annotations

from pathlib import Path

import pytest

from text2sql.errors import UserError
from text2sql.evaluation.doubtful.read import read_doubtful
from text2sql.files import write_json, write_jsonl

GOLD = Path("gold.txt")
GOLDS = [("SELECT 1", "a"), ("SELECT  2", "b")]
FIRST = {"row": 0, "db_id": "a", "gold": "SELECT 1", "reasons": ["empty"]}


def read_error(file: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_doubtful(file, GOLD, GOLDS)
    return str(caught.value)


def test_only_rows_with_reasons_are_read_as_doubtful(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    second = {"row": 1, "db_id": "b", "gold": "SELECT 2", "reasons": [], "findings": [{}]}
    write_jsonl(file, [FIRST, second])
    assert read_doubtful(file, GOLD, GOLDS) == {0: ("empty",)}


def test_a_file_without_rows_names_none(tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").touch()
    assert read_doubtful(tmp_path / "audit.jsonl", GOLD, GOLDS) == {}


@pytest.mark.parametrize(
    "row",
    [{"row": 1}, {"reasons": []}, {"row": "1", "reasons": []}, {"row": 1, "reasons": ["x"]}],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, row: dict[str, object]) -> None:
    write_jsonl(tmp_path / "other.jsonl", [row, row])
    message = read_error(tmp_path / "other.jsonl")
    assert "other.jsonl, line 1: not a row of audit-gold; write it with" in message


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"row": 2}, "line 2: has row 2, but there are 2 gold queries in gold.txt"),
        ({"row": 1}, "line 2: row 1 has the database a, but b in gold.txt"),
        ({"gold": "SELECT 3"}, "line 2: row 0 has the gold query 'SELECT 3', but 'SELECT 1' in gold.txt"),
    ],
)
def test_the_file_of_other_gold_queries_is_refused_with_the_first_row_that_differs(
    tmp_path: Path, changed: dict[str, object], said: str
) -> None:
    write_jsonl(tmp_path / "audit.jsonl", [FIRST, FIRST | changed])
    message = read_error(tmp_path / "audit.jsonl")
    assert said in message
    assert "text2sql audit-gold --gold gold.txt --db DIR --out FILE.jsonl" in message


def test_a_missing_file_names_the_command_that_writes_it(tmp_path: Path) -> None:
    message = read_error(tmp_path / "nope")
    assert "nope: no such file; write it with `text2sql audit-gold --gold gold.txt" in message
    assert "dvc" not in message


def test_the_summary_of_the_audit_is_named_as_such(tmp_path: Path) -> None:
    write_json(tmp_path / "summary.json", {"rows": 1, "doubtful": 0, "reasons": {"empty": {}}})
    message = read_error(tmp_path / "summary.json")
    assert "summary.json: the summary of audit-gold --json, which names no rows" in message
    assert "--out FILE.jsonl" in message
