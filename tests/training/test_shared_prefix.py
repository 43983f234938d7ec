"""Sequences with shared prefixes: every row once, and the loss and gradients of separate rows."""

from __future__ import annotations

import importlib
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from tests.tiny import tiny_qwen3
from text2sql.training.logits import AnswerLogits
from text2sql.training.monitor import real_tokens
from text2sql.training.shared_prefix import LARGEST_GROUP, Row, attention, packed, use_shared_prefixes

LENGTH, PAD = 64, 0


def row(schema: list[int], question: list[int], answer: list[int]) -> Row:
    prompt = [*schema, *question, 7]
    return Row(prompt + answer, [-100] * len(prompt) + answer)


def rows_on(schemas: int, questions: int) -> list[Row]:
    rng = random.Random(0)
    made = []
    for _ in range(schemas):
        schema = [rng.randrange(10, 30) for _ in range(rng.randrange(8, 16))]
        made += [
            row(
                schema,
                [rng.randrange(30, 40) for _ in range(rng.randrange(1, 4))],
                [rng.randrange(10, 40), 5],
            )
            for _ in range(questions)
        ]
    return made


def unpacked(columns: dict[str, list[list[int]]]) -> list[tuple[list[int], list[int]]]:
    """The rows in the columns: what each token attends to, put together for the last token of each branch."""
    found = []
    for ids, labels, segments in zip(
        columns["input_ids"], columns["labels"], columns["attention_mask"], strict=True
    ):
        mask = attention(torch.tensor([segments]), torch.float32)[0, 0]
        for at, segment in enumerate(segments):
            is_last = at + 1 == len(segments) or segments[at + 1] != segment
            if segment % (LARGEST_GROUP + 1) and is_last:
                seen = [other for other in range(len(ids)) if mask[at, other] == 0]
                found.append(([ids[n] for n in seen], [labels[n] for n in seen]))
    return found


def test_every_row_is_complete_in_exactly_one_branch() -> None:
    rows = rows_on(schemas=5, questions=11)
    columns = packed(rows, LENGTH, PAD, seed=1)
    assert sorted(unpacked(columns)) == sorted((r.ids, r.labels) for r in rows)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(10, 12), max_size=6),
            st.lists(st.integers(10, 12), max_size=3),
            st.lists(st.integers(10, 12), min_size=1, max_size=3),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_rows_of_few_different_tokens_are_packed_completely(parts: list[tuple[list[int], ...]]) -> None:
    rows = [row(list(schema), list(question), list(answer)) for schema, question, answer in parts]
    columns = packed(rows, 16, PAD, seed=0)
    assert sorted(unpacked(columns)) == sorted((r.ids, r.labels) for r in rows)


def test_a_prefix_is_computed_once_for_its_group_and_positions_are_those_of_the_row() -> None:
    schema = list(range(10, 30))
    rows = [row(schema, [40 + n], [50, 5]) for n in range(4)]
    columns = packed(rows, LENGTH, PAD, seed=0)
    (ids,), (positions,) = columns["input_ids"], columns["position_ids"]
    assert ids[:20] == schema and ids.count(10) == 1
    assert positions[:36] == list(range(20)) + [20, 21, 22, 23] * 4
    assert len(ids) == LENGTH and ids[36:] == [PAD] * 28


def test_no_label_is_the_first_of_a_branch_even_of_rows_with_equal_prompts() -> None:
    rows = [row([10, 11, 12], [], [20 + n, 5]) for n in range(6)] + rows_on(schemas=3, questions=5)
    columns = packed(rows, LENGTH, PAD, seed=0)
    for labels, segments in zip(columns["labels"], columns["attention_mask"], strict=True):
        first = [at for at in range(LENGTH) if at == 0 or segments[at] != segments[at - 1]]
        assert len(first) > 2 and all(labels[at] == -100 for at in first)


def test_rows_on_schemas_of_their_own_share_the_head_of_the_chat() -> None:
    head = list(range(100, 112))
    rows = [row(head + [200 + 20 * n + k for k in range(14)], [7], [5]) for n in range(9)]
    columns = packed(rows, 256, PAD, seed=0)
    groups = 2  # of at most half a sequence, 128 tokens: 12 for the head and 17 for each of 6 rows
    assert [ids.count(head[0]) for ids in columns["input_ids"]] == [groups]
    assert sum(segment != 0 for s in columns["attention_mask"] for segment in s) == groups * 12 + 9 * 17


def test_the_tokens_that_are_computed_are_counted_and_padding_is_not() -> None:
    columns = packed(rows_on(schemas=3, questions=5), LENGTH, PAD, seed=0)
    segments = torch.tensor(columns["attention_mask"])
    for precision in (torch.float32, torch.bfloat16):
        mask = attention(segments, precision)
        assert mask.dtype == precision
        assert real_tokens(torch.tensor(columns["input_ids"]), mask) == (segments != 0).sum()


def test_groups_are_small_and_the_seed_decides_their_rows() -> None:
    rows = rows_on(schemas=1, questions=40)
    columns = packed(rows, LENGTH, PAD, seed=1)
    assert (
        max(segment % (LARGEST_GROUP + 1) for s in columns["attention_mask"] for segment in s)
        <= LARGEST_GROUP
    )
    assert packed(rows, LENGTH, PAD, seed=1) == columns != packed(rows, LENGTH, PAD, seed=2)
    assert packed(rows[::-1], LENGTH, PAD, seed=1)["input_ids"] == columns["input_ids"]


def test_a_row_without_an_answer_or_too_long_is_an_error() -> None:
    with pytest.raises(ValueError, match="a row of 3 tokens, limit 8, prompt 3"):
        packed([Row([1, 2, 3], [-100] * 3)], 8, PAD, seed=0)
    with pytest.raises(ValueError, match="a row of 3 tokens, limit 2, prompt 2"):
        packed([Row([1, 2, 3], [-100, -100, 3])], 2, PAD, seed=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_qwen3(tmp_path_factory.mktemp("model"))


def gradients(folder: Path, batches: list[dict[str, torch.Tensor]], items: int, few: bool) -> list[Any]:
    model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
    if few:
        AnswerLogits().on_train_begin(None, None, None, model=model)
    loss = torch.zeros(())
    for batch in batches:
        loss = loss + model(**batch, num_items_in_batch=items).loss
    loss.backward()
    return [loss.detach(), *(p.grad for p in model.parameters())]


@pytest.mark.parametrize("few", [False, True], ids=["all logits", "logits of answers"])
def test_loss_and_gradients_are_those_of_separate_rows(folder: Path, few: bool) -> None:
    rows = rows_on(schemas=3, questions=9)
    items = sum(label != -100 for r in rows for label in r.labels)
    separate = [{"input_ids": torch.tensor([r.ids]), "labels": torch.tensor([r.labels])} for r in rows]
    columns = {name: torch.tensor(values) for name, values in packed(rows, LENGTH, PAD, seed=0).items()}
    columns["attention_mask"] = attention(columns["attention_mask"], torch.float32)
    expected = gradients(folder, separate, items, few=False)
    for together, apart in zip(gradients(folder, [columns], items, few), expected, strict=True):
        torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("module", "name"),
    [("collator", "prepare_4d_attention_mask"), ("loader", "PackedSupervisedDatasetProcessor")],
)
def test_another_llamafactory_is_an_error(
    module: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(importlib.import_module(f"llamafactory.data.{module}"), name)
    with pytest.raises(RuntimeError, match=rf"{name}.* as version 0\.9\.5 does"):
        use_shared_prefixes(0, tmp_path)
