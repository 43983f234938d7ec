"""Suites made for some of Spider's development databases: what they tell apart, and that they are fair."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.suites.rewritings import rewritings
from text2sql.databases import database_path, live_uri
from text2sql.evaluation.judge import judge
from text2sql.evaluation.settings import JudgeSettings
from text2sql.evaluation.verdicts import Case, Verdict
from text2sql.suites.constraints import read_constraints
from text2sql.suites.make import GoldQuality, make_suites, summary
from text2sql.suites.settings import SuiteSettings

pytestmark = pytest.mark.slow

DATABASES = ("concert_singer", "employee_hire_evaluation", "network_1", "pets_1", "singer")


@pytest.fixture(scope="module")
def golds(real_data: Path) -> dict[str, list[str]]:
    """The distinct gold queries of the databases."""
    found: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for row in json.loads((real_data / "spider/dev_sql.json").read_text(encoding="utf-8")):
        db_id = row["instruction"].split()[0]
        if db_id in DATABASES:
            found[db_id][row["output"]] = None
    return {db_id: list(queries) for db_id, queries in found.items()}


@pytest.fixture(scope="module")
def made(
    real_data: Path, golds: dict[str, list[str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, list[GoldQuality]]]:
    """The folder of the suite, and the quality of each gold query."""
    folder = tmp_path_factory.mktemp("suites")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEXT2SQL_WORK", str(folder / "work"))
        databases = real_data / "spider/database"
        yield folder / "suite", make_suites(golds, databases, folder / "suite", SuiteSettings(), processes=2)


def test_most_near_misses_that_are_not_proved_equal_are_told_apart(
    made: tuple[Path, list[GoldQuality]],
) -> None:
    figures = summary(made[1])
    assert figures["used_kinds"]["told"] >= 95.0
    assert figures["used_kinds"]["told"] > figures["used_kinds"]["told_by_original"] + 20
    assert figures["held_out_kinds"]["told"] > figures["held_out_kinds"]["told_by_original"] + 30


def test_every_gold_query_and_over_two_hundred_rewritings_are_right_on_every_database(
    real_data: Path, golds: dict[str, list[str]], made: tuple[Path, list[GoldQuality]]
) -> None:
    databases = real_data / "spider/database"
    cases = [case for db_id, queries in golds.items() for case in same_meaning(databases, db_id, queries)]
    rewritten = [case for case in cases if case.slice != "itself"]
    assert len(rewritten) >= 200
    wrong = [verdict for verdict in judged(cases, databases, made[0]) if not is_right(verdict)]
    assert [(cases[verdict.row].slice, cases[verdict.row].predicted) for verdict in wrong] == []


def test_the_suites_are_small(made: tuple[Path, list[GoldQuality]]) -> None:
    sizes = [file.stat().st_size for file in made[0].rglob("*.sqlite")]
    assert len(sizes) > 50
    assert sum(sizes) < 2_500_000 * len(DATABASES)


def same_meaning(databases: Path, db_id: str, queries: list[str]) -> Iterator[Case]:
    """Each gold query as a prediction, and its rewritings."""

    file = database_path(databases, db_id)
    constraints = read_constraints(file)
    with closing(sqlite3.connect(live_uri(file), uri=True)) as connection:
        for gold in queries:
            yield Case(0, db_id, gold, f"{gold} ", "itself")
            for rewriting in rewritings(gold, constraints, connection):
                yield Case(0, db_id, gold, rewriting.sql, rewriting.rule)


def judged(cases: list[Case], databases: Path, suite: Path) -> list[Verdict]:
    numbered = [Case(row, c.db_id, c.gold, c.predicted, c.slice) for row, c in enumerate(cases)]
    return list(judge(numbered, databases, JudgeSettings(), suite=suite))


def is_right(verdict: Verdict) -> bool:
    """Whether the result is right wherever the gold decides; it may decide on its own database alone."""
    return verdict.ex is True and verdict.ts is not False
