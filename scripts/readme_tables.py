"""Tables in the documentation: results in README.md, the stages in docs/architecture.md.

Usage: python -m scripts.readme_tables            tells whether both are current
       python -m scripts.readme_tables --write    writes them
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from text2sql.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
README, ARCHITECTURE = ROOT / "README.md", ROOT / "docs" / "architecture.md"
SPIDER_PAGE = ROOT / "docs" / "spider-cpu.md"
PRODUCTS = ("data/", "models/", "metrics/", "the arm's")
ARMS = {
    "baseline": "base model",
    "lora32": "LoRA, rank 32",
    "full": "full fine-tuning",
    "full_context": "the same with value hints",
}


def stage_table(pipeline: dict[str, Any]) -> str:
    """The stages of a parsed dvc.yaml as a Markdown table; code they depend on is left out."""
    lines = ["| stage | does | reads | writes |", "|---|---|---|---|"]
    for name, stage in pipeline["stages"].items():
        body = stage.get("do", stage)
        each = "ARM" if stage.get("foreach") == "${arms}" else "NAME"
        title = f"{name}@{each}" if "do" in stage else name
        writes = [path for key in ("outs", "metrics", "plots") for path in _paths(body, key, each)]
        cells = [f"`{title}`", body["desc"], _cell(_paths(body, "deps", each)), _cell(writes)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def results_table(commit: str) -> str:
    """Execution accuracy of some arms: on the built-in benchmark at `commit`, on Spider as its page says.

    Raises:
        UserError: the commit has no such metrics, or the page no such table.
    """
    metrics = {arm: json.loads(_at(commit, f"metrics/{arm}.json")) for arm in ARMS}
    scores = [
        _score(m["ex"]["all"], m["ci95"]["all"]["low"], m["ci95"]["all"]["high"]) for m in metrics.values()
    ]
    questions = metrics["baseline"]["n"]["all"]
    built_in = ["built-in benchmark, tiny Qwen3 trained here", str(questions), *scores]
    lines = [
        ["execution accuracy in percent", "questions", *ARMS.values()],
        ["---"] + ["---:"] * (1 + len(ARMS)),
    ]
    lines += [built_in, _spider_row(SPIDER_PAGE.read_text(encoding="utf-8"))]
    note = f"With 95 % intervals; first row: metrics of commit {commit}."
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), "", note])


def shown_commit(readme: str) -> str:
    """The commit whose results README.md shows.

    Raises:
        UserError: it names none.
    """
    match = re.search(r"first row: metrics of commit ([0-9a-f]{7,40})", readme)
    if match is None:
        raise UserError("README.md: names no commit of its results; next: make readme")
    return match[1]


def newest_commit() -> str:
    """The newest commit that changed the scores."""
    return _git("log", "-1", "--format=%h", "--", "metrics/summary.json").strip()


def with_block(page: str, name: str, block: str) -> str:
    """`page` with `block` between the markers of `name`.

    Raises:
        UserError: it has no such markers.
    """
    begin, end = f"<!-- {name}: begin (by `make readme`) -->", f"<!-- {name}: end -->"
    if begin not in page or end not in page:
        raise UserError(f"the page has no lines `{begin}` and `{end}`")
    head, rest = page.split(begin, 1)
    return f"{head}{begin}\n{block}\n{end}{rest.split(end, 1)[1]}"


def pages(commit: str) -> dict[Path, str]:
    """Both pages with their tables; the results are those of `commit`."""
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    blocks = {README: ("results", results_table(commit)), ARCHITECTURE: ("stages", stage_table(pipeline))}
    return {page: with_block(page.read_text(encoding="utf-8"), *block) for page, block in blocks.items()}


def _spider_row(page: str) -> list[str]:
    """The row of README's table from the table of docs/spider-cpu.md."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if "|" in line
    ]
    head = next((row for row in rows if row[0] == "arm"), [])
    found = {row[0]: dict(zip(head, row, strict=True)) for row in rows if row[0] in ARMS}
    total = next((name for name in head if name.startswith("all (n=")), None)
    if total is None or not found:
        raise UserError(f"docs/spider-cpu.md: has no table with an arm of {', '.join(ARMS)}")
    scores = ["–"] * len(ARMS)
    for place, row in ((place, found[arm]) for place, arm in enumerate(ARMS) if arm in found):
        scores[place] = _score(row[total], *row["95 % interval of all"].split(" to "))
    questions = total.removeprefix("all (n=").removesuffix(")")
    return ["Spider dev, SmolLM2-135M ([details](docs/spider-cpu.md))", questions, *scores]


def _score(percent: object, low: object, high: object) -> str:
    return f"{percent} ({low} to {high})"


def _paths(body: dict[str, Any], key: str, each: str) -> Iterator[str]:
    for entry in body.get(key, []):
        path = next(iter(entry)) if isinstance(entry, dict) else entry
        yield _readable(path, each)


def _readable(path: str, each: str) -> str:
    """A path with names in place of DVC's variables: `each` for what a stage runs for, ARM inside a path."""
    named = re.sub(r"\$\{(key|item)\}", each, path)
    named = re.sub(r"(?<=.)\$\{item\.\w+\}", "ARM", named)
    return re.sub(r"\$\{item\.(\w+)\}", r"the arm's \1", named)


def _cell(paths: Iterable[str]) -> str:
    shown = [path for path in paths if path.startswith(PRODUCTS)]
    return ", ".join(path if path.startswith("the arm's") else f"`{path}`" for path in shown) or "–"


def _at(commit: str, path: str) -> str:
    return _git("show", f"{commit}:{path}")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def main() -> None:
    """Write the tables, or exit with status 1 where a page is not current."""
    if "--write" in sys.argv[1:]:
        for page, text in pages(newest_commit()).items():
            page.write_text(text, encoding="utf-8")
        return
    for page, text in pages(shown_commit(README.read_text(encoding="utf-8"))).items():
        if text != page.read_text(encoding="utf-8"):
            raise UserError(f"{page.relative_to(ROOT)}: a table is not current; next: make readme")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
