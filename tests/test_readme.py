"""The generated tables of the documentation are current, and the commands in it work."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from dvc.utils.hydra import apply_overrides

from scripts import readme_tables as tables
from stages._params import load_params
from text2sql import cli
from text2sql.errors import UserError

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def commit() -> str:
    """The commit whose results the README shows."""
    name = tables.shown_commit(tables.README.read_text(encoding="utf-8"))
    known = subprocess.run(["git", "cat-file", "-e", name], cwd=ROOT, capture_output=True)
    if known.returncode:
        pytest.skip(f"commit {name} of the README's results is not in this shallow history")
    return name


def test_the_tables_are_current(commit: str) -> None:
    stale = [page.name for page, text in tables.pages(commit).items() if text != page.read_text("utf-8")]
    assert not stale, "next: make readme"


def test_every_make_command_in_the_readme_is_a_target() -> None:
    readme, makefile = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "Makefile"))
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", readme, re.MULTILINE))
    assert {"reproduce", "test", "setup", "use"} <= named
    assert all(f"\n{target}:" in makefile for target in named)


@pytest.mark.parametrize("page", ["README.md", "docs/evaluation.md"])
def test_the_evaluate_command_works_as_written(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    (command,) = re.findall(r"^text2sql (evaluate .*--gold .*)$", text, re.MULTILINE)
    (tmp_path / "database/concert").mkdir(parents=True)
    with closing(sqlite3.connect(tmp_path / "database/concert/concert.sqlite")) as connection:
        connection.execute("CREATE TABLE singer (name)")
    (tmp_path / "gold.txt").write_text("SELECT name FROM singer\tconcert\n")
    (tmp_path / "predictions.sql").write_text("SELECT name FROM singer\n")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli.main, command.split())
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "summary.json").read_text())["ex"]["all"] == 100.0


def test_the_audit_commands_work_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs/doubtful-gold.md").read_text(encoding="utf-8")
    commands = re.findall(r"^text2sql (.*--gold gold.txt.*)$", page, re.MULTILINE)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands += re.findall(r"^text2sql (audit-gold .*)$", readme, re.MULTILINE)
    (tmp_path / "database/concert").mkdir(parents=True)
    with closing(sqlite3.connect(tmp_path / "database/concert/concert.sqlite")) as connection:
        connection.execute("CREATE TABLE singer (name)")
    (tmp_path / "gold.txt").write_text("SELECT name FROM singer\tconcert\n")
    (tmp_path / "predictions.sql").write_text("SELECT name FROM singer\n")
    monkeypatch.chdir(tmp_path)
    assert [command.split()[0] for command in commands] == ["audit-gold", "evaluate", "audit-gold"]
    results = [CliRunner().invoke(cli.main, command.split()) for command in commands]
    assert [result.exit_code for result in results] == [0, 0, 0]
    assert "without the 1 rows with doubtful gold" in results[1].stdout


@pytest.mark.parametrize("command", ["dedupe", "convert-schema"])
def test_the_data_commands_work_as_written(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (options,) = re.findall(rf"^text2sql {command} (.*)$", text, re.MULTILINE)
    prose = "zoo contains tables such as dog. Table dog has columns such as id, name. id is the primary key."
    test = {"instruction": prose, "input": "Names of the dogs?", "output": "SELECT name FROM dog"}
    train = {"question": "How many?", "context": "CREATE TABLE t (a)", "answer": "SELECT count(*) FROM t"}
    (tmp_path / "test.json").write_text(json.dumps([test]))
    (tmp_path / "train.jsonl").write_text(json.dumps(train) + "\n")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli.main, [command, *options.split()])
    assert result.exit_code == 0, result.output


def test_the_merge_command_has_existing_options() -> None:
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^text2sql (merge .*)$", text, re.MULTILINE)
    options = cli.main.commands["merge"].params
    assert set(re.findall(r"--\w+", command)) == {option.opts[0] for option in options}


@pytest.mark.parametrize(("page", "least"), [("training.md", 5), ("retrieval.md", 2)])
def test_the_settings_in_the_commands_of_a_page_are_accepted(page: str, least: int, tmp_path: Path) -> None:
    text = " ".join((ROOT / "docs" / page).read_text(encoding="utf-8").replace("\\\n", " ").split())
    commands = re.findall(r"dvc exp run ((?:-S (?:'[^']*'|[^\s'`]+) ?)+)", text)
    assert len(commands) >= least
    for command in commands:
        params = shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml")
        apply_overrides(params, [word for word in shlex.split(command) if word != "-S"])
        load_params(params)


def test_the_row_of_a_stage_has_its_description_and_its_data_but_not_its_code() -> None:
    stage = {
        "desc": "Cleans",
        "deps": ["stages/prepare.py", "text2sql/schema", "data/raw"],
        "outs": ["data/prepared", {"metrics/prepare.json": {"cache": False}}],
    }
    row = tables.stage_table({"stages": {"prepare": stage}}).splitlines()[-1]
    assert row == "| `prepare` | Cleans | `data/raw` | `data/prepared`, `metrics/prepare.json` |"


def test_a_stage_that_runs_for_each_arm_has_one_row() -> None:
    body = {"desc": "Asks", "deps": ["${item.weights}"], "outs": ["data/predictions/${key}.jsonl"]}
    stage = {"foreach": "${arms}", "do": body}
    row = tables.stage_table({"stages": {"predict": stage}}).splitlines()[-1]
    assert row == "| `predict@ARM` | Asks | the arm's weights | `data/predictions/ARM.jsonl` |"


def test_a_stage_that_runs_for_each_source_has_one_row() -> None:
    body = {"desc": "Hashes", "deps": ["text2sql/files.py"], "outs": ["data/outside/train/${key}.json"]}
    stage = {"foreach": "${fetch_data.train}", "do": body}
    row = tables.stage_table({"stages": {"outside_train": stage}}).splitlines()[-1]
    assert row == "| `outside_train@NAME` | Hashes | – | `data/outside/train/NAME.json` |"


def test_a_stage_that_reads_an_arms_predictions_names_their_file() -> None:
    stage = {
        "foreach": "${drafts}",
        "do": {"desc": "Finds", "deps": ["data/predictions/${item.predictions}.jsonl"]},
    }
    row = tables.stage_table({"stages": {"rank_by_draft": stage}}).splitlines()[-1]
    assert row == "| `rank_by_draft@NAME` | Finds | `data/predictions/ARM.jsonl` | – |"


def test_the_text_around_a_block_is_unchanged() -> None:
    page = "before\n<!-- x: begin (by `make readme`) -->\n{}\n<!-- x: end -->\nafter\n"
    assert tables.with_block(page.format("old"), "x", "new") == page.format("new")


def test_a_page_without_the_markers_is_an_error() -> None:
    with pytest.raises(UserError, match="the page has no lines"):
        tables.with_block("nothing here\n", "stages", "table")


def test_a_readme_without_a_commit_is_an_error_with_the_next_command() -> None:
    with pytest.raises(UserError, match="make readme"):
        tables.shown_commit("no results here")
