"""The README's tables are those that dvc.yaml and the metrics make; its commands work."""

from __future__ import annotations

import importlib.util
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

from text2sql import cli

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    """scripts/readme_tables.py, which is in no package."""
    spec = importlib.util.spec_from_file_location("readme_tables", ROOT / "scripts" / "readme_tables.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_current(tool: ModuleType) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert tool.current(readme) == readme, "stale table; next: make readme"


def test_every_make_command_in_the_readme_is_a_target() -> None:
    readme, makefile = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "Makefile"))
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", readme, re.MULTILINE))
    assert {"reproduce", "test", "setup", "use"} <= named
    assert all(f"\n{target}:" in makefile for target in named)


@pytest.mark.parametrize("page", ["README.md", "docs/evaluation.md"])
def test_the_command_that_judges_works_as_it_is_written(
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


@pytest.mark.parametrize("command", ["dedupe", "convert-schema"])
def test_the_commands_on_data_work_as_they_are_written(
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


def test_the_command_that_merges_names_options_that_exist() -> None:
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^text2sql (merge .*)$", text, re.MULTILINE)
    options = cli.main.commands["merge"].params
    assert set(re.findall(r"--\w+", command)) == {option.opts[0] for option in options}


def test_a_stage_shows_its_description_and_its_data_but_not_its_code(tool: ModuleType) -> None:
    stage = {
        "desc": "Cleans",
        "deps": ["stages/prepare.py", "text2sql/schema", "data/raw"],
        "outs": ["data/prepared", {"metrics/prepare.json": {"cache": False}}],
    }
    row = tool.stage_table({"stages": {"prepare": stage}}).splitlines()[-1]
    assert row == "| `prepare` | Cleans | `data/raw` | `data/prepared`, `metrics/prepare.json` |"


def test_a_stage_of_every_arm_has_one_row(tool: ModuleType) -> None:
    body = {"desc": "Asks", "deps": ["${item.weights}"], "outs": ["data/predictions/${key}.jsonl"]}
    stage = {"foreach": "${arms}", "do": body}
    row = tool.stage_table({"stages": {"predict": stage}}).splitlines()[-1]
    assert row == "| `predict@ARM` | Asks | the arm's weights | `data/predictions/ARM.jsonl` |"


def test_the_text_around_the_table_is_left_alone(tool: ModuleType) -> None:
    readme = "before\n<!-- x: begin (by `make readme`) -->\n{}\n<!-- x: end -->\nafter\n"
    assert tool.with_table(readme.format("old"), "x", "new") == readme.format("new")


def test_a_readme_without_the_markers_is_an_error(tool: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"README\.md lacks"):
        tool.with_table("nothing here\n", "stages", "table")


def test_the_first_table_of_a_page_is_taken_whole(tool: ModuleType) -> None:
    page = "Title\n\n| a |\n|---|\n| 1 |\n\nmore\n\n| b |\n"
    assert tool.first_table(page) == "| a |\n|---|\n| 1 |"
    with pytest.raises(ValueError, match="make reproduce"):
        tool.first_table("no table")
