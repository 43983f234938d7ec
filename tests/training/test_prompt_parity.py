"""Training and prediction use the same prompts: equal token ids, and a loss on the answer only."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import TINY_RECIPE, tiny_qwen3, tiny_tokenizer
from text2sql.inference.chat_tokens import ChatTokens
from text2sql.inference.weights import Weights
from text2sql.prompts import messages, schema_text
from text2sql.training.dataset import turn, write_dataset
from text2sql.training.lengths import row_lengths
from text2sql.training.recipe import llamafactory_config
from text2sql.training.settings import Lora, Recipe

pytestmark = pytest.mark.slow

Trained = tuple[list[dict[str, list[int]]], Any]  # rows and tokenizer

RECIPE = TINY_RECIPE.replace(cutoff_len=1024)
DDL = 'CREATE TABLE "dog breed" (id INTEGER PRIMARY KEY, name TEXT);\nCREATE TABLE dog (weight REAL);'
ROWS = [  # schema, question, answer
    (DDL, "How heavy are the dogs?", "SELECT weight FROM dog"),
    (DDL, "  Wie heißt „Rex“? 🐕 \n", "SELECT name FROM \"dog breed\" WHERE name = 'Rex 🐕'"),
    ("CREATE TABLE t (a);", "Two\n\nparagraphs,\ttabs", "SELECT a\nFROM t"),
    ("CREATE TABLE t (a);", "What does <think> say?", "SELECT a FROM t"),
    ("CREATE TABLE t (a);", "12345 67.89 a_b-c", "SELECT 12345"),
]


def embedded_base(folder: Path) -> Path:
    return tiny_tokenizer(tiny_qwen3(folder))


def qwen3_base(folder: Path, tokenizer: Path) -> Path:
    """A model folder with Qwen3's own tokenizer; its weights are never read here."""
    tiny_qwen3(folder)
    for file in tokenizer.iterdir():
        shutil.copy(file, folder)
    return folder


@pytest.fixture(scope="module", params=["embedded", "qwen3"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "base"
    if request.param == "embedded":
        return embedded_base(folder)
    return qwen3_base(folder, request.getfixturevalue("real_data") / "qwen3_tokenizer")


@pytest.fixture(scope="module")
def trained(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """See `trained_on`; a full training."""
    return trained_on(base, tmp_path_factory.mktemp("data"), RECIPE)


def trained_on(base: Path, folder: Path, recipe: Recipe) -> Trained:
    """The rows as LLaMA-Factory makes them for its trainer, and its tokenizer."""
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args
    from llamafactory.model import load_tokenizer

    write_dataset((turn(schema_text(ddl, True), question, sql) for ddl, question, sql in ROWS), folder)
    config = llamafactory_config(recipe, base, folder, folder / "out")
    model, data, training, _, _ = get_train_args(config)
    loaded = load_tokenizer(model)
    template = get_template_and_fix_tokenizer(loaded["tokenizer"], data)
    made = get_dataset(template, model, data, training, stage="sft", **loaded)
    return list(made["train_dataset"]), loaded["tokenizer"]


def predicted(base: Path) -> list[list[int]]:
    """The prompts' token ids in prediction."""
    tokens = ChatTokens(Weights(base, ""))
    return [tokens.encode(messages(schema_text(ddl, True), question)) for ddl, question, _ in ROWS]


def prompts(rows: list[dict[str, list[int]]]) -> list[list[int]]:
    """The prompts' token ids in training: what the loss does not cover."""
    return [row["input_ids"][: row["labels"].count(-100)] for row in rows]


def test_a_prompt_has_the_same_ids_in_full_training_and_in_prediction(base: Path, trained: Trained) -> None:
    assert prompts(trained[0]) == predicted(base)


def test_a_prompt_has_the_same_ids_in_lora_training_and_in_prediction(base: Path, tmp_path: Path) -> None:
    lora = Lora(rank=4, alpha=8, targets=["q_proj", "v_proj"])
    rows, _ = trained_on(base, tmp_path / "data", RECIPE.replace(lora=lora))
    assert prompts(rows) == predicted(base)


def test_the_loss_covers_the_answer_and_the_end_of_the_turn_only(trained: Trained) -> None:
    rows, tokenizer = trained
    for row, (_, _, sql) in zip(rows, ROWS, strict=True):
        masked = row["labels"].count(-100)
        assert row["labels"][:masked] == [-100] * masked
        assert row["labels"][masked:] == row["input_ids"][masked:]
        answer = tokenizer.decode(row["labels"][masked:], skip_special_tokens=False)
        assert answer == f"{sql}<|im_end|>\n"


@pytest.mark.parametrize("thinking", [None, True])
def test_with_thinking_the_empty_thought_is_learned(
    base: Path, tmp_path: Path, thinking: bool | None
) -> None:
    rows, tokenizer = trained_on(base, tmp_path, RECIPE.replace(enable_thinking=thinking))
    thought = tokenizer.encode("<think>\n\n</think>\n\n", add_special_tokens=False)
    for row, prompt, (_, _, sql) in zip(rows, predicted(base), ROWS, strict=True):
        begun = prompt[: -len(thought)]
        assert row["input_ids"][: len(prompt)] == begun + thought
        assert row["labels"] == [-100] * len(begun) + row["input_ids"][len(begun) :]
        answer = tokenizer.decode(row["labels"][len(begun) :], skip_special_tokens=False)
        assert answer == f"<think>\n\n</think>\n\n{sql}<|im_end|>\n"
    turns = [turn(schema_text(ddl, True), question, sql) for ddl, question, sql in ROWS]
    assert row_lengths(base, turns, 0, 2) == [len(row["input_ids"]) for row in rows]


def test_the_measured_length_of_a_row_is_its_number_of_tokens_in_training(
    base: Path, trained: Trained
) -> None:
    turns = [turn(schema_text(ddl, True), question, sql) for ddl, question, sql in ROWS]
    assert row_lengths(base, turns, enough=0, answer_tokens=2) == [
        len(row["input_ids"]) for row in trained[0]
    ]


def test_the_prompt_ends_in_an_empty_thought(trained: Trained) -> None:
    rows, tokenizer = trained
    assert all(
        tokenizer.decode(ids).endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
        for ids in prompts(rows)
    )


def test_the_data_set_holds_every_row_in_order(tmp_path: Path) -> None:
    write_dataset((turn(ddl, question, sql) for ddl, question, sql in ROWS), tmp_path)
    rows = json.loads((tmp_path / "sft.json").read_text(encoding="utf-8"))
    assert [row["output"] for row in rows] == [sql for _, _, sql in ROWS]
