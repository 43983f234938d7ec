"""text2sql.report.sets: the page and the files of several test sets, and inputs that are refused."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from text2sql.errors import UserError
from text2sql.evaluation.scores_by_set import ScoresBySet
from text2sql.evaluation.verdicts import Verdict, without_gold
from text2sql.files import read_json, write_json, write_jsonl
from text2sql.report import sets, table
from text2sql.report.scores import ScoredSet, read_sets
from text2sql.report.table import LossHistory

EVALUATOR = {"version": "9", "keep_distinct": False}
WIDE_EVALUATOR = {"version": "2.0", "sqlite": "3.40.1", "timeout_s": 10.0, "max_rows": 100000} | {
    name: True for name in ("plug_values", "keep_distinct", "keep_value")
}
ARMS = ("baseline", "rag_embedding", "rag_rerank", "lora32", "lora128", "full", "lora")


def verdict(row: int, mark: str, hardness: Any = "easy", slice: str = "") -> Verdict:
    """1 right, 0 wrong, x gold fails, - no gold."""
    if mark == "-":
        return without_gold(row, "db", slice)
    if mark == "x":
        return Verdict(row, "db", slice, None, error="gold: syntax", message="near")
    return Verdict(row, "db", slice, hardness, mark == "1", ex_plug=True)


def write_verdicts(
    root: Path, arm: str, by_set: dict[str, list[Verdict]], evaluator: dict[str, Any] | None = None
) -> None:
    scores = ScoresBySet(by_set)
    rows = [scores.add(name, each) for name, verdicts in by_set.items() for each in verdicts]
    write_jsonl(root / "verdicts" / f"{arm}.jsonl", rows)
    write_json(root / "metrics" / f"{arm}.json", scores.metrics(evaluator or EVALUATOR))


def write_marks(root: Path, arm: str, **marks: str) -> None:
    """Verdicts by test set, a character for each; rows are numbered over all sets."""
    by_set: dict[str, list[Verdict]] = {}
    row = 0
    for name, text in marks.items():
        by_set[name] = [verdict(row + at, mark) for at, mark in enumerate(text)]
        row += len(text)
    write_verdicts(root, arm, by_set)


def read(root: Path, *arms: str) -> list[ScoredSet]:
    return read_sets(arms, root / "metrics", root / "verdicts")


def page(root: Path, *arms: str, losses: Sequence[LossHistory] = ()) -> str:
    return sets.page(read(root, *arms), losses)


def section(text: str, name: str) -> str:
    """The part of a page under the heading of a set."""
    return text.split(f"\n## {name}\n", 1)[1].split("\n## ", 1)[0]


def squeezed(text: str) -> list[str]:
    """The lines of a page without the blanks that pad cells."""
    return [re.sub(r" +", " ", line) for line in text.splitlines()]


def test_every_set_has_its_accuracy_in_the_overview_and_a_section_in_the_order_of_the_file(
    tmp_path: Path,
) -> None:
    write_marks(tmp_path, "baseline", spider="1000", geo="10")
    write_marks(tmp_path, "lora", spider="1110", geo="11")
    text = page(tmp_path, "baseline", "lora")
    assert squeezed(text)[2:6] == [
        "| test set | questions | baseline | lora |",
        "| -------- | --------: | -------: | ----: |",
        "| spider | 4 | 25.0 | 75.0 |",
        "| geo | 2 | 50.0 | 100.0 |",
    ]
    assert text.index("\n## spider\n") < text.index("\n## geo\n")


def test_a_section_has_the_accuracy_by_hardness_with_interval_difference_and_p(tmp_path: Path) -> None:
    write_marks(tmp_path, "baseline", spider="11", geo="00000001")
    write_marks(tmp_path, "lora", spider="11", geo="11111101")
    lines = squeezed(section(page(tmp_path, "baseline", "lora"), "geo"))
    head = "| arm | easy | medium | hard | extra | all | 95 % interval | difference to baseline | p |"
    assert head in lines
    assert "| (questions) | 8 | 0 | 0 | 0 | 8 | | | |" in lines
    lora = next(line for line in lines if line.startswith("| lora | 87.5 "))
    # six questions differ, all in favour of lora: p = 2 / 2**6
    assert lora.startswith("| lora | 87.5 | – | – | – | 87.5 | 52.9 to 97.8 | +75.0 (")
    assert lora.endswith(") | 0.0312 |")


def test_pairs_are_those_of_the_set(tmp_path: Path) -> None:
    write_marks(tmp_path, "baseline", spider="0000", geo="11")
    write_marks(tmp_path, "lora", spider="1100", geo="11")
    found = sets.pairs(read(tmp_path, "baseline", "lora"))
    assert [next(iter(pair)) for pair in found] == ["test_set", "test_set"]
    assert [(pair["test_set"], pair["a"], pair["difference"]) for pair in found] == [
        ("spider", "lora", 50.0),
        ("geo", "lora", 0.0),
    ]
    text = page(tmp_path, "baseline", "lora")
    assert "| lora | 0.5000 |" in squeezed(section(text, "spider"))
    assert "| lora | 1.0000 |" in squeezed(section(text, "geo"))


def test_the_summary_has_the_accuracy_by_arm_and_set(tmp_path: Path) -> None:
    write_marks(tmp_path, "baseline", spider="1000", geo="10", own="--")
    write_marks(tmp_path, "lora", spider="1110", geo="11", own="--")
    assert sets.summary(read(tmp_path, "baseline", "lora")) == {
        "baseline": {"spider": 25.0, "geo": 50.0, "own": None},
        "lora": {"spider": 75.0, "geo": 100.0, "own": None},
    }


def test_the_plot_file_names_the_set_in_a_column_and_in_the_bar(tmp_path: Path) -> None:
    write_marks(tmp_path, "baseline", spider="10", geo="11", own="-")
    sets.write_accuracy_by_hardness(tmp_path / "plot.csv", read(tmp_path, "baseline"))
    assert (tmp_path / "plot.csv").read_text().splitlines() == [
        "test_set,arm,hardness,ex,bar",
        'spider,baseline,easy,50.0,"spider, baseline: easy"',
        'spider,baseline,all,50.0,"spider, baseline: all"',
        'geo,baseline,easy,100.0,"geo, baseline: easy"',
        'geo,baseline,all,100.0,"geo, baseline: all"',
    ]


def test_a_set_without_hardness_has_a_table_by_slice(tmp_path: Path) -> None:
    names = ["simple", "moderate", "simple"]
    bird = [verdict(row, "101"[row], None, name) for row, name in enumerate(names)]
    write_verdicts(tmp_path, "baseline", {"bird": bird, "geo": [verdict(3, "1")]})
    text = section(page(tmp_path, "baseline"), "bird")
    lines = squeezed(text)
    assert any(line.startswith("| arm | moderate | simple | all |") for line in lines)
    assert any(line.startswith("| (questions) | 1 | 2 | 3 |") for line in lines)
    assert any(line.startswith("| baseline | 0.0 | 100.0 | 66.7 |") for line in lines)
    assert "No gold query can be parsed by Spider's rules" in text
    assert "by slice" not in text


def test_slices_beside_a_hardness_have_a_table_of_their_own(tmp_path: Path) -> None:
    bird = [verdict(row, "10"[row % 2], "easy", f"part{row % 2}") for row in range(4)]
    write_verdicts(tmp_path, "baseline", {"bird": bird, "geo": [verdict(4, "1")]})
    text = page(tmp_path, "baseline")
    lines = squeezed(section(text, "bird"))
    assert "### Accuracy by slice of the test set" in lines
    assert "| part0 | 2 | 100.0 |" in lines and "| part1 | 2 | 0.0 |" in lines
    assert "slice" not in section(text, "geo")


def test_many_slices_without_hardness_are_rows_and_not_columns(tmp_path: Path) -> None:
    bird = [verdict(row, "1", None, f"a long name {row:02}") for row in range(20)]
    write_verdicts(tmp_path, "baseline", {"bird": bird, "geo": [verdict(20, "1")]})
    text = section(page(tmp_path, "baseline"), "bird")
    assert any(line.startswith("| arm | all |") for line in squeezed(text))
    assert text.count("| a long name") == 20


def test_a_set_without_gold_has_a_sentence_and_no_table(tmp_path: Path) -> None:
    write_marks(tmp_path, "baseline", spider="10", own="---")
    write_marks(tmp_path, "lora", spider="11", own="---")
    text = page(tmp_path, "baseline", "lora")
    sentence = "No question has gold SQL: 3 questions are predicted, and nothing is scored."
    assert section(text, "own").strip() == sentence
    assert "| own | 0 | – | – |" in squeezed(text)
    assert [pair["test_set"] for pair in sets.pairs(read(tmp_path, "baseline", "lora"))] == ["spider"]


def test_questions_without_gold_and_with_failing_gold_are_counted_in_the_section(tmp_path: Path) -> None:
    write_marks(tmp_path, "baseline", spider="1", geo="1-x-0")
    text = page(tmp_path, "baseline")
    assert "Not scored, because the gold SQL fails: 1 questions, test rows 3." in section(text, "geo")
    assert "Not scored, because they have no gold SQL: 2 questions." in section(text, "geo")
    assert "Not scored" not in section(text, "spider")


def test_a_set_whose_golds_all_fail_has_a_sentence_and_the_others_are_reported(tmp_path: Path) -> None:
    write_marks(tmp_path, "baseline", spider="10", geo="xx-")
    text = page(tmp_path, "baseline")
    sentence = "Nothing is scored, because the gold SQL of all 2 questions fails; 1 more have none."
    assert section(text, "geo").strip() == sentence
    assert "| spider | 2 | 50.0 |" in squeezed(text)


@pytest.mark.parametrize("names", [["own"], ["own", "mine"]])
def test_without_any_gold_there_is_a_sentence_and_no_table(tmp_path: Path, names: list[str]) -> None:
    for arm in ("baseline", "lora"):
        write_marks(tmp_path, arm, **dict.fromkeys(names, "--"))
    scored = read(tmp_path, "baseline", "lora")
    text = sets.page(scored)
    assert text.count("No question has gold SQL: 2 questions are predicted") == len(names)
    assert "|" not in text and "\n\n\n" not in text
    assert sets.pairs(scored) == []


def test_one_set_has_the_page_and_the_files_of_a_table_without_its_name(tmp_path: Path) -> None:
    for arm, marks in {"baseline": "10x", "lora": "11x"}.items():
        write_marks(tmp_path, arm, spider=marks)
    scored = read(tmp_path, "baseline", "lora")
    losses = [LossHistory("lora", 10, 6.5, 0.25)]
    assert sets.page(scored, losses) == table.page(scored[0].arms, losses)
    assert sets.summary(scored) == {"baseline": 50.0, "lora": 100.0}
    assert [list(pair) for pair in sets.pairs(scored)] == [["a", "b", "difference", "ci95", "mcnemar_p"]]
    assert "spider" not in sets.page(scored)


def test_one_set_with_some_questions_without_gold_says_how_many(tmp_path: Path) -> None:
    write_marks(tmp_path, "baseline", own="1-0")
    assert "Not scored, because they have no gold SQL: 1 questions." in page(tmp_path, "baseline")


def test_long_lists_of_rows_are_cut_short(tmp_path: Path) -> None:
    write_marks(tmp_path, "baseline", spider="1", geo="1" + "x" * 30)
    text = section(page(tmp_path, "baseline"), "geo").replace("\n", " ")
    assert "fails: 30 questions, test rows 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 20 others." in text


def test_the_page_of_all_arms_fits_into_120_columns(tmp_path: Path) -> None:
    by_set = {
        "spider_realistic": [verdict(row, "10"[row % 2], "extra", "seen" * (row % 3)) for row in range(1034)],
        "bird": [verdict(row, "1", None, ("simple", "challenging")[row % 2]) for row in range(1034, 1500)],
        "geo": [verdict(row, "1x"[row % 2]) for row in range(1500, 2000)],
    }
    for arm in ARMS:
        write_verdicts(tmp_path, arm, by_set, WIDE_EVALUATOR)
    text = page(tmp_path, *ARMS, losses=[LossHistory("rag_embedding", 10, 6.5, 0.25)])
    assert max(map(len, text.splitlines())) <= 120
    assert "\n\n\n" not in text


def test_the_columns_of_a_table_are_aligned(tmp_path: Path) -> None:
    write_marks(tmp_path, "baseline", spider="10", a_longer_name="1")
    lines = [line for line in page(tmp_path, "baseline").splitlines() if line.startswith("|")][:4]
    assert len({len(line) for line in lines}) == 1


def edit(path: Path, before: str, after: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf-8")


def test_arms_judged_on_different_sets_are_not_compared(tmp_path: Path) -> None:
    write_marks(tmp_path, "baseline", spider="10", geo="1")
    write_marks(tmp_path, "lora", spider="10")
    message = (
        r"lora\.json: judged on one test set, but baseline on the test sets spider, geo; .*evaluate@lora"
    )
    with pytest.raises(UserError, match=message):
        read(tmp_path, "baseline", "lora")


def test_arms_judged_on_different_questions_of_a_set_are_not_compared(tmp_path: Path) -> None:
    write_marks(tmp_path, "baseline", spider="1", geo="1x")
    write_marks(tmp_path, "lora", spider="1", geo="x1")
    with pytest.raises(UserError, match=r"lora\.jsonl: the verdicts are for other .*row 1; 2 rows in all"):
        read(tmp_path, "baseline", "lora")


def test_verdicts_of_another_set_than_the_scores_are_refused(tmp_path: Path) -> None:
    write_marks(tmp_path, "lora", spider="1", geo="1")
    edit(tmp_path / "verdicts/lora.jsonl", '"geo"', '"bird"')
    with pytest.raises(UserError, match=r"lora\.jsonl: the test sets spider, bird, but .*lora\.json has the"):
        read(tmp_path, "lora")


def test_verdicts_of_several_sets_for_the_scores_of_one_are_refused(tmp_path: Path) -> None:
    write_marks(tmp_path, "lora", spider="1", geo="1")
    write_json(tmp_path / "metrics/lora.json", ScoresBySet(["spider"]).metrics(EVALUATOR))
    with pytest.raises(
        UserError, match=r"the test sets spider, geo, but .*lora\.json has one test set; `dvc"
    ):
        read(tmp_path, "lora")


def test_another_number_of_verdicts_than_scores_in_one_set_is_refused(tmp_path: Path) -> None:
    write_marks(tmp_path, "lora", spider="11", geo="1")
    lines = (tmp_path / "verdicts/lora.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "verdicts/lora.jsonl").write_text("".join(lines[:2]))
    with pytest.raises(
        UserError, match=r"lora\.jsonl: 0 verdicts, but .* counts 1; `dvc repro evaluate@lora`"
    ):
        read(tmp_path, "lora")


def test_another_number_of_questions_without_gold_is_refused(tmp_path: Path) -> None:
    write_marks(tmp_path, "lora", spider="11", geo="-")
    edit(tmp_path / "metrics/lora.json", '"without_gold": 1', '"without_gold": 2')
    with pytest.raises(UserError, match=r"1 questions without gold SQL, but .* counts 2; `dvc repro"):
        read(tmp_path, "lora")


@pytest.mark.parametrize(
    ("before", "after"),
    [('"test_set"', '"other"'), ('"other_sets": {', '"other_sets": null, "x": {'), ('"ex": {', '"x": {')],
)
def test_a_missing_or_malformed_field_is_named_with_the_command(
    tmp_path: Path, before: str, after: str
) -> None:
    write_marks(tmp_path, "lora", spider="1", geo="1")
    edit(tmp_path / "metrics/lora.json", before, after)
    with pytest.raises(UserError, match=r"lora\.json or .*malformed field .*; `dvc repro evaluate@lora`"):
        read(tmp_path, "lora")


def test_if_the_golds_of_all_sets_fail_it_is_an_error(tmp_path: Path) -> None:
    write_marks(tmp_path, "lora", spider="x", geo="-")
    with pytest.raises(UserError, match=r"no question was judged; fix the gold SQL or the databases"):
        read(tmp_path, "lora")


def test_the_score_without_doubtful_gold_is_in_the_section_of_its_set(tmp_path: Path) -> None:
    write_marks(tmp_path, "baseline", spider="10", geo="10")
    path = tmp_path / "metrics" / "baseline.json"
    metrics = read_json(path)
    metrics["other_sets"]["geo"]["without_doubtful"] = {"ex": {"all": 100.0}, "n": {"all": 1}, "rows": {}}
    write_json(path, metrics)
    text = page(tmp_path, "baseline")
    assert "n=1: baseline 100.0." in section(text, "geo")
    assert "doubtful" not in section(text, "spider")
