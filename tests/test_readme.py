"""The README's tables are those that dvc.yaml and the metrics make."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    """docs/readme_tables.py, which is in no package."""
    spec = importlib.util.spec_from_file_location("readme_tables", ROOT / "docs" / "readme_tables.py")
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
