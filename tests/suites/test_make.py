"""Suites as a whole: made, resumed after a kill, the same every time, measured honestly."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from text2sql.errors import UserError
from text2sql.evaluation.execution.suite import Suite
from text2sql.suites import make
from text2sql.suites.make import GoldQuality, make_suites, summary
from text2sql.suites.settings import SuiteSettings

GOLDS = {
    "club": [
        "SELECT name FROM member WHERE age > 30",
        "SELECT count(*) FROM member JOIN town ON member.town = town.id WHERE town.name = 'Bern'",
        "SELECT name FROM member ORDER BY age DESC LIMIT 1",
    ]
}
CANDIDATES = 12
SCRIPT = """
CREATE TABLE town (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE member (id INTEGER PRIMARY KEY, name TEXT, age INTEGER, town INTEGER REFERENCES town (id));
INSERT INTO town VALUES (1, 'Bern'), (2, 'Rome');
INSERT INTO member VALUES (1, 'Ann', 30, 1), (2, 'Ben', 41, 1), (3, 'Cid', 25, 2);
"""


@pytest.fixture
def databases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TEXT2SQL_WORK", str(tmp_path / "work"))
    write(tmp_path / "db/club/club.sqlite", SCRIPT)
    return tmp_path / "db"


def write(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)


def made(
    databases: Path, output: Path, seed: int = 1, most: int = 4, processes: int = 1
) -> list[GoldQuality]:
    settings = SuiteSettings(databases=most, seed=seed)
    return make_suites(GOLDS, databases, output, settings, processes=processes, candidates=CANDIDATES)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_suite_tells_more_near_misses_apart_than_its_database(databases: Path, tmp_path: Path) -> None:
    figures = summary(made(databases, tmp_path / "suite"))
    assert figures["golds"] == 3
    assert figures["used_kinds"]["told"] > figures["used_kinds"]["told_by_original"]
    assert figures["held_out_kinds"]["near_misses"] > 0


def test_every_near_miss_is_told_apart_or_proved_equal_or_open(databases: Path, tmp_path: Path) -> None:
    for row in made(databases, tmp_path / "suite"):
        both = row.counts(held_out=False) + row.counts(held_out=True)
        assert both.near_misses == both.told + both.equal + len(row.open)
        assert both.by_original <= both.told
        assert both.equal == sum(row.equal.values())


def test_the_folder_can_be_read_and_has_no_more_databases_than_asked_for(
    databases: Path, tmp_path: Path
) -> None:
    made(databases, tmp_path / "suite", most=2)
    files = Suite.read(tmp_path / "suite", databases).files("club", GOLDS["club"][0])
    assert 1 <= len(files) <= 2
    rows = [json.loads(line) for line in (tmp_path / "suite/quality.jsonl").read_text().splitlines()]
    assert [row["gold"] for row in rows] == GOLDS["club"]


def test_the_same_seed_gives_the_same_bytes(
    databases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(databases, tmp_path / "one")
    monkeypatch.setenv("TEXT2SQL_WORK", str(tmp_path / "elsewhere"))
    made(databases, tmp_path / "two", processes=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    made(databases, tmp_path / "three", seed=2)
    assert contents(tmp_path / "one") != contents(tmp_path / "three")


def test_what_is_in_the_work_store_is_not_made_again(
    databases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(databases, tmp_path / "one")
    monkeypatch.setattr(make, "_try", lambda task: pytest.fail("worked again"))
    made(databases, tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    made(databases, tmp_path / "more", most=8)  # candidates that were not kept are made again
    assert len(contents(tmp_path / "more")) >= len(contents(tmp_path / "one"))


@pytest.mark.slow
def test_a_killed_run_resumes_and_gives_the_same_bytes(
    databases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "from pathlib import Path; from tests.suites.test_make import made;"
        f"made(Path({str(databases)!r}), Path({str(tmp_path / 'killed')!r}))"
    )
    work = tmp_path / "work/make_suites"
    process = subprocess.Popen([sys.executable, "-c", program], env=dict(os.environ))
    while process.poll() is None and not list(work.glob("*/003.json")):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = len(list(work.glob("*/0*.json")))
    assert 0 < done < CANDIDATES, "it was killed midway"
    made(databases, tmp_path / "killed")
    monkeypatch.setenv("TEXT2SQL_WORK", str(tmp_path / "elsewhere"))
    made(databases, tmp_path / "whole")
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_without_databases_to_make_the_suite_is_empty(databases: Path, tmp_path: Path) -> None:
    assert made(databases, tmp_path / "suite", most=0) == []
    assert Suite.read(tmp_path / "suite", databases).files("club", GOLDS["club"][0]) == []


def test_a_missing_database_is_an_error_that_names_it(databases: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"zoo\.sqlite: no such file"):
        make_suites({"zoo": ["SELECT 1"]}, databases, tmp_path / "suite", SuiteSettings(), processes=1)


def test_a_damaged_database_is_an_error_that_names_it(databases: Path, tmp_path: Path) -> None:
    path = databases / "club/club.sqlite"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(UserError, match=r"club\.sqlite"):
        made(databases, tmp_path / "suite")
    assert not (tmp_path / "suite").exists()


@pytest.mark.parametrize("gold", ["SELECT missing FROM member", "SELECT (((", "", "-- nothing"])
def test_a_gold_that_does_not_run_has_no_near_misses_and_ends_nothing(
    databases: Path, tmp_path: Path, gold: str
) -> None:
    settings = SuiteSettings(databases=2)
    golds = {"club": [gold, *GOLDS["club"]]}
    quality = make_suites(golds, databases, tmp_path / "s", settings, processes=1, candidates=CANDIDATES)
    assert quality[0].kinds == {}
    assert Suite.read(tmp_path / "s", databases).files("club", GOLDS["club"][0])
