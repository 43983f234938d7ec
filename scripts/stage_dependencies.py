"""The project's code that each stage of dvc.yaml imports, held against the stage's `deps`.

Usage: python -m scripts.stage_dependencies    prints what dvc.yaml does not name
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import grimp
import yaml

ROOT = Path(__file__).resolve().parents[1]
# Modules that run in a process of their own, which no import statement shows.
_RUN_AS_PROGRAM = {"text2sql.training.launch": "text2sql.training.worker"}


def imported_files(stages: Iterable[str], root: Path = ROOT) -> dict[str, list[str]]:
    """The files below `root` that each stage imports, directly or not, its own file included.

    Imports inside functions count, those for type checkers only do not. A file without code, such as an
    __init__.py with nothing but its docstring, is left out.
    """
    graph = grimp.build_graph("text2sql", "stages", exclude_type_checking_imports=True, cache_dir=None)
    for importer, program in _RUN_AS_PROGRAM.items():
        graph.add_import(importer=importer, imported=program)
    found = {}
    for stage in stages:
        modules = {f"stages.{stage}", *graph.find_upstream_modules(f"stages.{stage}")}
        modules |= {package for module in modules for package in _packages(module)}
        files = sorted(_file(module, root) for module in modules)
        found[stage] = [str(file.relative_to(root)) for file in files if _has_code(file)]
    return found


def missing(pipeline: dict[str, Any], root: Path = ROOT) -> list[str]:
    """A sentence for each imported file that its stage's deps do not cover."""
    deps = {stage: body.get("do", body)["deps"] for stage, body in pipeline["stages"].items()}
    return [
        f"dvc.yaml: stage {stage} imports {file}, which is not in its deps"
        for stage, files in imported_files(deps, root).items()
        for file in files
        if not any(file == dep or file.startswith(f"{dep}/") for dep in deps[stage])
    ]


def _packages(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]


def _file(module: str, root: Path) -> Path:
    path = root.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _has_code(file: Path) -> bool:
    code = compile(file.read_text(encoding="utf-8"), file, "exec", dont_inherit=True)
    return bool(set(code.co_names) - {"__doc__"})


def main() -> None:
    """Print what is missing."""
    found = missing(yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8")))
    print("\n".join(found) or "dvc.yaml names every file that its stages import")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
