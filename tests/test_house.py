"""Rules of the code: imports of light stages, names of stages, length of functions."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
STAGES: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
SOURCES = sorted([*ROOT.glob("text2sql/**/*.py"), *ROOT.glob("stages/*.py")])
STAGE_FILES = sorted(path for path in ROOT.glob("stages/*.py") if not path.stem.startswith("_"))

HEAVY = {
    "datasets",
    "deepspeed",
    "llamafactory",
    "peft",
    "pymilvus",
    "torch",
    "transformers",
    "vllm",
}
# These stages are often run by hand, in tenths of a second; loading torch would take seconds.
LIGHT = ["outside_train", "fetch_data", "prepare", "dedupe_test", "convert_schema", "evaluate", "report"]
# Commands about the pipeline, which are no stages themselves.
COMMANDS = {"check", "compare", "publish"}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(nodes: Iterator[ast.AST]) -> set[str]:
    """The dotted names in import statements; `from a import b` gives both a and a.b."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            names |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def run_on_import(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when a module is imported: not the bodies of functions, no typing-only imports."""
    for child in ast.iter_child_nodes(node):
        typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
        if not typing_only and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child
            yield from run_on_import(child)


def loaded_with(path: Path) -> set[str]:
    """All modules that importing `path` imports, also indirectly through modules of this project."""
    files = {module_name(source): source for source in SOURCES}
    found: set[str] = set()
    waiting = [path]
    while waiting:
        new = imported(run_on_import(tree(waiting.pop()))) - found
        found |= new
        waiting += [files[name] for name in new if name in files]
    return found


def test_the_import_contract_of_stages_names_every_stage() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (independent,) = [contract for contract in contracts if contract["type"] == "independence"]
    assert independent["modules"] == [f"stages.{path.stem}" for path in STAGE_FILES]


@pytest.mark.parametrize("name", [*LIGHT, *sorted(COMMANDS)])
def test_a_light_stage_loads_no_heavy_library(name: str) -> None:
    top = {module.split(".")[0] for module in loaded_with(ROOT / "stages" / f"{name}.py")}
    assert not top & HEAVY


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_of_dvc_yaml_has_a_file_of_its_name_a_description_and_its_command(name: str) -> None:
    body = STAGES[name].get("do", STAGES[name])
    assert body.get("desc"), f"dvc.yaml: stage {name} has no desc"
    assert (ROOT / "stages" / f"{name}.py").is_file()
    assert body["cmd"].split()[:3] == ["python", "-m", f"stages.{name}"]


def test_every_stage_file_is_in_dvc_yaml() -> None:
    assert {path.stem for path in STAGE_FILES} - COMMANDS <= set(STAGES)


def test_no_function_is_longer_than_fifty_lines() -> None:
    lines = {
        f"{module_name(path)}.{node.name}": node.end_lineno - node.lineno + 1
        for path in SOURCES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef) and node.end_lineno
    }
    assert len(lines) > len(SOURCES)
    assert not {name: length for name, length in lines.items() if length > 50}
