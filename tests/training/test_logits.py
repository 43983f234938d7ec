"""Logits of labelled tokens only give the loss and the gradients of all logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from tests.tiny import tiny_qwen3
from text2sql.training.logits import AnswerLogits


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_qwen3(tmp_path_factory.mktemp("model"))


def model(folder: Path, lora: bool) -> Any:
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
    adapter = LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False)
    return get_peft_model(base, adapter) if lora else base


def batch() -> dict[str, torch.Tensor]:
    """Two rows of 12 tokens: prompts without labels, answers of 3 and 5 tokens, padding."""
    ids = torch.arange(10, 34).reshape(2, 12)
    labels = torch.full((2, 12), -100)
    labels[0, 4:7], labels[1, 6:11] = ids[0, 4:7], ids[1, 6:11]
    mask = torch.ones(2, 12, dtype=torch.long)
    mask[0, 7:], mask[1, 11:] = 0, 0
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("items", [None, 11], ids=["mean", "sum over a whole step"])
def test_loss_and_gradients_are_those_of_all_logits(folder: Path, lora: bool, items: int | None) -> None:
    found = []
    for few in (False, True):
        one = model(folder, lora)
        if few:
            AnswerLogits().on_train_begin(None, None, None, model=one)
        output = one(**batch(), num_items_in_batch=items)
        output.loss.backward()
        assert output.logits.shape[:2] == ((1, 8) if few else (2, 12))
        found.append([output.loss.detach(), *(p.grad for p in one.parameters() if p.requires_grad)])
    for everywhere, few_logits in zip(*found, strict=True):
        torch.testing.assert_close(few_logits, everywhere, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
def test_a_pass_without_labels_has_all_logits_and_generation_works_between_two_steps(
    folder: Path, lora: bool
) -> None:
    one = model(folder, lora)
    ids = batch()["input_ids"]
    plain = one(input_ids=ids).logits
    written = one.generate(input_ids=ids, max_new_tokens=3, do_sample=False)
    AnswerLogits().on_train_begin(None, None, None, model=one)
    for _ in range(2):
        assert one(**batch()).logits.shape[1] == 8
        assert torch.equal(one(input_ids=ids).logits, plain)
        assert torch.equal(one.generate(input_ids=ids, max_new_tokens=3, do_sample=False), written)
