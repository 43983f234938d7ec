"""The evaluation against what the official evaluator says of Spider dev, row by row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from text2sql.evaluation.hardness import hardness
from text2sql.evaluation.judge import judge
from text2sql.records import ConvertedQuestion

ARMS = ("baseline", "full", "lora32", "rag_embedding")
LETTERS = {"easy": "E", "medium": "M", "hard": "H", "extra": "X"}
ROWS = 1034


@pytest.fixture(scope="module")
def dev(real_data: Path) -> list[ConvertedQuestion]:
    rows = json.loads((real_data / "spider/dev_sql.json").read_text(encoding="utf-8"))
    assert len(rows) == ROWS
    return [
        ConvertedQuestion(number, row["instruction"].split()[0], row["input"], row["output"], "", "", "", ())
        for number, row in enumerate(rows)
    ]


def test_hardness_equals_the_official_one(real_data: Path, dev: list[ConvertedQuestion]) -> None:
    official = (real_data / "reference/hardness.txt").read_text().strip()
    assert "".join(LETTERS[hardness(question.gold)] for question in dev) == official


def test_every_gold_query_has_its_own_result(real_data: Path, dev: list[ConvertedQuestion]) -> None:
    golds = {question.row: question.gold for question in dev}
    verdicts = judge(dev, golds, real_data / "spider/database", 60.0, 100_000)
    assert [verdict.row for verdict in verdicts if not verdict.ex] == []


@pytest.mark.parametrize(("key", "keep_distinct"), [("ex", False), ("ex_distinct", True)])
@pytest.mark.parametrize("arm", ARMS)
def test_verdicts_equal_the_official_ones(
    real_data: Path, dev: list[ConvertedQuestion], arm: str, key: str, keep_distinct: bool
) -> None:
    text = (real_data / f"reference/predictions/{arm}.sql").read_text(encoding="utf-8")
    predictions = dict(enumerate(text.removesuffix("\n").split("\n")))
    official = json.loads((real_data / f"reference/verdicts/{arm}.json").read_text())[key]
    assert len(predictions) == len(official) == ROWS
    verdicts = judge(dev, predictions, real_data / "spider/database", 60.0, 100_000, keep_distinct)
    ours = "".join("1" if verdict.ex else "0" for verdict in verdicts)
    assert [row for row in range(ROWS) if ours[row] != official[row]] == []
