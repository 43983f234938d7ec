"""Writes the README's tables (results from metrics/table.md, stages from dvc.yaml), so they agree.

Usage: python scripts/readme_tables.py [--write]; without --write it tells whether README.md is current.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
PRODUCTS = ("data/", "models/", "metrics/", "the arm's")


def stage_table(pipeline: dict[str, Any]) -> str:
    """The stages of a parsed dvc.yaml as a Markdown table; code they depend on is left out."""
    lines = ["| stage | does | reads | writes |", "|---|---|---|---|"]
    for name, stage in pipeline["stages"].items():
        body = stage.get("do", stage)
        title = f"{name}@ARM" if "do" in stage else name
        writes = [*_paths(body, "outs"), *_paths(body, "metrics"), *_paths(body, "plots")]
        cells = [f"`{title}`", body["desc"], _cell(_paths(body, "deps")), _cell(writes)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def first_table(page: str) -> str:
    """The first Markdown table of `page`. ValueError: it has none."""
    match = re.search(r"(?:^\|.*\n)+", page, re.MULTILINE)
    if match is None:
        raise ValueError("metrics/table.md holds no table; next: make reproduce")
    return match.group().rstrip("\n")


def with_table(readme: str, name: str, table: str) -> str:
    """`readme` with `table` between the markers of `name`. ValueError: it lacks them."""
    begin, end = f"<!-- {name}: begin (by `make readme`) -->", f"<!-- {name}: end -->"
    if begin not in readme or end not in readme:
        raise ValueError(f"README.md lacks the lines `{begin}` and `{end}`")
    head, rest = readme.split(begin, 1)
    return f"{head}{begin}\n{table}\n{end}{rest.split(end, 1)[1]}"


def current(readme: str) -> str:
    """`readme` with all its tables as dvc.yaml and metrics/table.md have them now."""
    page = (ROOT / "metrics" / "table.md").read_text(encoding="utf-8")
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    return with_table(with_table(readme, "results", first_table(page)), "stages", stage_table(pipeline))


def _paths(body: dict[str, Any], key: str) -> Iterator[str]:
    for entry in body.get(key, []):
        path = next(iter(entry)) if isinstance(entry, dict) else entry
        yield _readable(path)


def _readable(path: str) -> str:
    named = re.sub(r"\$\{(key|item)\}", "ARM", path)
    return re.sub(r"\$\{item\.(\w+)\}", r"the arm's \1", named)


def _cell(paths: Iterable[str]) -> str:
    shown = [path for path in paths if path.startswith(PRODUCTS)]
    return ", ".join(path if path.startswith("the arm's") else f"`{path}`" for path in shown) or "–"


def main() -> None:
    """Write the tables, or exit 1 when README.md is not current."""
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    wanted = current(text)
    if "--write" in sys.argv[1:]:
        readme.write_text(wanted, encoding="utf-8")
    elif wanted != text:
        sys.exit("error: README.md: a table is older than dvc.yaml or metrics; next: make readme")


if __name__ == "__main__":
    main()
