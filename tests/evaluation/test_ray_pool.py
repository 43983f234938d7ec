"""The judge on a local Ray cluster."""

from __future__ import annotations

import signal
import sqlite3
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from text2sql.errors import UserError
from text2sql.evaluation.judge import judge
from text2sql.evaluation.settings import JudgeSettings
from text2sql.evaluation.verdicts import Case

pytestmark = pytest.mark.slow

PREDICTIONS = ("SELECT a FROM t", "SELECT b FROM t", "DROP TABLE t", "SELECT a FROM t WHERE a > 5")
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture
def databases(tmp_path: Path) -> Path:
    for db_id in ("one", "two"):
        (tmp_path / db_id).mkdir()
        connection = sqlite3.connect(tmp_path / db_id / f"{db_id}.sqlite")
        connection.executescript("CREATE TABLE t (a INT); INSERT INTO t VALUES (1), (2);")
        connection.close()
    return tmp_path


def test_ray_gives_the_same_verdicts_in_the_same_order(databases: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    predictions = [PREDICTIONS[row % 4] for row in range(1200)] + [ENDLESS]
    cases = [
        Case(row, ("one", "two")[row // 50 % 2], "SELECT a FROM t", sql)
        for row, sql in enumerate(predictions)
    ]
    settings = JudgeSettings(
        timeout_s=5.0, metrics=["ex", "em"]
    )  # ample, so that only the endless query needs it all
    here = [replace(verdict, seconds=0.0) for verdict in judge(cases, databases, settings)]
    there = list(judge(cases, databases, settings.model_copy(update={"executor": "ray"}), workers=2))
    assert [replace(verdict, seconds=0.0) for verdict in there] == here
    assert here[-1].error == "timeout"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL  # Ray has a handler of its own


def test_without_ray_the_error_says_what_to_install(databases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray.util.multiprocessing", None)
    with pytest.raises(UserError, match="pip install ray"):
        list(judge([Case(0, "one", "SELECT 1", "SELECT 1")], databases, JudgeSettings(executor="ray")))
