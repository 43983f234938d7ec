"""BIRD's R-VES from measured times."""

from __future__ import annotations

import pytest

from text2sql.evaluation.bird.time_score import speed_score, time_ratios


@pytest.mark.parametrize(
    ("ratio", "reward"),
    [
        (9.0, 1.25),
        (2.0, 1.25),
        (1.99, 1.0),
        (1.0, 1.0),
        (0.99, 0.75),
        (0.5, 0.75),
        (0.49, 0.5),
        (0.25, 0.5),
        (0.1, 0.25),
    ],
)
def test_the_score_is_the_root_of_the_reward_for_the_mean_ratio(ratio: float, reward: float) -> None:
    assert speed_score([ratio, ratio]) == reward**0.5


def test_a_ratio_far_from_the_others_is_left_out() -> None:
    near = [1.5 + step / 100 for step in range(12)]
    assert speed_score([*near, 500.0]) == 1.0


def test_of_fewer_than_ten_runs_none_is_left_out() -> None:
    assert speed_score([1.5] * 8 + [500.0]) == 1.25**0.5


def test_without_ratios_there_is_no_score() -> None:
    with pytest.raises(ValueError, match="no ratios"):
        speed_score([])


def test_both_queries_run_in_turn_and_the_golds_time_is_divided_by_the_predictions() -> None:
    runs: list[str] = []
    times = {"predicted": 0.5, "gold": 2.0}

    def run(name: str) -> float:
        runs.append(name)
        return times[name]

    assert time_ratios(lambda: run("predicted"), lambda: run("gold"), 3) == [4.0, 4.0, 4.0]
    assert runs == ["predicted", "gold"] * 3


def test_a_clock_that_shows_no_time_divides_by_no_zero() -> None:
    assert time_ratios(lambda: 0.0, lambda: 0.0, 2) == [1.0, 1.0]
