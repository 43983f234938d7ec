"""Percentages, intervals and the comparison of pairs."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from text2sql.evaluation.scores import Scores, mcnemar, paired_bootstrap, wilson_interval
from text2sql.evaluation.verdicts import PartCount, Verdict, without_gold


def verdict(
    row: int, ex: bool | None = None, hardness: Any = "easy", slice: Any = "", **fields: Any
) -> Verdict:
    return Verdict(row, "concert", slice, hardness, ex, **fields)


def added_up(verdicts: Iterable[Verdict]) -> Scores:
    scores = Scores()
    for each in verdicts:
        scores.add(each)
    return scores


def score_table(verdicts: Iterable[Verdict]) -> dict[str, Any]:
    return added_up(verdicts).table()


def partial_table(verdicts: Iterable[Verdict]) -> dict[str, dict[str, dict[str, float | None]]]:
    return added_up(verdicts).partial()


def with_part(row: int, gold: int, predicted: int, shared: int, hardness: str | None = "easy") -> Verdict:
    return verdict(row, hardness=hardness, em=False, parts={"where": PartCount(gold, predicted, shared)})


# Newcombe 1998, table I, method 3, in percent.
@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (81, 263, 25.53, 36.62),
        (15, 148, 6.24, 16.05),
        (0, 20, 0.0, 16.11),
        (1, 29, 0.61, 17.18),
    ],
)
def test_wilson_gives_the_published_intervals(successes: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(successes, n) == pytest.approx((low, high), abs=0.005)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_share_and_stays_within_0_and_100(case: tuple[int, int]) -> None:
    low, high = wilson_interval(*case)
    assert 0 <= low <= 100 * case[0] / case[1] <= high <= 100


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (3, 2), (-1, 2)])
def test_impossible_counts_have_no_interval(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="no interval"):
        wilson_interval(successes, n)


# Discordant pairs and two-sided binomial probabilities, by hand: 2 * sum C(n, i) / 2**n.
@pytest.mark.parametrize(
    ("only_a", "only_b", "p"),
    [
        (0, 0, 1.0),
        (1, 1, 1.0),
        (0, 5, 2 / 32),
        (1, 9, 22 / 1024),
        (10, 2, 158 / 4096),
        (0, 10, 2 / 1024),
    ],
)
def test_mcnemar_gives_the_binomial_probability(only_a: int, only_b: int, p: float) -> None:
    a = [True] * only_a + [False] * only_b + [True, True, False]
    b = [False] * only_a + [True] * only_b + [True, True, False]
    assert mcnemar(a, b) == pytest.approx(p, rel=1e-12)
    assert mcnemar(b, a) == mcnemar(a, b)


def test_mcnemar_works_on_thousands_of_pairs() -> None:
    assert 0.0 <= mcnemar([True] * 9000, [False] * 9000) < 1e-300


def test_mcnemar_needs_pairs() -> None:
    with pytest.raises(ValueError, match="shorter"):
        mcnemar([True, False], [True])


def test_the_bootstrap_interval_is_that_of_resampled_questions() -> None:
    a = np.array([True] * 60 + [False] * 30 + [True] * 70 + [False] * 80)
    b = np.array([False] * 60 + [True] * 30 + [True] * 70 + [False] * 80)
    draws = np.random.default_rng(1).integers(0, 240, size=(10_000, 240))
    expected = np.quantile(100 * (a[draws].mean(axis=1) - b[draws].mean(axis=1)), [0.025, 0.975])
    assert paired_bootstrap(a.tolist(), b.tolist()) == pytest.approx(expected, abs=0.5)


def test_the_bootstrap_interval_holds_the_true_difference_as_often_as_it_says() -> None:
    # Of 200 questions each arm alone has 20 % and 10 % right: the true difference is 10 points.
    counts = np.random.default_rng(2).multinomial(200, [0.2, 0.1, 0.7], size=400)
    held = 0
    for only_a, only_b, same in counts.tolist():
        a = [True] * only_a + [False] * (only_b + same)
        b = [False] * only_a + [True] * only_b + [False] * same
        low, high = paired_bootstrap(a, b, resamples=1_000)
        held += low <= 10 <= high
    assert 0.92 <= held / 400 <= 0.98


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_the_bootstrap_interval_is_between_the_extremes(pairs: list[tuple[bool, bool]]) -> None:
    a, b = zip(*pairs, strict=True)
    low, high = paired_bootstrap(a, b, resamples=200)
    assert -100 <= low <= high <= 100
    if all(left or not right for left, right in pairs):
        assert low >= 0  # no resample makes b better where it never is


def test_the_bootstrap_gives_one_interval_for_one_seed() -> None:
    a, b = [True] * 50 + [False] * 50, [False] * 40 + [True] * 20 + [False] * 40
    assert paired_bootstrap(a, b) == paired_bootstrap(a, b)


def test_arms_that_never_differ_have_an_interval_of_zero() -> None:
    assert paired_bootstrap([True, False, True], [True, False, True]) == (0.0, 0.0)


def test_the_bootstrap_needs_pairs() -> None:
    with pytest.raises(ValueError, match="shorter"):
        paired_bootstrap([True, False], [True])


@pytest.mark.parametrize(("n", "resamples"), [(0, 10), (3, 0)])
def test_without_questions_or_resamples_there_is_no_interval(n: int, resamples: int) -> None:
    with pytest.raises(ValueError, match=f"{resamples} resamples of {n} verdicts"):
        paired_bootstrap([True] * n, [False] * n, resamples)


def test_scores_are_percentages_of_each_class() -> None:
    verdicts = [
        verdict(0, True),
        verdict(1, False),
        verdict(2, True),
        verdict(3, False, "hard", error="syntax"),
    ]
    table = score_table(verdicts)
    assert table["ex"] == {"all": 50.0, "easy": 66.7, "medium": None, "hard": 0.0, "extra": None}
    assert table["n"] == {"all": 4, "easy": 3, "medium": 0, "hard": 1, "extra": 0}
    assert table["ci95"]["all"] == {"low": 15.0, "high": 85.0}
    assert table["ci95"]["medium"] is None
    assert table["errors"] == {"syntax": 1}


def test_with_execution_accuracy_alone_the_table_has_nothing_else() -> None:
    assert list(score_table([verdict(0, True)])) == ["ex", "n", "ci95", "errors", "gold_failures"]


@pytest.mark.parametrize("metric", ["ex_plug", "ts", "ts_plug", "em", "bird_ex", "strict"])
def test_a_metric_that_was_asked_for_has_scores_and_intervals(metric: str) -> None:
    wrong, right = ({metric: value} for value in (False, True))
    table = score_table([verdict(0, True, **wrong), verdict(1, False, "extra", **right)])
    assert table[metric] == {"all": 50.0, "easy": 0.0, "medium": None, "hard": None, "extra": 100.0}
    assert table[f"{metric}_ci95"]["all"] == {"low": 9.5, "high": 90.5}
    assert f"{metric}_n" not in table


def test_a_mean_has_the_normal_interval_of_its_numbers() -> None:
    values = [0.0, 0.5, 1.0, 0.5]
    table = score_table(verdict(row, True, soft_f1=value) for row, value in enumerate(values))
    half = 1.959964 * 100 * float(np.std(values, ddof=1)) / 2
    assert table["soft_f1"]["all"] == 50.0
    assert table["soft_f1_ci95"]["all"] == {"low": round(50 - half, 1), "high": round(50 + half, 1)}
    assert table["soft_f1_ci95"]["hard"] is None


def test_a_mean_may_exceed_100_where_its_numbers_do() -> None:
    table = score_table(verdict(row, True, r_ves=1.25**0.5) for row in range(3))
    assert table["r_ves"]["all"] == 111.8
    assert table["r_ves_ci95"]["all"] == {"low": 111.8, "high": 111.8}


@pytest.mark.parametrize(("metric", "most"), [("soft_f1", 100.0), ("r_ves", 111.8)])
def test_one_number_says_nothing_about_the_mean(metric: str, most: float) -> None:
    table = score_table([verdict(0, True, **{metric: 0.4})])
    assert table[f"{metric}_ci95"]["all"] == {"low": 0.0, "high": most}


@given(st.lists(st.floats(0, 1), min_size=2, max_size=50))
def test_the_interval_of_a_mean_holds_it_and_stays_in_its_range(values: list[float]) -> None:
    table = score_table(verdict(row, soft_f1=value) for row, value in enumerate(values))
    ends = table["soft_f1_ci95"]["all"]
    assert 0.0 <= ends["low"] <= table["soft_f1"]["all"] <= ends["high"] <= 100.0


def test_a_mean_has_shares_by_slice() -> None:
    table = score_table([verdict(0, True, slice="a", soft_f1=0.5), verdict(1, True, slice="b", soft_f1=1.0)])
    assert table["soft_f1_slices"] == {"a": 50.0, "b": 100.0}


def test_a_metric_that_cannot_be_decided_for_some_rows_has_its_own_n() -> None:
    table = score_table([verdict(0, True, em=True), verdict(1, True), verdict(2, False, "hard", em=False)])
    assert table["em"]["all"] == 50.0
    assert table["em_n"] == {"all": 2, "easy": 1, "medium": 0, "hard": 1, "extra": 0}
    assert table["n"]["all"] == 3


def test_without_execution_its_scores_are_absent_and_not_null() -> None:
    table = score_table([verdict(0, em=True), verdict(1, em=False)])
    assert (table["em"]["all"], table["n"]["all"]) == (50.0, 2)
    assert not {"ex", "ci95", "ex_plug"} & set(table)


def test_a_failing_gold_is_listed_and_in_no_other_number() -> None:
    failed = verdict(7, hardness="easy", slice="unseen", em=True, error="gold: syntax")
    table = score_table([verdict(0, True, em=False), failed])
    assert table["gold_failures"] == [7]
    assert (table["n"]["all"], table["ex"]["all"], table["errors"]) == (1, 100.0, {})
    assert table["em"]["all"] == 0.0
    assert "slices" not in table


def test_a_question_without_gold_is_counted_and_in_no_other_number() -> None:
    table = score_table([verdict(0, True, em=False), without_gold(7, "concert", "unseen")])
    assert table["without_gold"] == 1
    assert (table["n"]["all"], table["ex"]["all"], table["errors"]) == (1, 100.0, {})
    assert table["gold_failures"] == []
    assert "slices" not in table and "no_hardness" not in table


def test_with_gold_for_every_question_the_table_has_no_such_number() -> None:
    assert "without_gold" not in score_table([verdict(0, True), verdict(1, error="gold: syntax")])


def test_without_any_gold_the_table_has_no_scores() -> None:
    assert score_table([without_gold(row, "concert") for row in range(3)]) == {"without_gold": 3}


def test_the_commonest_message_of_failing_golds_comes_first() -> None:
    messages = ["no such function: now", "no such table: pet", "no such table: pet"]
    failed = [verdict(row, error="gold: other", message=text) for row, text in enumerate(messages)]
    scores = added_up([*failed, verdict(3, True), without_gold(4, "concert")])
    assert scores.gold_messages() == [("no such table: pet", 2), ("no such function: now", 1)]
    assert (scores.with_gold, scores.without_gold) == (4, 1)


def test_a_row_without_hardness_counts_under_all_only_and_is_named() -> None:
    table = score_table([verdict(0, True), verdict(5, False, None)])
    assert table["no_hardness"] == [5]
    assert table["n"] == {"all": 2, "easy": 1, "medium": 0, "hard": 0, "extra": 0}
    assert table["ex"]["all"] == 50.0


def test_every_metric_is_given_by_slice_if_there_are_several() -> None:
    fields = [verdict(0, True, slice="seen", em=False), verdict(1, False, slice="unseen", em=True)]
    table = score_table(fields)
    assert table["slices"] == {"seen": 100.0, "unseen": 0.0}
    assert table["em_slices"] == {"seen": 0.0, "unseen": 100.0}


def test_several_slices_are_scored_one_by_one_and_never_null() -> None:
    verdicts = [
        verdict(0, True, slice="seen"),
        verdict(1, False, slice="unseen"),
        verdict(2, None, slice="broken", error="gold: syntax"),
    ]
    assert score_table(verdicts)["slices"] == {"seen": 100.0, "unseen": 0.0}


def test_notes_are_counted_with_those_that_are_right() -> None:
    noted = [verdict(0, True, notes=("x", "y")), verdict(1, False, notes=("y",)), verdict(2, True)]
    assert score_table(noted)["notes"] == {"x": {"n": 1, "right": 1}, "y": {"n": 2, "right": 1}}
    assert score_table([verdict(0, em=True, notes=("x",))])["notes"] == {"x": {"n": 1}}
    assert "notes" not in score_table([verdict(0, True)])


def test_no_verdicts_give_nulls_and_not_zeros() -> None:
    table = score_table([])
    assert set(table["ex"].values()) == set(table["ci95"].values()) == {None}
    assert table["n"]["all"] == 0


def test_the_table_is_plain_json() -> None:
    table = score_table([verdict(0, True, em=True), verdict(1, False, None, "a", ts=True)])
    assert json.loads(json.dumps(table, allow_nan=False)) == table


def test_verdicts_are_not_kept() -> None:
    scores = Scores()
    scores.add(with_part(0, 1, 1, 1))
    tracemalloc.start()
    for row in range(2_000):
        scores.add(with_part(row, 1, 1, 1))
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 20_000  # bytes; the verdicts themselves would take a hundred times that


def test_accuracy_is_over_predictions_and_recall_over_golds_that_have_the_component() -> None:
    verdicts = [
        with_part(0, gold=2, predicted=2, shared=2),
        with_part(1, gold=0, predicted=1, shared=0),
        with_part(2, gold=1, predicted=0, shared=0),
        with_part(3, gold=1, predicted=0, shared=0),
        with_part(4, gold=0, predicted=0, shared=0),
    ]
    partial = partial_table(verdicts)
    assert partial["accuracy"]["where"]["all"] == 50.0
    assert partial["recall"]["where"]["all"] == 33.3
    assert partial["f1"]["where"]["all"] == 40.0


@pytest.mark.parametrize(("gold", "predicted", "shared"), [(2, 2, 1), (2, 3, 2), (3, 2, 2)])
def test_a_component_that_is_right_in_part_is_wrong(gold: int, predicted: int, shared: int) -> None:
    partial = partial_table([with_part(0, gold, predicted, shared), with_part(1, 1, 1, 1)])
    assert partial["accuracy"]["where"]["all"] == partial["recall"]["where"]["all"] == 50.0


def test_a_component_that_is_never_right_has_the_official_f1_of_100() -> None:
    partial = partial_table([with_part(0, 1, 1, 0)])
    assert [partial[measure]["where"]["easy"] for measure in ("accuracy", "recall", "f1")] == [
        0.0,
        0.0,
        100.0,
    ]


def test_components_are_counted_in_their_class_and_under_all() -> None:
    partial = partial_table(
        [with_part(0, 1, 1, 1), with_part(1, 1, 1, 0, "hard"), with_part(2, 1, 1, 1, None)]
    )
    expected = {"all": 66.7, "easy": 100.0, "medium": None, "hard": 0.0, "extra": None}
    assert partial["accuracy"]["where"] == expected


def test_components_keep_the_order_they_come_in() -> None:
    parts = {name: PartCount(1, 1, 1) for name in ("select", "where", "and/or")}
    partial = partial_table([verdict(0, em=True, parts=parts)])
    assert list(partial["f1"]) == ["select", "where", "and/or"]


def test_without_exact_set_match_there_is_no_partial_table() -> None:
    assert partial_table([verdict(0, True)]) == {}


def test_components_of_a_failing_gold_count_nowhere() -> None:
    failed = verdict(0, em=True, parts={"where": PartCount(1, 1, 1)}, error="gold: timeout")
    assert partial_table([failed]) == {}
