"""The reference's prompts with its own schemas and Qwen3's own tokenizer."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests import reference
from tests.tiny import TINY_RECIPE
from tests.training.test_prompt_parity import qwen3_base
from text2sql.files import read_jsonl
from text2sql.inference.chat_tokens import ChatTokens
from text2sql.inference.weights import Weights
from text2sql.prompts import messages, prompt_form
from text2sql.schema.recorded import recorded_ddl
from text2sql.training.dataset import turn, write_dataset
from text2sql.training.lengths import row_lengths
from text2sql.training.recipe import llamafactory_config

FORM = prompt_form("reference")
_END_OF_TURN = 2  # tokens: <|im_end|> and a line break


def test_every_recorded_schema_is_in_the_prompt_as_the_large_model_wrote_it(real_data: Path) -> None:
    answers = [
        row["table_creating"] for row in read_jsonl(real_data / "reference/dev_sql_llm_response.jsonl")
    ]
    users = [messages(recorded_ddl(answer), "Who?", form=FORM)[1]["content"] for answer in answers]
    assert users == [f"[SCHEMA]\n{answer}\n[QUESTION]\nWho?\n" for answer in answers]
    assert len(answers) == 145


@pytest.mark.slow
def test_a_test_prompt_has_the_ids_of_the_published_text(real_data: Path, tmp_path: Path) -> None:
    base = qwen3_base(tmp_path / "base", real_data / "qwen3_tokenizer")
    tokens = ChatTokens(Weights(base, ""))
    answer = next(read_jsonl(real_data / "reference/dev_sql_llm_response.jsonl"))["table_creating"]
    question = "How many singers do we have?"
    published = tokens.tokenizer(reference.P2.format(schema=answer, question=question))["input_ids"]
    assert tokens.encode(messages(recorded_ddl(answer), question, form=FORM)) == published


@pytest.mark.slow
def test_llamafactory_makes_the_ids_of_the_references_log_from_its_first_row(
    real_data: Path, tmp_path: Path
) -> None:
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args
    from llamafactory.model import load_tokenizer

    base = qwen3_base(tmp_path / "base", real_data / "qwen3_tokenizer")
    rows = [turn(reference.CONTEXT, reference.QUESTION, reference.ANSWER, FORM)]
    write_dataset(rows, tmp_path / "data")
    recipe = TINY_RECIPE.replace(cutoff_len=1024, enable_thinking=None)
    config = llamafactory_config(recipe, base, tmp_path / "data", tmp_path / "out")
    model, data, training, _, _ = get_train_args(config)
    loaded = load_tokenizer(model)
    template = get_template_and_fix_tokenizer(loaded["tokenizer"], data)
    (row,) = get_dataset(template, model, data, training, stage="sft", **loaded)["train_dataset"]
    ids = ",".join(map(str, row["input_ids"]))
    assert hashlib.sha256(ids.encode()).hexdigest() == reference.TOKENS_SHA256
    assert row["labels"].count(-100) == reference.MASKED
    assert row["labels"][reference.MASKED :][:4] == reference.FIRST_LEARNED
    assert row_lengths(base, rows, 0, _END_OF_TURN) == [reference.TOKENS]
