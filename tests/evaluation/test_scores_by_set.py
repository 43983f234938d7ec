"""Scores of several test sets: where they are in the metrics, and the warnings about a set."""

from __future__ import annotations

import pytest

from text2sql.evaluation.scores import Scores
from text2sql.evaluation.scores_by_set import ScoresBySet
from text2sql.evaluation.verdicts import Verdict, as_row, without_gold

EVALUATOR = {"version": "9"}
RIGHT, WRONG = Verdict(0, "concert", "", "easy", True), Verdict(1, "concert", "", "hard", False)


def failing(row: int, message: str = "no such table: pet") -> Verdict:
    return Verdict(row, "concert", "", None, error="gold: no_such_table", message=message)


def table(*verdicts: Verdict) -> dict[str, object]:
    scores = Scores()
    for verdict in verdicts:
        scores.add(verdict)
    return scores.table()


def test_with_one_set_rows_and_metrics_are_those_of_the_set_and_do_not_name_it() -> None:
    scores = ScoresBySet(["concert", "concert"])
    assert scores.add("concert", RIGHT) == as_row(RIGHT)
    assert scores.metrics(EVALUATOR) == {**table(RIGHT), "evaluator": EVALUATOR}
    assert list(scores.metrics(EVALUATOR))[-1] == "evaluator"


def test_with_several_sets_the_first_is_at_the_top_and_named() -> None:
    scores = ScoresBySet(["spider", "geo", "spider"])
    scores.add("geo", WRONG)
    scores.add("spider", RIGHT)
    assert scores.metrics(EVALUATOR) == {
        "test_set": "spider",
        **table(RIGHT),
        "evaluator": EVALUATOR,
        "other_sets": {"geo": table(WRONG)},
    }


def test_problems_of_answers_are_counted_by_set() -> None:
    scores = ScoresBySet(["spider", "geo"])
    for name, problems in (("geo", {"truncated": 2}), ("spider", {}), ("geo", {"truncated": 1, "empty": 1})):
        scores.count_answers(name, problems)
    none = {"truncated": 0, "empty": 0, "declined": 0, "prompt_too_long": 0}
    metrics = scores.metrics(EVALUATOR)
    assert metrics["answers"] == none
    assert metrics["other_sets"]["geo"]["answers"] == none | {"truncated": 3, "empty": 1}


def test_with_several_sets_a_row_names_its_set_after_its_number() -> None:
    row = ScoresBySet(["spider", "geo"]).add("geo", WRONG)
    assert list(row)[:3] == ["row", "test_set", "db_id"]
    assert row == {**as_row(WRONG), "test_set": "geo"}


def test_slices_are_those_of_the_set() -> None:
    scores = ScoresBySet(["bird", "own"])
    for row, name in enumerate(["simple", "moderate", "simple"]):
        scores.add("bird", Verdict(row, "db", name, "easy", row == 0))
    scores.add("own", Verdict(3, "db", "", "easy", True))
    metrics = scores.metrics(EVALUATOR)
    assert metrics["slices"] == {"moderate": 0.0, "simple": 50.0}
    assert "slices" not in metrics["other_sets"]["own"]


def test_a_set_without_gold_has_its_number_and_no_scores() -> None:
    scores = ScoresBySet(["spider", "own"])
    scores.add("spider", RIGHT)
    scores.add("own", without_gold(1, "mine"))
    assert scores.metrics(EVALUATOR)["other_sets"] == {"own": {"without_gold": 1}}
    assert list(scores.warnings()) == [
        "test set own: no question has gold SQL; 1 questions are predicted and not scored"
    ]


@pytest.mark.parametrize(("failed", "warned"), [(20, False), (21, True)])
def test_a_set_is_reported_if_more_than_a_fifth_of_its_golds_fail(failed: int, warned: bool) -> None:
    scores = ScoresBySet(["spider"])
    for row in range(100):
        scores.add("spider", failing(row) if row < failed else RIGHT)
    assert bool(list(scores.warnings())) is warned


def test_questions_without_gold_do_not_lower_the_share_of_failing_golds() -> None:
    scores = ScoresBySet(["spider"])
    for verdict in (failing(0), RIGHT, *(without_gold(row, "concert") for row in range(10))):
        scores.add("spider", verdict)
    assert "of 1 of 2 questions fails" in next(scores.warnings())


def test_the_warning_names_the_set_and_the_three_commonest_messages() -> None:
    scores = ScoresBySet(["spider", "geo"])
    scores.add("spider", RIGHT)
    for message, count in {"a": 1, "b": 4, "c": 2, "d": 3}.items():
        for row in range(count):
            scores.add("geo", failing(row, message))
    (warning,) = scores.warnings()
    assert warning.startswith("test set geo: the gold SQL of 10 of 10 questions fails")
    assert "b (4 times), d (3 times), c (2 times);" in warning


def test_the_second_score_is_by_set_and_has_the_numbers_of_rows_left_out() -> None:
    scores = ScoresBySet(["spider", "geo"], {RIGHT.row: ("empty",)})
    for name, verdict in (("spider", RIGHT), ("spider", WRONG), ("geo", WRONG)):
        scores.add(name, verdict)
    metrics = scores.metrics(EVALUATOR)
    second = metrics["without_doubtful"]
    assert (metrics["ex"]["all"], second["ex"]["all"], second["n"]["all"]) == (50.0, 0.0, 1)
    assert second["rows"] == {"empty": 1}
    assert metrics["other_sets"]["geo"]["without_doubtful"] == {"rows": {}}


def test_a_set_without_gold_has_no_second_score() -> None:
    scores = ScoresBySet(["spider"], {0: ("empty",)})
    scores.add("spider", without_gold(0, "concert"))
    assert "without_doubtful" not in scores.metrics(EVALUATOR)
