"""BIRD's metrics against its published evaluation code, which is not part of this project.

`TEXT2SQL_BIRD` names the folder `evaluation` of a checkout of https://github.com/bird-bench/mini_dev.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest

from tests.evaluation.generated_results import generated_pairs
from text2sql.databases import database_path
from text2sql.evaluation.bird.compare import same_set, soft_f1
from text2sql.evaluation.bird.time_score import speed_score
from text2sql.evaluation.judge import judge
from text2sql.evaluation.settings import JudgeSettings
from text2sql.evaluation.verdicts import Case

ARMS = ("baseline", "full", "lora32", "rag_embedding")
PAIRS = 20_000
_MODULES = ("evaluation_utils", "evaluation_ex", "evaluation_f1", "evaluation_ves")
# Servers that are not asked here, and the timeout of calls that are not made here.
_NOT_NEEDED = {
    "psycopg2": {},
    "pymysql": {},
    "func_timeout": {"func_timeout": None, "FunctionTimedOut": Exception},
}


@pytest.fixture(scope="module")
def official() -> Iterator[dict[str, ModuleType]]:
    """BIRD's scripts by name."""
    folder = os.environ.get("TEXT2SQL_BIRD")
    if not folder:
        pytest.skip("TEXT2SQL_BIRD names no folder with BIRD's evaluation scripts")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        for name, attributes in _NOT_NEEDED.items():
            module = ModuleType(name)
            vars(module).update(attributes)
            patch.setitem(sys.modules, name, module)
        yield {name: importlib.import_module(name) for name in _MODULES}
        for name in _MODULES:
            sys.modules.pop(name, None)


def test_ex_equals_birds_on_generated_results(official: dict[str, ModuleType]) -> None:
    theirs = official["evaluation_ex"].calculate_ex
    differing = [
        (gold, predicted)
        for gold, predicted in generated_pairs(PAIRS, seed=1)
        if same_set(gold, predicted) is not bool(theirs(predicted, gold))
    ]
    assert differing == []


def test_soft_f1_equals_birds_on_generated_results(official: dict[str, ModuleType]) -> None:
    theirs = official["evaluation_f1"].calculate_f1_score
    differing = [
        (gold, predicted)
        for gold, predicted in generated_pairs(PAIRS, seed=2)
        if soft_f1(gold, predicted) != theirs(predicted, gold)
    ]
    assert differing == []


def test_r_ves_equals_birds_on_generated_times(
    official: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    script, draw, differing = official["evaluation_ves"], random.Random(3), []
    for _ in range(2_000):
        factor = draw.choice([0.1, 0.25, 0.5, 1.0, 2.0, 4.0])
        times = [
            (draw.uniform(0.5, 1.5), factor * draw.uniform(0.5, 1.5)) for _ in range(draw.randint(2, 30))
        ]
        if draw.random() < 0.3:
            times[0] = (times[0][0], 100.0 * factor)
        asked = iter([[(1,)], [(1,)], *(time for pair in times for time in pair)])
        monkeypatch.setattr(script, "execute_sql", lambda *_, asked=asked, **__: next(asked))
        reward = script.iterated_execute_sql("predicted", "gold", "file", len(times), "SQLite")
        if speed_score([gold / predicted for predicted, gold in times]) != reward**0.5:
            differing.append(times)
    assert differing == []


@pytest.mark.slow
@pytest.mark.parametrize("arm", ARMS)
def test_verdicts_on_spider_dev_equal_birds(
    real_data: Path, official: dict[str, ModuleType], arm: str
) -> None:
    rows = json.loads((real_data / "spider/dev_sql.json").read_text(encoding="utf-8"))
    golds = [(row["output"], row["instruction"].split()[0]) for row in rows]
    predicted = (real_data / f"reference/predictions/{arm}.sql").read_text(encoding="utf-8").split("\n")[:-1]
    pairs = zip(golds, predicted, strict=True)
    cases = [Case(row, db_id, gold, sql) for row, ((gold, db_id), sql) in enumerate(pairs)]
    databases = real_data / "spider/database"
    verdicts = judge(cases, databases, JudgeSettings(metrics=["bird_ex", "soft_f1"]), workers=1)
    differing = [
        (case.row, ours, theirs)
        for case, verdict in zip(cases, verdicts, strict=True)
        if (ours := (verdict.bird_ex, verdict.soft_f1)) != (theirs := _theirs(official, databases, case))
    ]
    assert len(cases) == 1034
    assert differing == []


def _theirs(official: dict[str, ModuleType], databases: Path, case: Case) -> tuple[bool, float]:
    with closing(
        sqlite3.connect(f"file:{database_path(databases, case.db_id)}?mode=ro", uri=True)
    ) as connection:
        try:
            predicted = connection.execute(case.predicted).fetchall()
            gold = connection.execute(case.gold).fetchall()
        except (sqlite3.Error, sqlite3.Warning):
            return False, 0.0
    ex = official["evaluation_ex"].calculate_ex(predicted, gold)
    return bool(ex), official["evaluation_f1"].calculate_f1_score(predicted, gold)
