"""Small inputs of stage report, judged as the pipeline judges: for its tests and those of its page."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from text2sql.evaluation.judge import describe, judge
from text2sql.evaluation.scores_by_set import ScoresBySet
from text2sql.evaluation.settings import SPIDER_METRICS, EvaluationSettings, JudgeSettings
from text2sql.evaluation.verdicts import Case, without_gold
from text2sql.files import write_json, write_jsonl
from text2sql.report.html.inputs import Places, read_content
from text2sql.report.html.page import Provenance, page
from text2sql.report.scores import read_sets
from text2sql.schema.settings import Prompt

DDL = "CREATE TABLE item (id INTEGER, name TEXT, note TEXT, picture BLOB);"
SETTINGS = JudgeSettings(metrics=list(SPIDER_METRICS), keep_value=True, timeout_s=5.0)
ITEMS: list[tuple[object, ...]] = [
    (1, "tea", "<script>window.hacked = 1</script>", b"\x00\xff"),
    (2, "<img src=x onerror='window.hacked = 2'>", None, None),
    (3, "</script><script>window.hacked = 3</script>", "long " * 2000, b"\x01" * 4000),
    (4, "a&amp;b {{ 7 * 7 }}", "\u202etxet\u0007", None),
]
"""The rows of the only table: markup, scripts, NULL, blobs, long text."""


def question(row: int, text: str, gold: str, test_set: str = "own", **fields: Any) -> dict[str, Any]:
    """A row of data/test/test.jsonl on the only database."""
    found = {"row": row, "db_id": "shop", "question": text, "gold": gold, "ddl": DDL, "slice": ""}
    return {**found, "backend": "rules", "problems": [], "test_set": test_set, **fields}


def lay_inputs(
    root: Path,
    questions: Sequence[Mapping[str, Any]],
    answers: Mapping[str, Sequence[str]],
    examples: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
) -> Places:
    """Write what stage report reads; `answers` are the predictions of each arm in the order of the questions.

    `examples` are those of the arms that have some, one for each question.
    """
    databases = root / "data/raw/databases"
    _write_database(databases / "shop" / "shop.sqlite")
    write_jsonl(_made(root / "data/test/test.jsonl"), questions)
    files = {}
    for arm, sqls in answers.items():
        files[arm] = root / "data/test/test.jsonl"
        if examples and arm in examples:
            files[arm] = _made(root / f"data/examples/{arm}/test.jsonl")
            shown = zip(questions, examples[arm], strict=True)
            write_jsonl(files[arm], ({**row, "examples": [example]} for row, example in shown))
        write_answers(root, arm, questions, sqls)
    return Places(
        questions=root / "data/test/test.jsonl",
        arms=files,
        predictions=root / "data/predictions",
        verdicts=root / "data/verdicts",
        databases=databases,
        metrics=root / "metrics",
        loss=root / "metrics/loss",
        validation=root / "metrics/validation",
        throughput=root / "metrics/throughput",
    )


def write_answers(root: Path, arm: str, questions: Sequence[Mapping[str, Any]], sqls: Sequence[str]) -> None:
    """Write predictions, verdicts and scores of an arm."""
    pairs = list(zip(questions, sqls, strict=True))
    cases = [Case(q["row"], q["db_id"], q["gold"], sql, q["slice"]) for q, sql in pairs if q["gold"]]
    judged = {
        verdict.row: verdict for verdict in judge(cases, root / "data/raw/databases", SETTINGS, workers=1)
    }
    scores = ScoresBySet(q["test_set"] for q in questions)
    rows = [
        scores.add(q["test_set"], judged.get(q["row"], without_gold(q["row"], q["db_id"]))) for q in questions
    ]
    predicted = [{"row": q["row"], "sql": sql, "raw": f"{sql}\n" if sql else "I cannot."} for q, sql in pairs]
    write_jsonl(_made(root / f"data/predictions/{arm}.jsonl"), predicted)
    write_jsonl(_made(root / f"data/verdicts/{arm}.jsonl"), rows)
    write_json(_made(root / f"metrics/{arm}.json"), scores.metrics(describe(SETTINGS)))


def write_csv(path: Path, *lines: str) -> None:
    """Write a file of metrics/, such as a loss history."""
    _made(path).write_text("\n".join(lines) + "\n")


def make_page(places: Places, models: Sequence[str] = (), provenance: Provenance | None = None) -> str:
    """The HTML that stage report writes of these inputs."""
    sets = read_sets(list(places.arms), places.metrics, places.verdicts)
    limits = EvaluationSettings(**SETTINGS.model_dump(include=set(EvaluationSettings.model_fields)))
    found = provenance or Provenance([("Commit", "0123")], {"torch": "2.13.0"}, "profile: embedded\n")
    return page(read_content(places, sets, models, Prompt(schema_types=True), limits, found, workers=1))


def _write_database(path: Path) -> None:
    with sqlite3.connect(_made(path)) as connection:
        connection.execute(DDL)
        connection.executemany("INSERT INTO item VALUES (?, ?, ?, ?)", ITEMS)
    connection.close()


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
