"""The metrics of queries as written, BIRD's and the strict one, from queries to verdicts."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from text2sql.databases import database_path
from text2sql.evaluation.bird.compare import soft_f1
from text2sql.evaluation.case_judge import CaseJudge
from text2sql.evaluation.execution.databases import Databases
from text2sql.evaluation.judge import judge
from text2sql.evaluation.settings import METRICS, SPIDER_METRICS, JudgeSettings, Metric
from text2sql.evaluation.verdicts import Case, Verdict
from text2sql.schema.queries import SQL_LENGTH

TABLE = """
CREATE TABLE t (a INT, b TEXT, c REAL);
INSERT INTO t VALUES (1, 'x', 0.5), (2, 'y', 1.0), (2, 'y', 1.0), (NULL, 'value', 2.5), (3, NULL, 1e999);
"""
WRITTEN: list[Metric] = ["bird_ex", "soft_f1", "r_ves", "strict"]
SLOW = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture
def databases(tmp_path: Path) -> Path:
    path = database_path(tmp_path, "shop")
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(TABLE)
    return tmp_path


def counted_runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The queries that run in this process from now on."""
    ran: list[str] = []
    run = Databases.run

    def counted(self: Databases, file: Path, sql: str, deadline: float, keep: int | None = None) -> object:
        ran.append(sql)
        return run(self, file, sql, deadline, keep)

    monkeypatch.setattr(Databases, "run", counted)
    return ran


def judged(databases: Path, *pairs: tuple[str, str], **settings: object) -> list[Verdict]:
    cases = [Case(row, "shop", gold, predicted) for row, (gold, predicted) in enumerate(pairs)]
    given = {"metrics": list(METRICS), "timeout_s": 5.0, "ves_runs": 2, **settings}
    return list(judge(cases, databases, JudgeSettings.model_validate(given), workers=1))


def verdict(databases: Path, gold: str, predicted: str, **settings: object) -> Verdict:
    (found,) = judged(databases, (gold, predicted), **settings)
    return found


@pytest.mark.parametrize(
    ("gold", "predicted", "ex", "bird_ex", "soft_f1", "strict"),
    [
        ("SELECT b FROM t", "SELECT DISTINCT b FROM t", True, True, 1.0, False),
        ("SELECT a, b FROM t", "SELECT b, a FROM t", True, False, 1.0, False),
        ("SELECT a FROM t", "SELECT a FROM t ORDER BY a DESC", True, True, 1 / 4, True),
        ("SELECT b FROM t WHERE a = 2 ORDER BY a", "SELECT b FROM t WHERE a = 2", True, True, 1.0, True),
        ("SELECT a FROM t ORDER BY c", "SELECT a FROM t ORDER BY c DESC", False, True, 0.0, False),
        ("SELECT a FROM t WHERE b = 'value'", "SELECT a FROM t WHERE b = 'value'", False, True, 1.0, True),
        ("SELECT sum(c) FROM t WHERE a < 3", "SELECT 2.5000001", False, False, 0.0, True),
        ("SELECT a FROM t WHERE a > 9", "SELECT a, b FROM t WHERE a > 9", True, True, 1.0, True),
        ("SELECT c FROM t WHERE a = 3", "SELECT 1e999", True, True, 1.0, True),
        ("SELECT 1e999 - 1e999", "SELECT NULL", True, True, 1.0, True),  # SQLite has no NaN
        ("SELECT x'00ff'", "SELECT CAST(x'00ff' AS BLOB)", True, True, 1.0, True),
        ("SELECT a FROM t LIMIT 1", "SELECT a FROM t WHERE a = 3 LIMIT 1", False, False, 0.0, True),
        (
            "SELECT a FROM t ORDER BY b LIMIT 2",
            "SELECT a FROM t ORDER BY b, a LIMIT 2",
            True,
            True,
            1.0,
            True,
        ),
    ],
)
def test_each_metric_has_its_own_verdict(
    databases: Path, gold: str, predicted: str, ex: bool, bird_ex: bool, soft_f1: float, strict: bool
) -> None:
    found = verdict(databases, gold, predicted)
    assert (found.ex, found.bird_ex, found.strict) == (ex, bird_ex, strict)
    assert found.soft_f1 == pytest.approx(soft_f1)
    assert found.r_ves is not None and (found.r_ves > 0) is bird_ex


