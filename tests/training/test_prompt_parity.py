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


@pytest.fixture(params=["embedded", "qwen3"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "embedded":
        return embedded_base(tmp_path / "base")
    return qwen3_base(tmp_path / "base", request.getfixturevalue("real_data") / "qwen3_tokenizer")


def trained_on(base: Path, folder: Path, recipe: Recipe) -> tuple[list[dict[str, list[int]]], Any]:
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


@pytest.mark.parametrize(
    "lora", [None, Lora(rank=4, alpha=8, targets=["q_proj", "v_proj"])], ids=["full", "lora"]
)
def test_a_prompt_has_the_same_ids_in_training_and_in_prediction(
    base: Path, tmp_path: Path, lora: Lora | None
) -> None:
    rows, _ = trained_on(base, tmp_path / "data", RECIPE.replace(lora=lora))
    tokens = ChatTokens(Weights(base, ""))
    asked = [tokens.encode(messages(schema_text(ddl, True), question)) for ddl, question, _ in ROWS]
    prompts = [row["input_ids"][: row["labels"].count(-100)] for row in rows]
    assert prompts == asked


def test_the_loss_covers_the_answer_and_the_end_of_the_turn_only(base: Path, tmp_path: Path) -> None:
    rows, tokenizer = trained_on(base, tmp_path / "data", RECIPE)
    for row, (_, _, sql) in zip(rows, ROWS, strict=True):
        masked = row["labels"].count(-100)
        assert row["labels"][:masked] == [-100] * masked
        assert row["labels"][masked:] == row["input_ids"][masked:]
        answer = tokenizer.decode(row["labels"][masked:], skip_special_tokens=False)
        assert answer == f"{sql}<|im_end|>\n"


def test_the_measured_length_of_a_row_is_its_number_of_tokens_in_training(base: Path, tmp_path: Path) -> None:
    rows, _ = trained_on(base, tmp_path / "data", RECIPE)
    written = json.loads((tmp_path / "data" / "sft.json").read_text(encoding="utf-8"))
    assert row_lengths(base, written, enough=0) == [len(row["input_ids"]) for row in rows]


def test_the_prompt_ends_in_an_empty_thought(base: Path, tmp_path: Path) -> None:
    rows, tokenizer = trained_on(base, tmp_path / "data", RECIPE)
    prompts = [tokenizer.decode(row["input_ids"][: row["labels"].count(-100)]) for row in rows]
    assert all(prompt.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n") for prompt in prompts)


def test_the_data_set_holds_every_row_in_order(tmp_path: Path) -> None:
    write_dataset((turn(ddl, question, sql) for ddl, question, sql in ROWS), tmp_path)
    rows = json.loads((tmp_path / "sft.json").read_text(encoding="utf-8"))
    assert [row["output"] for row in rows] == [sql for _, _, sql in ROWS]
