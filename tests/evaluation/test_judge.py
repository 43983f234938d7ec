"""Verdicts from gold and predicted queries."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from text2sql.evaluation.judge import UnreadableGold, database_path, judge
from text2sql.evaluation.sandbox import Sandbox
from text2sql.evaluation.scores import Verdict
from text2sql.records import ConvertedQuestion


@pytest.fixture
def databases(tmp_path: Path) -> Path:
    for db_id in ("concert", "pets"):
        path = database_path(tmp_path, db_id)
        path.parent.mkdir()
        connection = sqlite3.connect(path)
        connection.executescript(
            "CREATE TABLE t (a INT, b TEXT); INSERT INTO t VALUES (1, 'x'), (2, 'y'), (2, 'y');"
        )
        connection.close()
    return tmp_path


def question(row: int, gold: str, db_id: str = "concert") -> ConvertedQuestion:
    return ConvertedQuestion(row, db_id, "?", gold, "", "", "rules", ())


def verdicts(databases: Path, *cases: tuple[str, str], keep_distinct: bool = False) -> list[Verdict]:
    questions = [question(row, gold) for row, (gold, _) in enumerate(cases)]
    predictions = {row: sql for row, (_, sql) in enumerate(cases)}
    return judge(questions, predictions, databases, 5.0, 1000, keep_distinct)


def test_a_prediction_with_the_golds_result_is_right(databases: Path) -> None:
    found = verdicts(databases, ("SELECT a, b FROM t", "SELECT t.b, t.a FROM t ORDER BY b DESC"))
    assert found == [Verdict(0, "concert", "", "medium", True, None)]


def test_a_prediction_with_another_result_is_wrong_without_an_error(databases: Path) -> None:
    (found,) = verdicts(databases, ("SELECT a FROM t", "SELECT b FROM t"))
    assert (found.ex, found.error) == (False, None)


def test_a_failing_prediction_is_wrong_and_says_why(databases: Path) -> None:
    (found,) = verdicts(databases, ("SELECT a FROM t", "SELECT c FROM t"))
    assert (found.ex, found.error) == (False, "no_such_column")


def test_order_counts_where_the_gold_asks_for_it(databases: Path) -> None:
    ascending, descending = "SELECT a FROM t ORDER BY a", "SELECT a FROM t ORDER BY a DESC"
    found = verdicts(databases, (ascending, descending), ("SELECT a FROM t", descending))
    assert [verdict.ex for verdict in found] == [False, True]


def test_distinct_counts_only_when_kept(databases: Path) -> None:
    case = ("SELECT DISTINCT a FROM t", "SELECT a FROM t")
    assert verdicts(databases, case)[0].ex is True
    assert verdicts(databases, case, keep_distinct=True)[0].ex is False


def test_a_failing_gold_is_neither_right_nor_wrong(databases: Path) -> None:
    (found,) = verdicts(databases, ("SELECT a FROM nowhere", "SELECT a FROM nowhere"))
    assert (found.ex, found.hardness, found.error) == (None, None, "gold: no_such_table")


def test_a_gold_that_is_no_sql_is_neither_right_nor_wrong(databases: Path) -> None:
    (found,) = verdicts(databases, ("what?", "SELECT 1"))
    assert (found.ex, found.error) == (None, "gold: syntax")


def test_a_gold_that_runs_but_has_no_hardness_is_named(databases: Path) -> None:
    with pytest.raises(UnreadableGold, match=r"row 0 \(database concert\)"):
        verdicts(databases, ("VALUES (1)", "SELECT 1"))


def test_verdicts_come_in_the_order_of_rows(databases: Path) -> None:
    questions = [question(2, "SELECT 1"), question(0, "SELECT 1", "pets"), question(1, "SELECT 1")]
    found = judge(questions, dict.fromkeys(range(3), "SELECT 1"), databases, 5.0, 10)
    assert [verdict.row for verdict in found] == [0, 1, 2]


def test_a_gold_shared_by_questions_is_run_once(databases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    run = Sandbox.run
    monkeypatch.setattr(Sandbox, "run", lambda self, sql: ran.append(sql) or run(self, sql))
    verdicts(databases, ("SELECT a FROM t", "SELECT 1"), ("SELECT a FROM t", "SELECT 2"))
    assert ran == ["SELECT a FROM t", "SELECT 1", "SELECT 2"]
