"""The second score, without rows whose gold is doubtful, and the work kept between arms."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from text2sql.evaluation.doubtful import kept
from text2sql.evaluation.doubtful.kept import kept_reasons
from text2sql.evaluation.doubtful.questions import Gold
from text2sql.evaluation.doubtful.scores import WithoutDoubtful
from text2sql.evaluation.settings import EvaluationSettings
from text2sql.evaluation.verdicts import Verdict, without_gold
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
