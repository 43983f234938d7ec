"""Size of metrics/report.html and its times in Chromium, for Spider dev with seven arms.

The arms are those of which the outside data has predictions, repeated until there are seven; two of them have
prompts with an example. bench/README.md shows the output.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from bench.evaluate import print_line, read_cases
from tests.browser import chromium, visiting
from text2sql.databases import database_path
from text2sql.errors import UserError
from text2sql.evaluation.judge import describe, judge
from text2sql.evaluation.scores_by_set import ScoresBySet
from text2sql.evaluation.settings import SPIDER_METRICS, EvaluationSettings, JudgeSettings
from text2sql.evaluation.verdicts import Case
from text2sql.files import read_json, replacing, write_json, write_jsonl
from text2sql.preparation.outside_data import data_folder
from text2sql.report.html.inputs import Places, read_content
from text2sql.report.html.page import Provenance, page
from text2sql.report.scores import read_sets
from text2sql.schema.ddl import write_ddl
from text2sql.schema.settings import Prompt
from text2sql.schema.sqlite import read_sqlite

ARMS = 7
SIZE_MB, OPEN_S, FILTER_MS = 15, 2.0, 100
"""Limits: the file in megabytes, opening it until the list is there in seconds, changing a filter."""

_TIMED = """([name, value]) => {
    const field = document.getElementById(name);
    const start = performance.now();
    field.value = value;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    field.offsetHeight; // until the list is laid out
    return performance.now() - start;
}"""


def main() -> None:
    """Print each figure with its limit; exit status 1 if one is exceeded."""
    try:
        data = data_folder()
    except UserError as error:
        sys.exit(f"error: {error}")
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        places = lay_inputs(data, Path(folder))
        print(f"{'judging':<18} {time.perf_counter() - started:6.2f} s, not part of the page")
        started = time.perf_counter()
        file = make_page(places)
        spent, cores = time.perf_counter() - started, len(os.sched_getaffinity(0))
        print(f"{'making the page':<18} {spent:6.2f} s, {cores} cores")
        good = [print_size(file), *in_browser(file)]
    sys.exit(0 if all(good) else 1)


def lay_inputs(data: Path, folder: Path) -> Places:
    """Write questions, predictions, verdicts, scores and histories as the pipeline does; return where."""
    databases = data / "spider" / "database"
    names = sorted(path.stem for path in (data / "reference" / "predictions").glob("*.sql"))
    cases = {name: read_cases(data, name) for name in names}
    rows = list(question_rows(data, cases[names[0]], databases))
    for name in ("predictions", "verdicts", "metrics", "loss"):
        (folder / name).mkdir()
    write_jsonl(folder / "test.jsonl", rows)
    shown = [{**row, "examples": [example(rows, at)]} for at, row in enumerate(rows)]
    write_jsonl(folder / "examples.jsonl", shown)
    files = {}
    for at, name in enumerate(islice(cycle(names), ARMS)):
        arm = f"{name}_{at}"
        write_arm(folder, arm, cases[name], databases)
        files[arm] = folder / ("examples.jsonl" if at in (1, 2) else "test.jsonl")
    places = {
        name: folder / name
        for name in ("predictions", "verdicts", "metrics", "loss", "validation", "throughput")
    }
    write_histories(places["loss"], list(files))
    return Places(folder / "test.jsonl", files, databases=databases, **places)


def question_rows(data: Path, cases: Sequence[Case], databases: Path) -> Iterator[dict[str, Any]]:
    """The rows of data/test/test.jsonl, with the schemas of the databases."""
    questions = read_json(data / "spider" / "dev_sql.json")
    schemas = {
        db_id: write_ddl(read_sqlite(database_path(databases, db_id))) for db_id in {c.db_id for c in cases}
    }
    for case, question in zip(cases, questions, strict=True):
        yield {
            "row": case.row,
            "db_id": case.db_id,
            "question": question["input"],
            "gold": case.gold,
            "ddl": schemas[case.db_id],
            "slice": "",
            "backend": "sqlite",
            "problems": [],
            "test_set": "spider_dev",
        }


def example(rows: Sequence[Mapping[str, Any]], at: int) -> dict[str, Any]:
    """An example to a question: another question of the set."""
    other = rows[(at * 7 + 100) % len(rows)]
    return {"question": other["question"], "ddl": other["ddl"], "sql": other["gold"], "score": (at % 50) / 50}


def write_arm(folder: Path, arm: str, cases: Sequence[Case], databases: Path) -> None:
    """Write predictions, verdicts and scores of an arm."""
    settings = JudgeSettings(metrics=list(SPIDER_METRICS))
    scores = ScoresBySet(["spider_dev"])
    write_jsonl(
        folder / "predictions" / f"{arm}.jsonl",
        ({"row": case.row, "sql": case.predicted, "raw": case.predicted} for case in cases),
    )
    verdicts = (scores.add("spider_dev", verdict) for verdict in judge(cases, databases, settings))
    write_jsonl(folder / "verdicts" / f"{arm}.jsonl", verdicts)
    write_json(folder / "metrics" / f"{arm}.json", scores.metrics(describe(settings)))


def write_histories(folder: Path, arms: Sequence[str]) -> None:
    """Write a falling loss of 300 points for each arm."""
    for at, arm in enumerate(arms):
        points = [f"{10 * step},{2 / step + at / 10:.6f}" for step in range(1, 301)]
        with replacing(folder / f"train_{arm}.csv") as file:
            file.write("\n".join(["step,loss", *points]) + "\n")


def make_page(places: Places) -> Path:
    """Write the page; the queries run again, as in the stage."""
    sets = read_sets(list(places.arms), places.metrics, places.verdicts)
    content = read_content(
        places,
        sets,
        list(places.arms),
        Prompt(schema_types=True),
        EvaluationSettings(),
        Provenance([], {}, ""),
    )
    file = places.questions.parent / "report.html"
    with replacing(file) as out:
        out.write(page(content))
    return file


def print_size(file: Path) -> bool:
    """Print the size of the page."""
    size = file.stat().st_size / 1e6
    return print_line("size", f"{size:6.2f} MB, limit {SIZE_MB}", size <= SIZE_MB)


def in_browser(file: Path) -> Iterator[bool]:
    """Open the page three times and print the slowest time; then time changes of filters in it."""
    with chromium() as browser, visiting(browser) as visit:
        slowest = max(seconds_to_open(visit.page, file) for _ in range(3))
        yield print_line("opening", f"{slowest:6.2f} s, limit {OPEN_S}", slowest <= OPEN_S)
        changes = [
            ("arm", ""),
            ("text", "singer"),
            ("text", "how many"),
            ("text", ""),
            ("right", "0"),
            ("wrong", "1"),
        ]
        for name, value in changes:
            spent = visit.page.evaluate(_TIMED, [name, value])
            label = f"filter {name} {value!r}"
            yield print_line(label, f"{spent:6.0f} ms, limit {FILTER_MS}", spent <= FILTER_MS)
        if visit.errors or visit.requests != [file.as_uri()] * 3:
            yield print_line("console, requests", f"{visit.errors} {visit.requests}", False)


def seconds_to_open(page: Page, file: Path) -> float:
    """From the address to the first rows of the list."""
    started = time.perf_counter()
    page.goto(file.as_uri())
    page.wait_for_selector("#list a")
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
