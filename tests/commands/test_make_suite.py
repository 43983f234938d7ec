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


# -- the folder of the suite --


def files_of_a_suite() -> None:
    """A suite of one file, in suite/."""
    Path("suite/club").mkdir(parents=True)
    for name in ("quality.jsonl", "club/club_01.sqlite"):
        (Path("suite") / name).touch()
    databases = {"club": {"sha256": "0", "files": {"club_01.sqlite": []}}}
    Path("suite/suite.json").write_text(json.dumps({"seed": 1, "databases": databases}))


def refusal() -> str:
    """What is said where the suite is refused; nothing is changed."""
    before = sorted(Path().rglob("*"))
    result = make_suite()
    assert result.exit_code == 1, result.output
    assert sorted(Path().rglob("*")) == before
    return result.output


def test_a_folder_with_other_files_is_not_replaced() -> None:
    Path("suite").mkdir()
    Path("suite/thesis.txt").write_text("years of work")
    assert "suite: has thesis.txt, and no suite.json of a suite; name a new folder with --out" in refusal()


def test_a_link_to_a_folder_with_other_files_is_not_replaced() -> None:
    Path("other").mkdir()
    Path("other/thesis.txt").touch()
    Path("suite").symlink_to("other")
    assert "suite: has thesis.txt" in refusal()


@pytest.mark.parametrize("name", ["thesis.txt", "club/club_02.sqlite", "notes/a.txt"])
def test_a_suite_with_a_file_that_no_suite_has_is_not_replaced(name: str) -> None:
    files_of_a_suite()
    (Path("suite") / name).parent.mkdir(exist_ok=True)
    (Path("suite") / name).touch()
    assert f"suite: has {Path(name).parts[0] if name.startswith('notes') else name}, which is no" in refusal()


def test_a_folder_whose_manifest_is_not_of_a_suite_is_not_replaced() -> None:
    Path("suite").mkdir()
    Path("suite/suite.json").write_text("{}")
    assert "suite: is not replaced, because it is no suite (suite/suite.json: not the manifest" in refusal()


def test_a_file_is_not_replaced_by_a_suite() -> None:
    Path("suite").touch()
    assert "suite: is not a folder; name a new folder with --out" in refusal()


@pytest.mark.parametrize("out", [".", "../empty"])
def test_the_current_folder_is_not_replaced(out: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("empty").mkdir()
    monkeypatch.chdir("empty")
    result = run("make-suite", "--gold", "../gold.txt", "--db", "../db", "--out", out)
    assert (result.exit_code, "has the current folder in it" in result.output) == (1, True)


def test_a_folder_with_the_gold_queries_is_not_replaced() -> None:
    Path("suite").mkdir()
    Path("suite/gold.txt").write_text(f"{GOLD}\tclub\n")
    result = run("make-suite", "--gold", "suite/gold.txt", "--db", "db", "--out", "suite")
    assert (result.exit_code, "--out would replace --gold" in result.output) == (1, True)


@pytest.mark.slow
@pytest.mark.parametrize("before", ["suite", "empty"])
def test_a_suite_and_an_empty_folder_are_replaced(before: str) -> None:
    if before == "suite":
        files_of_a_suite()
    else:
        Path("suite").mkdir()
    assert make_suite("--databases", "1", "--quiet").exit_code == 0
    assert Path("suite/club/club_01.sqlite").stat().st_size > 0


# -- its other options --


@pytest.mark.slow
def test_fields_are_named_and_the_quality_is_written_as_json() -> None:
    Path("gold.txt").write_text(json.dumps([{"statement": GOLD, "base": "club"}]))
    fields = ("--field", "gold=statement", "--field", "db_id=base")
    result = make_suite("--databases", "1", "--json", "quality.json", *fields)
    assert result.exit_code == 0, result.output
    assert "make_suites: 81/81 candidates (100 %)" in result.stderr
    assert json.loads(Path("quality.json").read_text())["golds"] == 1


@pytest.mark.slow
def test_quiet_is_quiet() -> None:
    assert make_suite("--databases", "1", "--quiet").stderr == ""


def test_the_help_shows_no_bound_that_there_is_not() -> None:
    help_text = run("make-suite", "--help").output
    assert "[default: 1]" in " ".join(help_text.split())
    assert "None" not in help_text
