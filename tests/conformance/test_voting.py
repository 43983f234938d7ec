"""The rules of a vote on Spider dev: the predictions of four arms of the reference vote on each question."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.voting import by_votes_alone
from text2sql.evaluation.settings import EvaluationSettings
from text2sql.inference.voting import Candidates, choose, compare

pytestmark = pytest.mark.slow

ARMS = ("baseline", "full", "lora32", "rag_embedding")  # ties go to the first of them
ROWS = 1034


def test_preferring_rows_chooses_right_queries_more_often_than_wrong_ones(real_data: Path) -> None:
    rows = json.loads((real_data / "spider/dev_sql.json").read_text(encoding="utf-8"))
    predicted = [(real_data / f"reference/predictions/{arm}.sql").read_text().split("\n") for arm in ARMS]
    verdicts = [json.loads((real_data / f"reference/verdicts/{arm}.json").read_text())["ex"] for arm in ARMS]
    questions = [
        Candidates(row["instruction"].split()[0], tuple(arm[n] for arm in predicted), (None,) * len(ARMS))
        for n, row in enumerate(rows)
    ]
    compared = compare(questions, real_data / "spider/database", EvaluationSettings())
    right = {"votes alone": 0, "rows preferred": 0}
    better = worse = 0
    for n, (question, results) in enumerate(zip(questions, compared, strict=True)):
        former = verdicts[question.queries.index(by_votes_alone(question, results))][n] == "1"
        now = verdicts[choose(question, results).chosen][n] == "1"
        right["votes alone"] += former
        right["rows preferred"] += now
        better, worse = better + (now and not former), worse + (former and not now)
    assert len(rows) == ROWS
    assert right == {"votes alone": 727, "rows preferred": 735}
    assert (better, worse) == (8, 0)
