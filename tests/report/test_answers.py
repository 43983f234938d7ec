"""text2sql.report.answers: predictions and gold queries run again, with limits."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from text2sql.evaluation.settings import EvaluationSettings
from text2sql.evaluation.verdicts import Verdict, without_gold
from text2sql.report.answers import SQL_CHARACTERS, Answered, Explained, explain

ENDLESS = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c"
MILLION = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 1000000) SELECT n FROM c"


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("databases")
    (folder / "shop").mkdir()
    with sqlite3.connect(folder / "shop" / "shop.sqlite") as connection:
        connection.executescript(
            "CREATE TABLE item (id, name, picture); INSERT INTO item VALUES "
            "(1, 'tea', x'00ff'), (2, NULL, NULL), (3, 'tea', NULL)"
        )
    return folder


def run(databases: Path, answers: Sequence[Answered], **limits: float) -> list[Explained]:
    settings = EvaluationSettings(timeout_s=limits.get("timeout_s", 5.0), keep_value=True)
    return list(explain(answers, databases, settings, workers=1))


def wrong(gold: str, predicted: str, db_id: str = "shop", **verdict: str | bool | None) -> Answered:
    found = Verdict(0, db_id, "", "easy", **{"ex": False, **verdict})  # type: ignore[arg-type]
    return Answered(db_id, gold, predicted, found)


def test_both_results_are_there_with_null_and_blob(databases: Path) -> None:
    (found,) = run(databases, [wrong("SELECT name, picture FROM item", "SELECT name FROM item")])
    assert found.comparison.gold.rows[:2] == (("ttea", "b2:00ff"), (None, None))
    assert found.comparison.predicted.columns == ("name",)
    assert found.differences.sentence == "Does not select picture."


def test_distinct_stays_although_the_judge_drops_it(databases: Path) -> None:
    answer = wrong("SELECT DISTINCT name FROM item", "SELECT name FROM item", ex=True)
    (found,) = run(databases, [answer])
    assert (found.comparison.gold.count, found.comparison.predicted.count) == (2, 3)


def test_a_result_of_a_million_rows_is_cut_and_called_so(databases: Path) -> None:
    (found,) = run(databases, [wrong("SELECT id FROM item", MILLION)])
    assert found.comparison.predicted.more and found.comparison.predicted.count == 100_000
    assert "not compared" in found.comparison.sentence
    assert found.comparison.predicted.rows[0] == ("n1",)


def test_a_query_that_failed_is_not_run_again(databases: Path) -> None:
    answers = [
        wrong("SELECT 1", ENDLESS, error="timeout", message="interrupted"),
        wrong("SELECT 1", "SELECT x FROM item", error="no_such_column", message="no such column: x"),
    ]
    late, unknown = run(databases, answers, timeout_s=60.0)
    assert late.comparison.predicted.problem == "It was not run again: it exceeds the time limit."
    assert unknown.comparison.predicted.problem == "It does not run: no such column: x."


def test_an_endless_query_that_was_not_judged_ends_at_the_time_limit(databases: Path) -> None:
    answer = Answered("shop", "", ENDLESS, without_gold(0, "shop"))
    (found,) = run(databases, [answer], timeout_s=0.3)
    assert found.comparison.predicted.problem == "It does not run: interrupted."


def test_a_question_without_gold_shows_the_result_of_the_prediction(databases: Path) -> None:
    (found,) = run(databases, [Answered("shop", " ", "SELECT 7", without_gold(0, "shop"))])
    assert found.comparison.gold.problem == "The question has no gold SQL."
    assert found.comparison.predicted.rows == (("n7",),)
    assert found.differences.sentence == "Not scored: the question has no gold SQL."


def test_a_missing_database_is_named(databases: Path) -> None:
    (found,) = run(databases, [wrong("SELECT 1", "SELECT 2", db_id="gone")])
    problem = found.comparison.gold.problem
    assert problem is not None and problem.startswith("It cannot be run: ") and "gone.sqlite" in problem


def test_nothing_is_written_to_a_database(databases: Path) -> None:
    before = (databases / "shop" / "shop.sqlite").read_bytes()
    hostile = ["DROP TABLE item", "DELETE FROM item", "SELECT 1; DROP TABLE item", "ATTACH 'x' AS y"]
    found = run(databases, [wrong("SELECT 1", sql) for sql in hostile])
    assert (databases / "shop" / "shop.sqlite").read_bytes() == before
    assert len(found) == len(hostile)


def test_of_several_statements_the_first_is_shown_as_it_was_judged(databases: Path) -> None:
    several = wrong("SELECT 1", "SELECT 1; SELECT 2", ex=True, error="denied", message="more than one")
    (found,) = run(databases, [several])
    assert found.comparison.predicted.rows == (("n1",),)


def test_a_very_long_query_is_coloured_as_far_as_it_is_shown(databases: Path) -> None:
    (found,) = run(
        databases, [wrong("SELECT 1", "SELECT " + "1 + " * 20_000 + "1", error="other", message="long")]
    )
    assert sum(int(part) for part in found.predicted_runs.replace("!", "").translate(LETTERS).split()) == (
        SQL_CHARACTERS
    )


LETTERS = str.maketrans(dict.fromkeys("ksmoc.", " "))


def test_a_query_that_takes_all_memory_leaves_the_others_alone(databases: Path) -> None:
    greedy = "SELECT group_concat(hex(zeroblob(4000000))) FROM item, item AS b, item AS c, item AS d"
    answers = [wrong("SELECT 1", greedy), wrong("SELECT 1", "SELECT 2")]
    first, second = run(databases, answers)
    assert first.comparison.predicted.problem is not None
    assert second.comparison.predicted.rows == (("n2",),)
