"""Which of several queries is chosen, by their results."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from text2sql.evaluation.settings import EvaluationSettings
from text2sql.inference.voting import Candidates, Choice, vote

LIMITS = EvaluationSettings(timeout_s=1.0, max_rows=1000)
NAMES = "SELECT name FROM singer"
SAME_NAMES = "SELECT singer.name FROM singer WHERE 1"
AGES = "SELECT age FROM singer"
NOBODY = "SELECT name FROM singer WHERE age > 90"
ALSO_NOBODY = "SELECT age FROM singer WHERE name = 'Dee'"
FAILING = "SELECT nme FROM singer"
ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
# one long opcode, which cannot be interrupted: its process is killed
UNINTERRUPTIBLE = "SELECT instr(printf('%.*c', 6000000, 'a'), printf('%.*c', 3000000, 'a') || 'b')"


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("databases")
    (folder / "concert").mkdir()
    with closing(sqlite3.connect(folder / "concert" / "concert.sqlite")) as connection:
        connection.executescript(
            "CREATE TABLE singer (name, age);INSERT INTO singer VALUES ('Ann', 30), ('Bo', 30), ('Cy', 50);"
        )
    return folder


def candidates(*queries: str, logprobs: tuple[float, ...] = ()) -> Candidates:
    return Candidates("concert", queries, logprobs or (None,) * len(queries))


def chosen_of(databases: Path, *queries: str, logprobs: tuple[float, ...] = ()) -> Choice:
    (found,) = vote([candidates(*queries, logprobs=logprobs)], databases, LIMITS)
    return found


def test_the_most_frequent_result_wins_even_if_the_queries_are_written_differently(databases: Path) -> None:
    assert chosen_of(databases, AGES, NAMES, SAME_NAMES) == Choice(1, 2 / 3, None)


def test_a_tie_goes_to_the_likeliest_query_and_without_likelihoods_to_the_first(databases: Path) -> None:
    assert chosen_of(databases, AGES, NAMES, logprobs=(-0.5, -0.1)) == Choice(1, 0.5, None)
    assert chosen_of(databases, AGES, NAMES) == Choice(0, 0.5, None)


def test_three_queries_that_return_nothing_do_not_outvote_two_that_agree_on_rows(databases: Path) -> None:
    assert chosen_of(databases, NOBODY, ALSO_NOBODY, NOBODY, NAMES, SAME_NAMES) == Choice(3, 0.4, None)
    assert chosen_of(databases, NOBODY, NOBODY, NOBODY, NAMES, NAMES).chosen == 3


def test_a_single_query_with_rows_does_not_outvote_two_that_return_nothing(databases: Path) -> None:
    assert chosen_of(databases, NAMES, NOBODY, ALSO_NOBODY) == Choice(1, 2 / 3, None)


def test_at_equal_votes_rows_win_even_against_a_higher_likelihood(databases: Path) -> None:
    assert chosen_of(databases, NOBODY, NAMES, logprobs=(-0.1, -9.0)) == Choice(1, 0.5, None)


def test_of_two_results_with_rows_the_more_frequent_wins(databases: Path) -> None:
    found = chosen_of(databases, NOBODY, NAMES, NAMES, AGES, AGES, AGES)
    assert found == Choice(3, 0.5, None)


def test_a_query_that_returns_nothing_is_preferred_to_one_that_fails(databases: Path) -> None:
    assert chosen_of(databases, FAILING, FAILING, NOBODY, logprobs=(-0.1, -0.1, -9.0)).chosen == 2


def test_a_count_of_zero_and_a_null_are_rows(databases: Path) -> None:
    zero, null = "SELECT count(*) FROM singer WHERE age > 90", "SELECT max(age) FROM singer WHERE age > 90"
    assert chosen_of(databases, NOBODY, NOBODY, NOBODY, zero, zero).chosen == 3
    assert chosen_of(databases, NOBODY, NOBODY, NOBODY, null, null).chosen == 3


def test_of_queries_with_equal_results_the_likeliest_is_chosen(databases: Path) -> None:
    assert chosen_of(databases, NAMES, SAME_NAMES, AGES, logprobs=(-0.5, -0.1, -0.01)).chosen == 1


def test_a_query_that_fails_has_no_vote_even_if_it_is_the_most_frequent(databases: Path) -> None:
    found = chosen_of(databases, FAILING, FAILING, FAILING, NAMES, logprobs=(-0.1, -0.1, -0.1, -9.0))
    assert found == Choice(3, 0.25, None)


def test_if_all_queries_fail_the_likeliest_is_chosen_with_its_error(databases: Path) -> None:
    found = chosen_of(databases, "SELECT", FAILING, logprobs=(-2.0, -1.0))
    assert found == Choice(1, 0.0, "no such column: nme")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sql", "failure"),
    [
        ("", "empty: no statement"),
        ("SELECT FROM", 'syntax: near "FROM": syntax error'),
        ("DELETE FROM singer", "denied: not authorized"),
        ("SELECT 1; SELECT 2", "denied: You can only execute one statement at a time."),
        ("SELECT s.name FROM singer s, singer t, singer u WHERE name", "ambiguous column name: name"),
        (ENDLESS, "timeout: interrupted"),
        (UNINTERRUPTIBLE, "timeout: its process was killed"),
    ],
)
def test_a_query_without_a_result_has_an_error_and_does_not_affect_other_votes(
    databases: Path, sql: str, failure: str
) -> None:
    alone, beside = vote([candidates(sql), candidates(sql, NAMES)], databases, LIMITS)
    assert alone == Choice(0, 0.0, failure)
    assert beside == Choice(1, 0.5, None)


def test_order_counts_for_queries_with_order_by(databases: Path) -> None:
    up, down = f"{NAMES} ORDER BY name", f"{NAMES} ORDER BY name DESC"
    assert chosen_of(databases, down, up, NAMES, up).agreement == 0.75


def test_distinct_counts(databases: Path) -> None:
    assert chosen_of(databases, AGES, "SELECT DISTINCT age FROM singer").agreement == 0.5


def test_each_question_has_its_own_vote(databases: Path) -> None:
    found = vote(
        [candidates(AGES, NAMES, SAME_NAMES), candidates(AGES), candidates(FAILING)], databases, LIMITS
    )
    assert found == [Choice(1, 2 / 3, None), Choice(0, 1.0, None), Choice(0, 0.0, "no such column: nme")]


def test_without_questions_there_are_no_choices(databases: Path) -> None:
    assert vote([], databases, LIMITS) == []