def test_a_metric_has_the_same_verdict_alone_and_with_all_others(databases: Path) -> None:
    queries = [
        "SELECT a FROM t",
        "SELECT DISTINCT a FROM t",
        "SELECT DISTINCT b FROM t WHERE a = 2",
        "SELECT a FROM t ORDER BY a",
        "SELECT b FROM t WHERE b = 'value'",
        "SELECT nothing FROM t",
        "SELECT a FROM t; SELECT b FROM t",
        "DROP TABLE t",
        "",
    ]
    pairs = [(gold, predicted) for gold in queries[:5] for predicted in queries]
    together = judged(databases, *pairs)
    for metric in (*METRICS[:-2], "strict"):
        alone = judged(databases, *pairs, metrics=[metric])
        assert [getattr(v, metric) for v in alone] == [getattr(v, metric) for v in together], metric
        others = set(METRICS) - {metric}
        assert {getattr(v, other) for v in alone for other in others} == {None}


def test_a_failing_prediction_has_no_points_and_says_why(databases: Path) -> None:
    found = verdict(databases, "SELECT a FROM t", "SELECT z FROM t", metrics=WRITTEN)
    assert (found.bird_ex, found.soft_f1, found.r_ves, found.strict) == (False, 0.0, 0.0, False)
    assert found.error == "no_such_column"


@pytest.mark.parametrize("predicted", ["", ";", "-- nothing"])
def test_no_statement_returns_nothing_for_bird_and_is_wrong_for_strict(
    databases: Path, predicted: str
) -> None:
    found = verdict(databases, "SELECT a FROM t WHERE a > 9", predicted, metrics=WRITTEN)
    assert (found.bird_ex, found.soft_f1, found.strict, found.error) == (True, 1.0, False, "empty")
    wrong = verdict(databases, "SELECT a FROM t", predicted, metrics=WRITTEN)
    assert (wrong.bird_ex, wrong.soft_f1, wrong.r_ves) == (False, 0.0, 0.0)


def test_several_statements_are_refused(databases: Path) -> None:
    found = verdict(databases, "SELECT a FROM t", "SELECT a FROM t; SELECT 1")
    assert (found.ex, found.bird_ex, found.strict, found.error) == (True, False, False, "denied")


def test_a_gold_that_fails_as_written_leaves_the_row_out(databases: Path) -> None:
    pair = ("SELECT a FROM t; SELECT 1", "SELECT a FROM t")
    assert verdict(databases, *pair, metrics=["ex"]).ex is True
    found = verdict(databases, *pair)
    assert (found.error, found.ex, found.bird_ex) == ("gold: denied", None, None)


def test_too_many_rows_are_wrong_and_equal_rows_within_the_limit_count_once(databases: Path) -> None:
    many = "SELECT x.a FROM t x, t y, t z"  # 125 rows
    found = verdict(databases, "SELECT a FROM t", many, metrics=WRITTEN, max_rows=100)
    assert (found.bird_ex, found.strict, found.error) == (False, False, "too_many_rows")
    found = verdict(databases, "SELECT a FROM t", many, metrics=WRITTEN, max_rows=200)
    assert (found.bird_ex, found.strict, found.error) == (True, False, None)


def test_ties_beyond_the_limit_of_rows_are_not_looked_for(databases: Path) -> None:
    pair = ("SELECT x.a FROM t x, t y ORDER BY x.b LIMIT 3", "SELECT 3 UNION ALL SELECT 3 UNION ALL SELECT 3")
    other = ("SELECT x.b FROM t x, t y LIMIT 1", "SELECT 'y'")
    assert [v.strict for v in judged(databases, pair, other, metrics=["strict"])] == [True, True]
    assert [v.strict for v in judged(databases, pair, other, metrics=["strict"], max_rows=9)] == [True, False]


