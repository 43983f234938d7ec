"""`text2sql make-suite`, and `text2sql evaluate --suite` with what it makes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.suites.test_make import SCRIPT, write
from text2sql.cli import main

GOLD = "SELECT name FROM member WHERE age > 30"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXT2SQL_WORK", str(tmp_path / "work"))
    monkeypatch.chdir(tmp_path)
    write(Path("db/club/club.sqlite"), SCRIPT.replace("'Ann', 30", "'Ann', 29"))
    Path("gold.txt").write_text(f"{GOLD}\tclub\n")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def make_suite(*options: str) -> Result:
    return run("make-suite", "--gold", "gold.txt", "--db", "db", "--out", "suite", "--workers", "1", *options)


@pytest.mark.slow
def test_a_near_miss_that_is_right_by_luck_is_wrong_on_the_suite() -> None:
    result = make_suite("--databases", "3")
    assert result.exit_code == 0, result.output
    assert "next: text2sql evaluate ... --suite suite" in result.output
    Path("near.sql").write_text(GOLD.replace(">", ">=") + "\n")
    command = ("evaluate", "--gold", "gold.txt", "--pred", "near.sql", "--db", "db", "--json", "scores.json")
    assert run(*command).exit_code == 0
    assert json.loads(Path("scores.json").read_text())["ex"]["all"] == 100.0
    assert run(*command, "--suite", "suite").exit_code == 0
    assert json.loads(Path("scores.json").read_text())["ex"]["all"] == 0.0


def test_zero_databases_are_refused() -> None:
    result = make_suite("--databases", "0")
    assert result.exit_code == 1
    assert "--databases 0: makes nothing" in result.output


def test_a_gold_file_without_queries_is_refused() -> None:
    Path("gold.txt").write_text("\n")
    assert "gold.txt: no gold queries" in make_suite().output


def test_an_output_that_is_the_folder_of_databases_is_refused() -> None:
    result = run("make-suite", "--gold", "gold.txt", "--db", "db", "--out", "db")
    assert result.exit_code == 1
    assert "--db and --out are the same" in result.output


def test_a_suite_that_is_not_there_is_an_error_of_evaluate() -> None:
    Path("near.sql").write_text(GOLD + "\n")
    result = run("evaluate", "--gold", "gold.txt", "--pred", "near.sql", "--db", "db", "--suite", "none")
    assert result.exit_code == 1
    assert "suite.json: no such file; make the suite again" in result.output
