"""stages.make_suites: from questions and databases to data/suites and its metrics."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from stages import make_suites

ROOT = Path(__file__).resolve().parents[2]
GOLDS = ["SELECT name FROM singer WHERE age > 30", "SELECT count(*) FROM singer", ""]


@pytest.fixture(autouse=True)
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXT2SQL_WORK", str(tmp_path / "work"))
    monkeypatch.chdir(tmp_path)
    Path("databases/concert").mkdir(parents=True)
    with closing(sqlite3.connect("databases/concert/concert.sqlite")) as connection:
        connection.executescript(
            "CREATE TABLE singer (name TEXT, age INTEGER);"
            "INSERT INTO singer VALUES ('Ann', 30), ('Ben', 31), ('Cid', 32)"
        )
    with open("test.jsonl", "w") as file:
        for row, gold in enumerate(GOLDS):
            print(json.dumps(question(row, gold)), file=file)


def question(row: int, gold: str) -> dict[str, object]:
    fixed = {"db_id": "concert", "question": "?", "ddl": "", "slice": "", "backend": "rules", "problems": []}
    return {"row": row, "gold": gold, **fixed}


def stage(databases: int) -> Result:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["make_suites"] = {"databases": databases, "seed": 1}
    Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    options = ("--questions", "test.jsonl", "--databases", "databases", "--suites", "suites")
    return CliRunner().invoke(make_suites.main, [*options, "--metrics", "metrics.json"])


@pytest.mark.slow
def test_the_metrics_say_how_many_near_misses_are_told_apart() -> None:
    result = stage(databases=2)
    assert result.exit_code == 0, result.output
    figures = json.loads(Path("metrics.json").read_text())
    assert figures["golds"] == 2  # a question without gold has none
    assert figures["used_kinds"]["told"] > 50
    assert list(Path("suites/concert").glob("*.sqlite"))


def test_without_databases_the_suite_is_empty() -> None:
    assert stage(databases=0).exit_code == 0
    assert json.loads(Path("suites/suite.json").read_text())["databases"]["concert"]["files"] == {}


def test_a_missing_database_is_an_error_that_names_it() -> None:
    Path("databases/concert/concert.sqlite").unlink()
    result = stage(databases=2)
    assert result.exit_code == 1
    assert "concert" in result.output and "dvc repro fetch_data" in result.output
