"""How prompts are divided into batches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from text2sql.errors import UserError
from text2sql.inference.engine import plan_batches, prompt_room

LENGTHS = st.dictionaries(st.integers(0, 99), st.integers(1, 300))
SIZES = st.tuples(st.integers(1, 50), st.integers(1, 4000), st.integers(1, 20))


@given(LENGTHS, SIZES)
def test_every_prompt_is_in_one_batch(lengths: dict[int, int], sizes: tuple[int, int, int]) -> None:
    batches = plan_batches(lengths, *sizes)
    assert sorted(number for batch in batches for number in batch) == sorted(lengths)


@given(LENGTHS, SIZES)
def test_no_batch_exceeds_its_limits(lengths: dict[int, int], sizes: tuple[int, int, int]) -> None:
    max_new_tokens, batch_tokens, max_batch = sizes
    for batch in plan_batches(lengths, *sizes):
        cost = len(batch) * (max(lengths[number] for number in batch) + max_new_tokens)
        assert len(batch) <= max_batch
        assert cost <= batch_tokens or len(batch) == 1


@given(LENGTHS, SIZES)
def test_the_plan_does_not_depend_on_the_order_of_the_prompts(
    lengths: dict[int, int], sizes: tuple[int, int, int]
) -> None:
    reversed_lengths = dict(reversed(lengths.items()))
    assert plan_batches(lengths, *sizes) == plan_batches(reversed_lengths, *sizes)


def test_long_prompts_come_first_and_share_a_batch() -> None:
    assert plan_batches({0: 10, 1: 90, 2: 12, 3: 95}, 5, 200, 8) == [[3, 1], [2, 0]]


def test_an_answer_that_may_take_the_whole_context_is_refused() -> None:
    assert prompt_room(2048, 80) == 1968
    with pytest.raises(UserError, match=r"predict\.max_new_tokens is 2048, .* at most 2048 tokens"):
        prompt_room(2048, 2048)
