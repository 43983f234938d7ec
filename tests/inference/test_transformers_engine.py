"""Generation by transformers, on a tiny random Qwen3."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.tiny import tiny_adapter, tiny_qwen3, tiny_tokenizer
from text2sql.errors import UserError
from text2sql.inference.engine import Answer, Messages, Request
from text2sql.inference.settings import Batching, Decoding
from text2sql.inference.transformers_engine import TransformersEngine
from text2sql.inference.weights import Weights, resolve_weights
from text2sql.prompts import messages

NEW_TOKENS = 24
CHATS = [
    messages("CREATE TABLE singer (name, age);", "How many singers are there?"),
    messages("CREATE TABLE singer (name);", "Names?"),
    messages("CREATE TABLE concert (year);\nCREATE TABLE stadium (name);", "What are the years?"),
]

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="compares with float32 answers; a CUDA device gives bfloat16"
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_tokenizer(tiny_qwen3(tmp_path_factory.mktemp("models") / "base"))


@pytest.fixture(scope="module")
def adapter(base: Path) -> Path:
    return tiny_adapter(base.parent / "lora", base)


@pytest.fixture
def copy(base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(base, tmp_path / "copy"))


def engine(folder: Path, **decoding: Any) -> TransformersEngine:
    return TransformersEngine(
        resolve_weights(folder),
        Decoding(max_new_tokens=NEW_TOKENS, **decoding),
        Batching(batch_tokens=4096, max_batch=8),
        threads=1,
    )


def ask(one: TransformersEngine, chats: Sequence[Messages], seed: int = 0) -> list[Answer]:
    """The answers to `chats` in one batch, with the seeds `seed`, `seed` + 1, ..."""
    requests = [Request(chat, seed + n) for n, chat in enumerate(chats)]
    ((_, found),) = one.generate([(0, requests)])
    return found


def answers(folder: Path) -> list[str]:
    return [answer.text for answer in ask(engine(folder), CHATS)]


def test_a_prompt_ends_with_an_empty_thought(base: Path) -> None:
    text = AutoTokenizer.from_pretrained(str(base)).decode(engine(base).encode(CHATS[1]))
    assert text.endswith("Names?<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n")


def test_a_batch_gives_the_same_answers_as_each_prompt_alone(base: Path) -> None:
    one = engine(base)
    assert len({len(one.encode(chat)) for chat in CHATS}) == len(CHATS)  # so that there is padding
    assert ask(one, CHATS) == [ask(one, [chat])[0] for chat in CHATS]


def test_an_answer_is_the_likeliest_token_at_every_step(base: Path) -> None:
    one = engine(base)
    ids = one.encode(CHATS[0])
    model = AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.float32).eval()
    start = len(ids)
    while len(ids) < start + NEW_TOKENS and (len(ids) == start or ids[-1] != 2):
        with torch.inference_mode():
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    expected = AutoTokenizer.from_pretrained(str(base)).decode(ids[start:], skip_special_tokens=True)
    assert ask(one, CHATS[:1]) == [Answer(expected, problem=None if ids[-1] == 2 else "truncated")]


def test_two_runs_give_the_same_answers(base: Path) -> None:
    assert answers(base) == answers(base)


def test_sampling_that_the_model_recommends_is_not_used(base: Path, copy: Path) -> None:
    (copy / "generation_config.json").write_text(
        '{"do_sample": true, "temperature": 9.0, "top_k": 50, "repetition_penalty": 2.0}'
    )
    assert answers(copy) == answers(base)


def test_an_answer_ends_at_any_end_token_of_the_model(base: Path, copy: Path) -> None:
    one = engine(base)
    text = ask(one, CHATS[:1])[0].text
    first = AutoTokenizer.from_pretrained(str(base)).encode(text, add_special_tokens=False)[0]
    (copy / "generation_config.json").write_text(f'{{"eos_token_id": [{first}, 2]}}')
    assert len(ask(engine(copy), CHATS[:1])[0].text) < len(text)


def test_an_answer_without_an_end_token_is_truncated_and_one_of_end_tokens_alone_is_empty(
    base: Path, copy: Path
) -> None:
    for likelihood in (False, True):
        assert [a.problem for a in ask(engine(base, likelihood=likelihood), CHATS[:1])] == ["truncated"]
    tokenizer = AutoTokenizer.from_pretrained(str(base))
    ids = engine(base).encode(CHATS[0])
    with torch.inference_mode():
        model = AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.float32)
        first = int(model(torch.tensor([ids])).logits[0, -1].argmax())
    (copy / "generation_config.json").write_text(f'{{"eos_token_id": [{first}, 2]}}')
    tokenizer.add_special_tokens({"additional_special_tokens": [tokenizer.decode([first])]})
    tokenizer.save_pretrained(str(copy))
    assert ask(engine(copy), CHATS[:1]) == [Answer("", problem="empty")]


def test_a_merged_adapter_gives_the_same_answers_as_an_unmerged_one(base: Path, adapter: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.float32)
    plain = PeftModel.from_pretrained(model, str(adapter)).eval()
    one = engine(adapter)
    ids = one.encode(CHATS[0])
    output = plain.generate(
        input_ids=torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        max_new_tokens=NEW_TOKENS,
        do_sample=False,
    )[0, len(ids) :]
    expected = AutoTokenizer.from_pretrained(str(base)).decode(output, skip_special_tokens=True)
    assert [answer.text for answer in ask(one, CHATS[:1])] == [expected]


def test_an_adapter_changes_the_answers_of_its_base(base: Path, adapter: Path) -> None:
    assert answers(adapter) != answers(base)


def test_on_a_gpu_attention_is_not_compiled_for_every_length(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("text2sql.inference.transformers_engine.torch_device", lambda: "cuda")
    before = torch.backends.cuda.cudnn_sdp_enabled()
    try:
        engine(base)
        assert not torch.backends.cuda.cudnn_sdp_enabled()
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)


def test_half_precision_leaves_the_positions_in_full_precision(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("text2sql.inference.transformers_engine._dtype", lambda: torch.bfloat16)
    one = engine(base)
    assert len(ask(one, CHATS[:1])) == 1
    assert {parameter.dtype for parameter in one._model.parameters()} == {torch.bfloat16}
    assert {buffer.dtype for buffer in one._model.buffers()} == {torch.float32}


def test_the_longest_prompt_is_the_models_context_minus_the_answer(base: Path) -> None:
    assert engine(base).max_prompt_tokens == 512 - NEW_TOKENS


def test_a_prompt_that_is_too_long_is_in_no_batch(base: Path) -> None:
    long = messages("CREATE TABLE singer (name);", "Names? " * 300)
    assert engine(base).plan([Request(CHATS[0], 0), Request(long, 0), Request(CHATS[1], 0)]) == [[0, 2]]


def test_weights_that_lack_a_layer_are_refused(copy: Path) -> None:
    tensors = load_file(copy / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"layers\.1\.mlp\.up_proj"):
        answers(copy)


def test_an_adapter_that_lacks_a_layer_is_refused(adapter: Path, tmp_path: Path) -> None:
    short = Path(shutil.copytree(adapter, tmp_path / "short"))
    tensors = load_file(short / "adapter_model.safetensors")
    del tensors[next(iter(tensors))]
    save_file(tensors, short / "adapter_model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"short: cannot be loaded as a model"):
        answers(short)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_damaged_file_is_refused_with_its_folder(copy: Path, name: str) -> None:
    (copy / name).write_bytes((copy / name).read_bytes()[:100])
    with pytest.raises(UserError, match=r"copy: cannot be loaded as a model: .*; fix the folder"):
        answers(copy)


@pytest.mark.parametrize(("key", "value"), [("r", "x"), ("peft_type", "NIX"), ("target_modules", 5)])
def test_a_damaged_adapter_config_is_refused_with_the_file(
    adapter: Path, tmp_path: Path, key: str, value: object
) -> None:
    damaged = Path(shutil.copytree(adapter, tmp_path / "damaged"))
    file = damaged / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))
    with pytest.raises(UserError, match=r"damaged: cannot be loaded as a model: adapter_config\.json: "):
        answers(damaged)


def test_an_adapter_of_another_rank_is_refused_with_the_weight(adapter: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(adapter, tmp_path / "other"))
    file = other / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"r": 3}))
    with pytest.raises(UserError, match=r"Error\(s\) in loading state_dict .*: size mismatch for .*lora_A"):
        answers(other)


def test_a_tokenizer_without_a_chat_template_is_refused(copy: Path) -> None:
    (copy / "chat_template.jinja").unlink()
    with pytest.raises(UserError, match="no chat template"):
        answers(copy)


def test_too_little_memory_is_reported_with_the_parameter_to_lower(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = TransformersEngine(
        Weights(base, "unread"),
        Decoding(max_new_tokens=NEW_TOKENS),
        Batching(batch_tokens=4096, max_batch=8),
        1,
    )

    def exhausted(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(one._model, "generate", exhausted)
    with pytest.raises(UserError, match=r"lower predict\.batch_tokens"):
        ask(one, CHATS)


def test_a_drawn_answer_does_not_depend_on_its_batch(base: Path) -> None:
    one = engine(base, temperature=0.9, top_p=0.95, repetition_penalty=1.2)
    together = ask(one, CHATS, seed=5)
    alone = [ask(one, [chat], seed=5 + n)[0] for n, chat in enumerate(CHATS)]
    assert [a.text for a in together] == [a.text for a in alone]
    assert [a.logprob for a in together] == pytest.approx([a.logprob for a in alone], abs=1e-4)


def test_another_seed_draws_another_answer_and_the_same_seed_the_same(base: Path) -> None:
    one = engine(base, temperature=2.0)
    first, again, other = (ask(one, CHATS[:1], seed)[0].text for seed in (1, 1, 2))
    assert first == again != other


def test_a_drawn_answer_with_almost_no_top_p_is_the_likeliest(base: Path) -> None:
    drawn = ask(engine(base, temperature=1.0, top_p=1e-9), CHATS)
    assert [answer.text for answer in drawn] == answers(base)


def test_the_logprob_is_the_mean_over_the_tokens_of_the_answer(base: Path) -> None:
    (answer,) = ask(engine(base, likelihood=True), CHATS[:1])
    assert answer.text == answers(base)[0]
    ids = engine(base).encode(CHATS[0])
    logprobs_of_tokens: list[float] = []
    model = AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.float32).eval()
    while len(logprobs_of_tokens) < NEW_TOKENS:
        with torch.inference_mode():
            logprobs = model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
        ids.append(int(logprobs.argmax()))
        logprobs_of_tokens.append(float(logprobs.max()))
    assert 2 not in ids[-NEW_TOKENS:]  # no end of the answer before its last token
    assert answer.logprob == pytest.approx(sum(logprobs_of_tokens) / len(logprobs_of_tokens), abs=1e-4)
