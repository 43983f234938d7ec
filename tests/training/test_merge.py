"""A merged model gives the answers of adapter and base, or is not written."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from transformers import AutoConfig, AutoModelForCausalLM

from tests.tiny import tiny_adapter, tiny_qwen3, tiny_tokenizer
from text2sql.cli import main
from text2sql.errors import UserError
from text2sql.inference.engine import Request
from text2sql.inference.settings import Batching, Decoding
from text2sql.inference.transformers_engine import TransformersEngine
from text2sql.inference.weights import resolve_weights
from text2sql.prompts import messages
from text2sql.training import merge as merging
from text2sql.training.merge import merge_adapter

pytestmark = pytest.mark.slow

DDL = "CREATE TABLE singer (name, age);"
CHATS = [messages(DDL, f"Which singers are {age}?") for age in range(20)]


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    tiny_tokenizer(tiny_qwen3(tmp_path / "base"))
    return tiny_adapter(tmp_path / "adapter", tmp_path / "base")


def test_a_merged_adapter_answers_twenty_prompts_as_the_adapter_does(adapter: Path, tmp_path: Path) -> None:
    assert merge_adapter(adapter, tmp_path / "merged", CHATS) < 1.0e-5
    answers = []
    for folder in (adapter, tmp_path / "merged"):
        engine = TransformersEngine(
            resolve_weights(folder),
            Decoding(max_new_tokens=12),
            Batching(batch_tokens=4096, max_batch=1),
            threads=1,
        )
        alone = [(number, [Request(chat, seed=0)]) for number, chat in enumerate(CHATS)]
        found = dict(engine.generate(alone))  # in any order
        answers.append([found[number][0].text for number in range(len(CHATS))])
    assert answers[0] == answers[1]


def test_a_merged_model_has_the_number_type_of_its_base(tmp_path: Path) -> None:
    base = tiny_tokenizer(tiny_qwen3(tmp_path / "base"))
    AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16).save_pretrained(base)
    difference = merge_adapter(tiny_adapter(tmp_path / "adapter", base), tmp_path / "merged", CHATS)
    assert AutoConfig.from_pretrained(tmp_path / "merged").dtype == torch.bfloat16
    assert 0 < difference < 5.0e-2


def test_a_merge_that_changes_the_logits_is_refused_and_writes_nothing(
    adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging.PeftModel, "merge_and_unload", lambda model: model.unload(), raising=False)
    with pytest.raises(UserError, match=r"logits differ by .* use the adapter unmerged"):
        merge_adapter(adapter, tmp_path / "merged", CHATS)
    assert not (tmp_path / "merged").exists()


def test_a_complete_model_is_refused(adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a complete model, not an adapter"):
        merge_adapter(tmp_path / "base", tmp_path / "merged", CHATS)


def test_an_adapter_for_another_base_is_refused(adapter: Path, tmp_path: Path) -> None:
    tiny_qwen3(tmp_path / "base", seed=9)
    with pytest.raises(UserError, match="another base"):
        merge_adapter(adapter, tmp_path / "merged", CHATS)


def test_the_command_merges_and_prints_the_difference(adapter: Path, tmp_path: Path) -> None:
    question = {"row": 0, "db_id": "concert", "question": "How many singers?", "ddl": DDL}
    (tmp_path / "test.jsonl").write_text(json.dumps(question) + "\n")
    options = {"adapter": adapter, "output": tmp_path / "merged", "questions": tmp_path / "test.jsonl"}
    words = [word for name, path in options.items() for word in (f"--{name}", str(path))]
    result = CliRunner().invoke(main, ["merge", *words])
    assert result.exit_code == 0, result.output
    merged = tmp_path / "merged"
    assert re.fullmatch(rf"{merged}: logits on 1 prompts differ by .* of the largest\n", result.stdout)
    assert result.stderr == ""
    assert (tmp_path / "merged" / "model.safetensors").is_file()


@pytest.mark.parametrize("output", ["adapter", "base", "test.jsonl", "."])
def test_an_output_that_would_replace_an_input_is_refused(adapter: Path, tmp_path: Path, output: str) -> None:
    (tmp_path / "test.jsonl").touch()
    words = ["--adapter", str(adapter), "--questions", str(tmp_path / "test.jsonl")]
    result = CliRunner().invoke(main, ["merge", *words, "--output", str(tmp_path / output)])
    assert result.exit_code == 1
    assert re.search("--output (are the same|would replace)", result.stderr)
    assert (adapter / "adapter_config.json").is_file() and (tmp_path / "base" / "config.json").is_file()
