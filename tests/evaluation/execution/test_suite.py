"""The manifest of a made test suite, and the judge that uses the suite."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from text2sql.cli import main
from text2sql.errors import UserError
from text2sql.evaluation.execution.suite import MANIFEST, DatabaseSuite, Suite, write_manifest
from text2sql.evaluation.judge import judge
from text2sql.evaluation.settings import JudgeSettings
from text2sql.evaluation.verdicts import Case, Verdict
from text2sql.workstore import hash_path

GOLD = "SELECT name FROM people WHERE age > 30"
NEAR = "SELECT name FROM people WHERE age >= 30"


def make(path: Path, *ages: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE people (name TEXT, age INTEGER)")
        connection.executemany("INSERT INTO people VALUES ('Ann', ?)", [(age,) for age in ages])
        connection.commit()


@pytest.fixture
def databases(tmp_path: Path) -> Path:
    make(tmp_path / "db/a/a.sqlite", 20, 40)
    return tmp_path / "db"


@pytest.fixture
def suite(tmp_path: Path, databases: Path) -> Path:
    """Two further databases; the gold decides nothing on the second."""
    make(tmp_path / "suite/a/a_01.sqlite", 40)
    make(tmp_path / "suite/a/a_02.sqlite", 30, 40)
    declare(tmp_path / "suite", databases, {"a_01.sqlite": [], "a_02.sqlite": [GOLD]})
    return tmp_path / "suite"


def declare(suite: Path, databases: Path, files: dict[str, list[str]]) -> None:
    original = hash_path(databases / "a/a.sqlite")
    write_manifest(suite, 1, {"a": DatabaseSuite(sha256=original, files=files)})


def verdict(databases: Path, suite: Path, sql: str) -> Verdict:
    cases = [Case(0, "a", GOLD, sql)]
    return next(
        iter(judge(cases, databases, JudgeSettings(metrics=["ex", "ts", "ts_plug"]), suite=suite, workers=1))
    )


def test_a_database_on_which_the_gold_decides_nothing_is_left_out(suite: Path, databases: Path) -> None:
    read = Suite.read(suite, databases)
    assert read.files("a", GOLD) == [suite / "a/a_01.sqlite"]
    assert read.files("a", NEAR) == [suite / "a/a_01.sqlite", suite / "a/a_02.sqlite"]
    assert read.files("other", GOLD) == []


def test_a_near_miss_is_right_on_the_original_and_wrong_on_the_suite(suite: Path, databases: Path) -> None:
    declare(suite, databases, {"a_01.sqlite": [], "a_02.sqlite": []})
    found = verdict(databases, suite, NEAR)
    assert (found.ex, found.ts, found.ts_plug) == (True, False, False)
    right = verdict(databases, suite, GOLD.lower().replace("ann", "Ann"))
    assert (right.ex, right.ts, right.ts_plug) == (True, True, True)


def test_an_undecided_database_does_not_count(suite: Path, databases: Path) -> None:
    assert verdict(databases, suite, NEAR).ts is True


def test_without_a_database_that_decides_there_is_no_ts(suite: Path, databases: Path) -> None:
    declare(suite, databases, {"a_01.sqlite": [GOLD], "a_02.sqlite": [GOLD]})
    assert verdict(databases, suite, NEAR).ts is None


def test_a_suite_of_another_database_is_refused(suite: Path, databases: Path) -> None:
    with closing(sqlite3.connect(databases / "a/a.sqlite")) as connection:
        connection.execute("INSERT INTO people VALUES ('Ben', 1)")
        connection.commit()
    with pytest.raises(UserError, match=r"a\.sqlite: is not the database that the suite .* make-suite"):
        Suite.read(suite, databases)


def evaluate(suite: Path, databases: Path, gold: str, *options: str) -> Result:
    for name, text in (("gold.txt", gold), ("pred.sql", f"{NEAR}\n" * gold.count("\n"))):
        (databases.parent / name).write_text(text)
    files = ["--gold", str(databases.parent / "gold.txt"), "--pred", str(databases.parent / "pred.sql")]
    folders = ["--db", str(databases), "--suite", str(suite), "--workers", "1"]
    return CliRunner().invoke(main, ["evaluate", *files, *folders, *options])


def test_a_suite_that_has_none_of_the_databases_is_refused_by_evaluate(suite: Path, databases: Path) -> None:
    make(databases / "b/b.sqlite", 20)
    result = evaluate(suite, databases, f"{GOLD}\tb\n")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "the suite has none of the databases of the gold queries; make one" in result.stderr


def test_evaluate_counts_the_databases_that_a_suite_lacks(suite: Path, databases: Path) -> None:
    make(databases / "b/b.sqlite", 20)
    result = evaluate(suite, databases, f"{GOLD}\ta\n{GOLD}\tb\n{GOLD}\tb\n")
    assert "the suite lacks 1 of 2 databases (b; 2 rows), which are judged on their own" in result.stderr
    assert evaluate(suite, databases, f"{GOLD}\ta\n").stderr == ""


def test_evaluate_says_where_a_suite_is_not_used(suite: Path, databases: Path) -> None:
    result = evaluate(suite, databases, f"{GOLD}\ta\n", "--metric", "ex", "--metric", "strict")
    assert "suite: not used, because ex, strict do not need it; add --metric ts" in result.stderr
    assert "execution:" not in result.stdout
    assert "not used" in evaluate(suite, databases, f"{GOLD}\ta\n", "--etype", "match").stderr


def test_a_missing_file_is_an_error_that_names_it(suite: Path, databases: Path) -> None:
    (suite / "a/a_02.sqlite").unlink()
    with pytest.raises(UserError, match=r"a_02\.sqlite: no such file, though suite\.json names it"):
        Suite.read(suite, databases)


def test_a_folder_without_manifest_is_refused(tmp_path: Path, databases: Path) -> None:
    with pytest.raises(UserError, match=r"suite\.json: no such file; make the suite again"):
        Suite.read(tmp_path, databases)


@pytest.mark.parametrize("text", ["{}", "[]", '{"seed": 1, "databases": {"a": {"files": {}}}}'])
def test_a_manifest_of_another_form_is_refused(suite: Path, databases: Path, text: str) -> None:
    (suite / MANIFEST).write_text(text)
    with pytest.raises(UserError, match="not the manifest of a suite"):
        Suite.read(suite, databases)


def test_a_torn_manifest_is_refused(suite: Path, databases: Path) -> None:
    (suite / MANIFEST).write_text((suite / MANIFEST).read_text()[:20])
    with pytest.raises(UserError, match=r"suite\.json"):
        Suite.read(suite, databases)
