"""The second score, without rows whose gold is doubtful, and the work kept between arms."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from text2sql.errors import UserError
from text2sql.evaluation.doubtful import kept
from text2sql.evaluation.doubtful.kept import kept_reasons
from text2sql.evaluation.doubtful.questions import Gold
from text2sql.evaluation.doubtful.scores import WithoutDoubtful, read_doubtful
from text2sql.evaluation.settings import EvaluationSettings
from text2sql.evaluation.verdicts import Verdict, without_gold
from text2sql.files import write_json, write_jsonl
from text2sql.workstore import WorkStore

FAILING = Verdict(2, "d", "", None, error="gold: syntax")


def test_rows_with_a_reason_are_left_out_and_counted_by_reason() -> None:
    scores = WithoutDoubtful({1: ("empty", "limit_ties"), 3: ("empty",)})
    for row, right in enumerate((True, False, True, True)):
        scores.add(Verdict(row, "d", "", "easy", right))
    table = scores.table()
    assert (table["ex"]["all"], table["n"]["all"], scores.left_out) == (100.0, 2, 2)
    assert table["rows"] == {"empty": 2, "limit_ties": 1}


def test_rows_that_are_in_no_score_are_not_counted_as_left_out() -> None:
    scores = WithoutDoubtful({2: ("fails",), 5: ("empty",)})
    scores.add(FAILING)
    scores.add(without_gold(5, "d"))
    assert (scores.left_out, scores.table()["rows"]) == (0, {})


def test_where_all_rows_are_doubtful_there_is_no_percentage() -> None:
    scores = WithoutDoubtful({0: ("empty",)})
    scores.add(Verdict(0, "d", "", "easy", True))
    assert (scores.table()["ex"]["all"], scores.table()["n"]["all"]) == (None, 0)


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


@pytest.fixture
def databases(tmp_path: Path) -> Path:
    (tmp_path / "db/d").mkdir(parents=True)
    write(tmp_path / "db", "CREATE TABLE t (a); INSERT INTO t VALUES (1), (2)")
    return tmp_path / "db"


def write(databases: Path, script: str) -> None:
    with closing(sqlite3.connect(databases / "d/d.sqlite")) as connection:
        connection.executescript(script)


def test_reasons_are_found_once_for_the_same_golds_and_databases(
    databases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    golds = [Gold(0, "d", "SELECT a FROM t LIMIT 1"), Gold(1, "d", "SELECT a FROM t WHERE a = 3")]
    store, settings, asked = WorkStore(tmp_path / "work"), EvaluationSettings(timeout_s=60.0), []
    examine = kept.audit

    def count(*arguments: Any, **more: Any) -> Any:
        asked.append(arguments)
        return examine(*arguments, **more)

    monkeypatch.setattr(kept, "audit", count)
    expected = {0: ("limit_without_order",), 1: ("empty",)}
    assert kept_reasons(golds, databases, settings, store) == expected
    assert kept_reasons(golds, databases, settings, store) == expected
    assert len(asked) == 1
    write(databases, "INSERT INTO t VALUES (3)")
    assert kept_reasons(golds, databases, settings, store) == {0: ("limit_without_order",)}
    assert len(asked) == 2
