"""text2sql.report.table: the page, and inputs that are refused."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from text2sql.errors import UserError
from text2sql.evaluation.scores import Scores
from text2sql.evaluation.verdicts import Verdict
from text2sql.report import sets, table
from text2sql.report.scores import ArmScores, read_sets

EVALUATOR = {"version": 1, "keep_distinct": False}


def write_arm(root: Path, arm: str, verdicts: str, **changes: Any) -> None:
    """Write the files of an arm; `verdicts` has a character per question: 1 right, 0 wrong, x gold fails."""
    ex: dict[str, bool | None] = {"1": True, "0": False, "x": None}
    rows = [
        {"row": row, "hardness": "easy", "ex": ex[mark], "error": "gold: syntax" if mark == "x" else None}
        for row, mark in enumerate(verdicts)
    ]
    judged = [row for row in rows if row["ex"] is not None]
    percent = round(100 * sum(bool(row["ex"]) for row in judged) / len(judged), 1) if judged else None
    metrics = {
        "ex": {"all": percent, "easy": percent, "medium": None, "hard": None, "extra": None},
        "n": {"all": len(judged), "easy": len(judged), "medium": 0, "hard": 0, "extra": 0},
        "ci95": {"all": {"low": 1.25, "high": 98.0}, "easy": {"low": 1.25, "high": 98.0}},
        "errors": {},
        "evaluator": EVALUATOR,
    } | changes
    (root / "verdicts").mkdir(exist_ok=True)
    (root / "metrics").mkdir(exist_ok=True)
    (root / "metrics" / f"{arm}.json").write_text(json.dumps(metrics))
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (root / "verdicts" / f"{arm}.jsonl").write_text(lines)


def read(root: Path, *arms: str) -> Sequence[ArmScores]:
    (only,) = read_sets(arms, root / "metrics", root / "verdicts")
    return only.arms


def test_arms_keep_the_order_they_are_given_in(tmp_path: Path) -> None:
    for arm in ("full", "baseline", "lora"):
        write_arm(tmp_path, arm, "10")
    page = table.page(read(tmp_path, "lora", "baseline", "full"))
    assert page.index("| lora |") < page.index("| baseline |") < page.index("| full |")


def test_a_row_shows_accuracy_interval_and_the_p_value_against_baseline(tmp_path: Path) -> None:
    write_arm(tmp_path, "baseline", "00000001")
    write_arm(tmp_path, "lora", "11111101")
    lines = table.page(read(tmp_path, "baseline", "lora")).splitlines()
    # six questions differ, all in favour of lora: p = 2 / 2**6
    lora = next(line for line in lines if line.startswith("| lora | 87.5 "))
    assert lora.startswith("| lora | 87.5 | – | – | – | 87.5 | 1.2 to 98.0 | +75.0 (")
    assert lora.endswith(") | 0.0312 |")
    assert "| baseline | 12.5 | – | – | – | 12.5 | 1.2 to 98.0 | – | – |" in lines


def test_the_difference_to_baseline_has_its_sign_and_its_interval(tmp_path: Path) -> None:
    write_arm(tmp_path, "lora", "0" * 50 + "1" * 50)
    write_arm(tmp_path, "baseline", "1" * 100)
    line = table.page(read(tmp_path, "lora", "baseline")).splitlines()[4]
    # binomial with 100 questions and half of them wrong: 50 points less, plus or minus 9.8
    assert re.search(r"\| -50\.0 \(-(59|60)\.0 to -(40|41)\.0\) \| < 0\.0001 \|$", line), line


def test_the_heading_gives_the_number_of_questions_of_each_level(tmp_path: Path) -> None:
    write_arm(tmp_path, "baseline", "101")
    assert "| easy (n=3) | medium (n=0) |" in table.page(read(tmp_path, "baseline"))


def test_each_pair_of_arms_has_a_p_value(tmp_path: Path) -> None:
    for arm, verdicts in {"baseline": "0000", "lora": "1100", "full": "1111"}.items():
        write_arm(tmp_path, arm, verdicts)
    page = table.page(read(tmp_path, "baseline", "lora", "full"))
    assert "| lora | 0.5000 |  |" in page
    assert "| full | 0.1250 | 0.5000 |" in page


def test_without_a_baseline_there_is_no_p_value_against_it(tmp_path: Path) -> None:
    write_arm(tmp_path, "lora", "11")
    page = table.page(read(tmp_path, "lora"))
    assert "| lora | 100.0 | – | – | – | 100.0 | 1.2 to 98.0 | – | – |" in page


def test_a_tiny_p_value_is_not_shown_as_zero(tmp_path: Path) -> None:
    write_arm(tmp_path, "baseline", "0" * 40)
    write_arm(tmp_path, "full", "1" * 40)
    assert "| < 0.0001 |" in table.page(read(tmp_path, "baseline", "full"))


def test_questions_whose_gold_fails_are_named_and_not_counted(tmp_path: Path) -> None:
    write_arm(tmp_path, "baseline", "1x01")
    page = table.page(read(tmp_path, "baseline"))
    assert "easy (n=3)" in page
    assert "because the gold SQL fails: test rows 1." in page


def test_questions_without_a_hardness_are_named_once(tmp_path: Path) -> None:
    write_arm(tmp_path, "baseline", "101")
    path = tmp_path / "verdicts" / "baseline.jsonl"
    path.write_text(path.read_text().replace('"row": 1, "hardness": "easy"', '"row": 1, "hardness": null'))
    page = table.page(read(tmp_path, "baseline"))
    assert page.count("Without a hardness class, so only in the column all: test rows 1.") == 1


def test_other_metrics_have_a_table_with_intervals(tmp_path: Path) -> None:
    write_arm(tmp_path, "baseline", "10")
    other = {"ex_plug": {"all": 60.0}, "ex_plug_ci95": {"all": {"low": 9.5, "high": 90.5}}}
    exact = {"em": {"all": 100.0}, "em_ci95": {"all": {"low": 20.7, "high": 100.0}}, "em_n": {"all": 1}}
    write_arm(tmp_path, "lora", "11", **other, **exact)
    page = table.page(read(tmp_path, "baseline", "lora"))
    assert "| arm | execution accuracy, gold's values plugged in | exact set match |" in page
    assert "| lora | 60.0 (9.5 to 90.5) | 100.0 (20.7 to 100.0, n=1) |" in page
    assert "| baseline | – | – |" in page


def test_without_other_metrics_the_page_has_no_such_table(tmp_path: Path) -> None:
    write_arm(tmp_path, "baseline", "10")
    assert "Other metrics" not in table.page(read(tmp_path, "baseline"))


def test_the_table_of_scores_can_be_read(tmp_path: Path) -> None:
    write_arm(tmp_path, "lora", "10")
    scores = Scores()
    for row, ex in enumerate([True, False]):
        spider: dict[str, Any] = {"ex_plug": True, "ts": False, "ts_plug": ex, "em": ex}
        scores.add(
            Verdict(
                row, "clinic", "", "easy", ex, **spider, bird_ex=ex, soft_f1=0.25, r_ves=1.25**0.5, strict=ex
            )
        )
    metrics = scores.table() | {"evaluator": EVALUATOR}
    (tmp_path / "metrics" / "lora.json").write_text(json.dumps(metrics))
    (lora,) = read(tmp_path, "lora")
    assert {name: share.percent for name, share in lora.others.items()} == {
        "ex_plug": 100.0,
        "ts": 0.0,
        "ts_plug": 50.0,
        "em": 50.0,
        "bird_ex": 50.0,
        "soft_f1": 25.0,
        "r_ves": 111.8,
        "strict": 50.0,
    }
    page = table.page([lora])
    assert "| lora | 100.0 (34.2 to 100.0) |" in page
    head, _, line = page.splitlines()[2:5]
    columns = dict(zip(head.split(" | "), line.split(" | "), strict=True))
    assert (columns["all (n=2)"], columns["all, test suites"]) == ("50.0", "0.0")


def test_slices_have_a_table(tmp_path: Path) -> None:
    write_arm(tmp_path, "baseline", "10", slices={"seen": 80.0, "unseen": 0.0})
    page = table.page(read(tmp_path, "baseline"))
    assert "| arm | seen | unseen |" in page
    assert "| baseline | 80.0 | 0.0 |" in page


def test_the_summary_maps_each_arm_to_its_accuracy(tmp_path: Path) -> None:
    write_arm(tmp_path, "baseline", "10")
    write_arm(tmp_path, "lora", "11")
    assert table.summary(read(tmp_path, "baseline", "lora")) == {"baseline": 50.0, "lora": 100.0}


def test_pairs_have_difference_interval_and_p_of_each_two_arms(tmp_path: Path) -> None:
    for arm, verdicts in {"lora": "1100", "full": "1111", "baseline": "0000"}.items():
        write_arm(tmp_path, arm, verdicts)
    pairs = table.pairs(read(tmp_path, "lora", "full", "baseline"))
    expected = [("lora", "baseline", 50.0), ("full", "baseline", 100.0), ("full", "lora", 50.0)]
    assert [(pair.a, pair.b, pair.difference) for pair in pairs] == expected
    assert pairs[1].ci95 == {"low": 100.0, "high": 100.0}
    assert [pair.mcnemar_p for pair in pairs] == [0.5, 0.125, 0.5]


def test_with_one_arm_there_are_no_pairs(tmp_path: Path) -> None:
    write_arm(tmp_path, "baseline", "10")
    scores = read(tmp_path, "baseline")
    assert table.pairs(scores) == []
    assert "each pair of arms" not in table.page(scores)


def test_a_difference_that_rounds_to_zero_has_no_minus_sign(tmp_path: Path) -> None:
    write_arm(tmp_path, "baseline", "1" * 2500)
    write_arm(tmp_path, "lora", "1" * 2499 + "0")
    (pair,) = table.pairs(read(tmp_path, "baseline", "lora"))
    assert str(pair.difference) == "0.0"


def test_the_plot_file_leaves_out_levels_without_questions(tmp_path: Path) -> None:
    write_arm(tmp_path, "baseline", "10")
    scored = read_sets(["baseline"], tmp_path / "metrics", tmp_path / "verdicts")
    sets.write_accuracy_by_hardness(tmp_path / "plot.csv", scored)
    expected = "arm,hardness,ex,bar\nbaseline,easy,50.0,baseline: easy\nbaseline,all,50.0,baseline: all\n"
    assert (tmp_path / "plot.csv").read_text() == expected


@pytest.mark.parametrize("folder, suffix", [("metrics", "json"), ("verdicts", "jsonl")])
def test_a_missing_file_is_named_with_the_command_that_creates_it(
    tmp_path: Path, folder: str, suffix: str
) -> None:
    write_arm(tmp_path, "lora", "10")
    (tmp_path / folder / f"lora.{suffix}").unlink()
    with pytest.raises(UserError, match=rf"lora\.{suffix}: no such file; `dvc repro evaluate@lora`"):
        read(tmp_path, "lora")


def test_a_field_missing_in_the_scores_is_named_with_the_command(tmp_path: Path) -> None:
    write_arm(tmp_path, "lora", "10")
    (tmp_path / "metrics" / "lora.json").write_text('{"ex": {}}')
    with pytest.raises(UserError, match=r"lora\.json.*'n'; `dvc repro evaluate@lora`"):
        read(tmp_path, "lora")


def test_a_number_of_verdicts_other_than_in_the_scores_is_an_error(tmp_path: Path) -> None:
    write_arm(tmp_path, "lora", "10", n={"all": 3})
    with pytest.raises(UserError, match=r"2 verdicts, but .* counts 3"):
        read(tmp_path, "lora")


def test_a_metric_without_interval_is_named_with_the_command(tmp_path: Path) -> None:
    write_arm(tmp_path, "lora", "10", em={"all": 50.0})
    with pytest.raises(UserError, match=r"lora\.json.*'em_ci95'; `dvc repro evaluate@lora`"):
        read(tmp_path, "lora")


@pytest.mark.parametrize("field", ["row", "ex", "hardness"])
def test_a_field_missing_in_a_verdict_is_named_with_the_command(tmp_path: Path, field: str) -> None:
    write_arm(tmp_path, "lora", "10")
    path = tmp_path / "verdicts" / "lora.jsonl"
    path.write_text(path.read_text().replace(f'"{field}"', '"other"'))
    with pytest.raises(UserError, match=rf"lora\.jsonl.*'{field}'; `dvc repro evaluate@lora`"):
        read(tmp_path, "lora")


def test_an_arm_without_judged_questions_is_an_error(tmp_path: Path) -> None:
    write_arm(tmp_path, "lora", "xx")
    with pytest.raises(UserError, match=r"lora\.jsonl: no question was judged; fix .* evaluate@lora"):
        read(tmp_path, "lora")


def test_arms_judged_on_different_questions_are_not_compared(tmp_path: Path) -> None:
    write_arm(tmp_path, "baseline", "10x")
    write_arm(tmp_path, "lora", "1x1")
    with pytest.raises(
        UserError, match=r"lora\.jsonl: the verdicts are for other .*row 1; 2 rows in all.*evaluate@lora"
    ):
        read(tmp_path, "baseline", "lora")


def test_arms_judged_by_different_evaluators_are_not_compared(tmp_path: Path) -> None:
    write_arm(tmp_path, "baseline", "10")
    write_arm(tmp_path, "lora", "11", evaluator={"version": 2})
    with pytest.raises(UserError, match=r"lora\.json: not judged by the same evaluator as baseline"):
        read(tmp_path, "baseline", "lora")


def test_only_trained_arms_have_a_loss(tmp_path: Path) -> None:
    (tmp_path / "train_lora.csv").write_text("step,loss,learning_rate\n5,2.5,0.1\n10,0.25,0.0\n")
    losses = table.read_losses(["baseline", "lora"], tmp_path)
    assert losses == [table.LossHistory("lora", steps=10, first=2.5, last=0.25)]


@pytest.mark.parametrize("text", ["step,loss\n", "step,loss\n5,\n", "step\n5\n", "step,loss\nx,1.0\n"])
def test_a_loss_history_without_numbers_is_named_with_the_command(tmp_path: Path, text: str) -> None:
    (tmp_path / "train_lora.csv").write_text(text)
    with pytest.raises(UserError, match=r"train_lora\.csv.*dvc repro --force --single-item train_lora"):
        table.read_losses(["lora"], tmp_path)


def test_the_score_without_doubtful_gold_is_in_a_sentence(tmp_path: Path) -> None:
    second = {"ex": {"all": 66.7}, "n": {"all": 3}, "rows": {"empty": 1}}
    write_arm(tmp_path, "baseline", "1101", without_doubtful=second)
    write_arm(tmp_path, "lora", "1111", without_doubtful=second | {"ex": {"all": 100.0}})
    note = (
        "Without the 1 questions with doubtful gold (docs/doubtful-gold.md), n=3: baseline 66.7, lora 100.0."
    )
    assert note in table.page(read(tmp_path, "baseline", "lora"))


def test_without_doubtful_gold_nothing_is_said_of_it(tmp_path: Path) -> None:
    write_arm(tmp_path, "baseline", "1101", without_doubtful={"rows": {}})
    assert "doubtful" not in table.page(read(tmp_path, "baseline"))