def test_an_endless_prediction_ends_once_for_all_metrics(databases: Path) -> None:
    found = verdict(databases, "SELECT a FROM t", SLOW, timeout_s=0.3)
    assert (found.ex, found.bird_ex, found.strict, found.error) == (False, False, False, "timeout")
    assert found.seconds < 0.6


def test_a_prediction_that_is_too_long_is_wrong(databases: Path) -> None:
    found = verdict(databases, "SELECT 1", "SELECT 1 " + " " * SQL_LENGTH, metrics=WRITTEN)
    assert (found.bird_ex, found.strict, found.error) == (False, False, "other")


def test_a_query_runs_once_where_the_official_rewriting_changes_nothing(
    databases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = counted_runs(monkeypatch)
    settings = JudgeSettings(metrics=[name for name in METRICS if name != "r_ves"])
    gold = "SELECT a FROM t WHERE a = 2"
    CaseJudge(databases, settings).judge(
        Case(0, "shop", gold, "SELECT a FROM t WHERE a > 1 AND a < 3"), print
    )
    assert sorted(ran) == [gold, "SELECT a FROM t WHERE a > 1 AND a < 3"]


def test_r_ves_runs_both_queries_as_often_as_asked(databases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = counted_runs(monkeypatch)
    settings = JudgeSettings(metrics=["r_ves"], ves_runs=7)
    verdict = CaseJudge(databases, settings).judge(Case(0, "shop", "SELECT 1", "SELECT 2 - 1"), print)
    assert verdict.r_ves in [reward**0.5 for reward in (1.25, 1.0, 0.75, 0.5, 0.25)]
    assert (ran.count("SELECT 1"), ran.count("SELECT 2 - 1")) == (8, 8)
    assert (verdict.bird_ex, verdict.soft_f1, verdict.strict) == (None, None, None)


def test_only_the_own_database_of_a_test_suite_counts(databases: Path) -> None:
    with closing(sqlite3.connect(databases / "shop/other.sqlite")) as connection:
        connection.executescript("CREATE TABLE t (a INT, b TEXT, c REAL); INSERT INTO t VALUES (7, 'z', 0)")
    found = verdict(databases, "SELECT a FROM t WHERE a = 1", "SELECT 1")
    assert (found.ts, found.ex, found.bird_ex, found.strict) == (False, True, True, True)


@pytest.mark.parametrize("name", ["ts", "ts_plug"])
def test_a_test_suite_is_run_only_for_its_metrics(databases: Path, name: Metric) -> None:
    other = databases / "shop/other.sqlite"
    other.write_bytes(b"SQLite format 3\0 damaged")
    pair = ("SELECT a FROM t", "SELECT t.a FROM t")
    assert verdict(databases, *pair, metrics=["ex", "ex_plug", *WRITTEN]).error is None
    assert verdict(databases, *pair, metrics=[name]).error == "gold: database"


def test_spiders_metrics_are_the_first_five() -> None:
    assert SPIDER_METRICS == ("ex", "ex_plug", "ts", "ts_plug", "em")


def test_generated_queries_have_the_verdicts_of_plain_sqlite(databases: Path) -> None:
    draw = random.Random(7)
    pairs = [(query(draw), query(draw)) for _ in range(400)]
    wrong = []
    with closing(sqlite3.connect(database_path(databases, "shop"))) as connection:
        for (gold, predicted), found in zip(
            pairs, judged(databases, *pairs, metrics=["bird_ex", "soft_f1"]), strict=True
        ):
            expected, rows = (connection.execute(sql).fetchall() for sql in (gold, predicted))
            if (found.bird_ex, found.soft_f1) != (set(expected) == set(rows), soft_f1(expected, rows)):
                wrong.append((gold, predicted))
    assert wrong == []


def query(draw: random.Random) -> str:
    columns = draw.choice(["a", "b", "a, b", "b, a", "count(*)", "*"])
    distinct = draw.choice(["", "DISTINCT "])
    where = draw.choice(["", " WHERE a >= 2", " WHERE a = 2", " WHERE a IS NULL", " WHERE a > 9"])
    order = draw.choice(["", " ORDER BY a", " ORDER BY b DESC"])
    return f"SELECT {distinct}{columns} FROM t{where}{order}"
