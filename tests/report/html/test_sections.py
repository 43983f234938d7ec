"""The page from unusual inputs: one arm, nothing scored, no training, missing files."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.report_inputs import lay_inputs, make_page, question, write_csv
from text2sql.errors import UserError
from text2sql.files import read_json, write_json
from text2sql.report.html import charts
from text2sql.report.html.questions import packed

ONE = [question(0, "How many items are there?", "SELECT count(*) FROM item")]
WITHOUT_GOLD = [question(0, "How many items are there?", "")]
RIGHT = "SELECT count(*) FROM item"


def data(page: str) -> Any:
    """The data of the questions in a page."""
    found = re.search(r'id="packed">([A-Za-z0-9+/=]*)<', page)
    assert found
    return json.loads(gzip.decompress(base64.b64decode(found[1])))


def test_one_arm_has_no_comparison_with_others(tmp_path: Path) -> None:
    page = make_page(lay_inputs(tmp_path, ONE, {"only": [RIGHT]}))
    assert "One arm, only: 100.0 %" in page
    assert "Who beats whom" not in page and "difference to" not in page
    assert "No answer is wrong." in page


def test_without_gold_nothing_is_scored_and_the_questions_are_there(tmp_path: Path) -> None:
    page = make_page(lay_inputs(tmp_path, WITHOUT_GOLD, {"only": [RIGHT], "other": ["SELECT 1"]}))
    assert "No question is scored: 1 questions have no gold SQL." in page
    assert len(data(page)["questions"]) == 1


def test_a_test_set_whose_gold_fails_says_so(tmp_path: Path) -> None:
    failing = question(1, "Again?", "SELECT title FROM item", test_set="second")
    page = make_page(lay_inputs(tmp_path, [*ONE, failing], {"only": [RIGHT, "SELECT 1"]}))
    assert "No question is scored: the gold SQL of 1 questions fails." in page


def test_several_test_sets_have_a_part_each(tmp_path: Path) -> None:
    questions = [*ONE, question(1, "Again?", RIGHT, test_set="second")]
    page = make_page(lay_inputs(tmp_path, questions, {"only": [RIGHT, "SELECT 1"]}))
    assert "<h3>own</h3>" in page and "<h3>second</h3>" in page
    assert [each[1] for each in data(page)["questions"]] == ["own", "second"]


def test_arms_without_training_are_called_that(tmp_path: Path) -> None:
    page = make_page(lay_inputs(tmp_path, ONE, {"only": [RIGHT]}))
    assert "No arm of this comparison was trained here." in page
    assert "Training rows that leak" not in page and 'href="#data"' not in page


def test_gold_that_fails_is_counted(tmp_path: Path) -> None:
    questions = [*ONE, question(1, "Again?", "SELECT title FROM item")]
    page = make_page(lay_inputs(tmp_path, questions, {"only": [RIGHT, "SELECT 1"]}))
    assert "1 questions are not scored, because their gold SQL fails." in page
    assert "Not scored: the gold SQL fails (no such column: title)." in data(page)["strings"]


def test_the_score_without_doubtful_gold_is_below_the_accuracy(tmp_path: Path) -> None:
    places = lay_inputs(tmp_path, [*ONE, question(1, "Again?", RIGHT)], {"only": [RIGHT, "SELECT 1"]})
    path = places.metrics / "only.json"
    second = {"ex": {"all": 100.0}, "n": {"all": 1}, "rows": {"empty": 1}}
    write_json(path, {**read_json(path), "without_doubtful": second})
    page = make_page(places)
    assert "100.0 without doubtful gold" in page
    assert "The gold SQL of 1 questions is doubtful" in page


def test_the_prompt_of_two_arms_is_stored_once(tmp_path: Path) -> None:
    page = make_page(lay_inputs(tmp_path, ONE, {"one": [RIGHT], "two": [RIGHT]}))
    found = data(page)
    assert len(found["prompts"]) == 1
    assert len(found["results"]) == 1  # that of the gold and of both predictions


def test_kinds_of_wrong_answers_are_counted_by_arm(tmp_path: Path) -> None:
    arms = {"one": ["SELECT sum(id) FROM item LIMIT 1"], "two": ["SELECT name FROM gone"]}
    page = make_page(lay_inputs(tmp_path, ONE, arms))
    table = re.sub(
        r"<[^>]+>", " ", page[page.index("Wrong answers of each arm") : page.index('id="training"')]
    )
    assert re.search(r"no such table\s+–\s+1\s", table)
    assert re.search(r"LIMIT\s+1\s+–\s", table)


def test_predictions_that_are_not_there_are_an_error_with_the_next_command(tmp_path: Path) -> None:
    places = lay_inputs(tmp_path, ONE, {"only": [RIGHT]})
    (places.predictions / "only.jsonl").unlink()
    with pytest.raises(UserError, match=r"only.jsonl: no such file; `dvc repro predict@only` writes it"):
        make_page(places)


def test_predictions_of_other_questions_are_an_error_with_the_next_command(tmp_path: Path) -> None:
    places = lay_inputs(tmp_path, ONE, {"only": [RIGHT]})
    (places.predictions / "only.jsonl").write_text('{"row": 7, "sql": "", "raw": ""}\n')
    with pytest.raises(UserError, match=r"row 0 is missing \(1 of 1 questions\); `dvc repro predict@only`"):
        make_page(places)


def test_a_loss_that_is_no_number_is_an_error_with_the_next_command(tmp_path: Path) -> None:
    places = lay_inputs(tmp_path, ONE, {"only": [RIGHT]})
    write_csv(places.loss / "train_only.csv", "step,loss", "10,much")
    with pytest.raises(UserError, match=r"train_only.csv: step or loss .* --single-item train_only`"):
        make_page(places, ["only"])


def test_a_script_element_cannot_end_in_the_data() -> None:
    text = packed({"strings": ["</script>", "<!--", "\ud800"]})
    assert re.fullmatch(r"[A-Za-z0-9+/=]+", text)
    assert json.loads(gzip.decompress(base64.b64decode(text)))["strings"] == ["</script>", "<!--", "\ud800"]


def test_a_text_with_half_a_surrogate_pair_does_not_stop_the_page(tmp_path: Path) -> None:
    places = lay_inputs(tmp_path, ONE, {"only": ["SELECT 'half'"]})
    for file, old, new in (
        (places.questions, "How many items are there?", "What is \\ud800?"),
        (places.questions, '"slice": ""', '"slice": "\\ud800"'),
        (places.predictions / "only.jsonl", "half", "\\ud800"),
    ):
        file.write_text(file.read_text().replace(old, new))
    page = make_page(places)
    page.encode()
    assert "What is \ud800?" in data(page)["strings"]


def test_markup_in_names_is_escaped_in_charts_and_tables(tmp_path: Path) -> None:
    name = "<script>hacked</script>"
    chart = charts.lines(name, {name: [(1.0, 2.0), (2.0, 1.0)]}, name)
    assert "<script>" not in "".join(chart.svgs.values()) and "&lt;script&gt;" in chart.svgs["wide"]
    questions = [question(0, "How many?", RIGHT, slice="<b>"), question(1, "Again?", RIGHT)]
    page = make_page(lay_inputs(tmp_path, questions, {"<i>": [RIGHT, RIGHT]}))
    assert not {"<b>", "<i>"} & set(re.findall("<[^>]+>", page.split("<script")[0]))
    assert "&lt;b&gt;" in page and "&lt;i&gt;" in page
