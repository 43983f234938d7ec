"""The evaluation against what the official evaluator says of Spider dev, row by row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from text2sql.cli import main
from text2sql.evaluation.judge import judge
from text2sql.evaluation.scores import Scores
from text2sql.evaluation.settings import SPIDER_METRICS, JudgeSettings
from text2sql.evaluation.spider.hardness import hardness
from text2sql.evaluation.verdicts import Case, Verdict

pytestmark = pytest.mark.slow

ARMS = ("baseline", "full", "lora32", "rag_embedding")
LETTERS = {"easy": "E", "medium": "M", "hard": "H", "extra": "X"}
FLAGS = {"ex": [], "ex_plug": ["--plug_value"], "ex_distinct": ["--keep_distinct"]}
ROWS = 1034


@pytest.fixture(scope="module")
def golds(real_data: Path) -> list[tuple[str, str]]:
    """Gold SQL and db_id of every row."""
    rows = json.loads((real_data / "spider/dev_sql.json").read_text(encoding="utf-8"))
    assert len(rows) == ROWS
    return [(row["output"], row["instruction"].split()[0]) for row in rows]


def predictions(real_data: Path, arm: str) -> list[str]:
    lines = (real_data / f"reference/predictions/{arm}.sql").read_text(encoding="utf-8").split("\n")
    assert len(lines) == ROWS + 1 and lines.pop() == ""
    return lines


def official(real_data: Path, arm: str, key: str) -> str:
    verdicts = json.loads((real_data / f"reference/verdicts/{arm}.json").read_text())[key]
    assert len(verdicts) == ROWS
    return verdicts


def judged(
    real_data: Path, golds: list[tuple[str, str]], predicted: list[str], settings: JudgeSettings
) -> list[Verdict]:
    pairs = zip(golds, predicted, strict=True)
    cases = [Case(row, db_id, gold, sql) for row, ((gold, db_id), sql) in enumerate(pairs)]
    return list(
        judge(cases, real_data / "spider/database", settings, tables=real_data / "spider/tables.json")
    )


def differing(ours: list[bool | None], theirs: str) -> list[int]:
    """Rows on which the verdicts differ."""
    return [row for row in range(ROWS) if ours[row] is not (theirs[row] == "1")]


def test_hardness_equals_the_official_one(real_data: Path, golds: list[tuple[str, str]]) -> None:
    expected = (real_data / "reference/hardness.txt").read_text().strip()
    assert "".join(LETTERS[hardness(gold)] for gold, _ in golds) == expected


def test_every_gold_query_has_its_own_result(real_data: Path, golds: list[tuple[str, str]]) -> None:
    verdicts = judged(real_data, golds, [gold for gold, _ in golds], JudgeSettings(metrics=["ex", "em"]))
    assert [verdict.row for verdict in verdicts if not (verdict.ex and verdict.em)] == []


@pytest.mark.parametrize("arm", ARMS)
def test_verdicts_equal_the_official_ones(real_data: Path, golds: list[tuple[str, str]], arm: str) -> None:
    verdicts = judged(
        real_data, golds, predictions(real_data, arm), JudgeSettings(metrics=list(SPIDER_METRICS))
    )
    assert differing([verdict.ex for verdict in verdicts], official(real_data, arm, "ex")) == []
    assert differing([verdict.ex_plug for verdict in verdicts], official(real_data, arm, "ex_plug")) == []
    assert differing([verdict.em for verdict in verdicts], official(real_data, arm, "em")) == []


@pytest.mark.parametrize(
    ("arm", "empty", "unreadable", "right"),
    [
        ("baseline", 43, 460, 201),
        ("full", 46, 549, 247),
        ("lora32", 43, 645, 257),
        ("rag_embedding", 44, 412, 135),
    ],
)
def test_the_notes_on_the_predictions_are_counted(
    real_data: Path, golds: list[tuple[str, str]], arm: str, empty: int, unreadable: int, right: int
) -> None:
    scores = Scores()
    for verdict in judged(
        real_data, golds, predictions(real_data, arm), JudgeSettings(metrics=["ex", "ts", "em"])
    ):
        scores.add(verdict)
    notes = scores.table()["notes"]
    assert notes["empty_equal"] == {"n": empty, "right": empty}
    assert notes["unreadable_em"] == {"n": unreadable, "right": right}
    assert notes["gold_cuts_ties"]["n"] == 44


@pytest.mark.parametrize("arm", ARMS)
def test_verdicts_with_distinct_kept_equal_the_official_ones(
    real_data: Path, golds: list[tuple[str, str]], arm: str
) -> None:
    verdicts = judged(real_data, golds, predictions(real_data, arm), JudgeSettings(keep_distinct=True))
    assert differing([verdict.ex for verdict in verdicts], official(real_data, arm, "ex_distinct")) == []


@pytest.mark.parametrize("key", FLAGS)
def test_the_command_says_what_the_official_one_says_under_the_same_flags(
    real_data: Path, golds: list[tuple[str, str]], tmp_path: Path, key: str
) -> None:
    gold, out = tmp_path / "gold.txt", tmp_path / "verdicts.jsonl"
    gold.write_text("".join(f"{sql}\t{db_id}\n" for sql, db_id in golds), encoding="utf-8")
    files = ["--gold", gold, "--pred", real_data / "reference/predictions/full.sql", "--out", out]
    options = [*files, "--db", real_data / "spider/database", "--etype", "all", *FLAGS[key]]
    result = CliRunner().invoke(main, ["evaluate", *map(str, options)])
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert differing([row["ex"] for row in rows], official(real_data, "full", key)) == []
    assert differing([row["em"] for row in rows], official(real_data, "full", "em")) == []
