"""A model folder: copied if it is complete; else all its problems are named, each with the next step."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.chat_models import CHAT_MODELS, write_model, write_tokenizer
from tests.tiny import tiny_adapter
from text2sql.base_models.folder import copy_model, model_facts, model_problems
from text2sql.errors import UserError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete Llama."""
    return write_model(CHAT_MODELS["llama3"], tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture
def model(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return shutil.copytree(made, tmp_path / "model")


def sharded(model: Path) -> Path:
    """The model with its weights in several files."""
    from transformers import AutoModelForCausalLM

    loaded = AutoModelForCausalLM.from_pretrained(model)
    (model / "model.safetensors").unlink()
    loaded.save_pretrained(model, max_shard_size="40KB")
    assert len(list(model.glob("model-*.safetensors"))) > 1
    return model


def edit(file: Path, **changes: Any) -> None:
    """Change keys of a JSON file; None removes one."""
    content = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def only_problem(model: Path) -> str:
    (problem,) = model_problems(model)
    return problem


def test_a_complete_model_has_no_problem_and_is_copied(model: Path, tmp_path: Path) -> None:
    (model / "pytorch_model.bin").write_text("the same weights again")
    (model / "consolidated.safetensors").write_text("and again")
    (model / "LICENSE.txt").write_text("a licence")
    assert model_problems(model) == []
    copy_model(model, tmp_path / "base")
    names = {file.name for file in (tmp_path / "base").iterdir()}
    assert names == {
        "LICENSE.txt",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert not any(file.is_symlink() for file in (tmp_path / "base").iterdir())
    assert model_problems(tmp_path / "base") == []


def test_a_sharded_model_is_copied_with_all_its_shards(model: Path, tmp_path: Path) -> None:
    before = model_facts(model)
    copy_model(sharded(model), tmp_path / "base")
    assert model_problems(tmp_path / "base") == []
    assert model_facts(tmp_path / "base") == before

    from transformers import AutoModelForCausalLM

    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    assert sum(weight.numel() for weight in loaded.parameters()) == before["parameters"]


def test_the_facts_are_those_of_the_model(model: Path) -> None:
    facts = model_facts(model)
    assert (facts["architecture"], facts["vocabulary"]) == ("LlamaForCausalLM", 448)


def test_a_missing_folder_is_named_with_the_parameter(tmp_path: Path) -> None:
    assert only_problem(tmp_path / "none") == (
        f"{tmp_path}/none: no such folder; set fetch_model.folder to a folder with a model"
    )


def test_an_adapter_is_no_model(model: Path, tmp_path: Path) -> None:
    adapter = tiny_adapter(tmp_path / "adapter", model)
    assert f"{adapter}/adapter_config.json: this is an adapter" in only_problem(adapter)
    assert f"`text2sql merge --adapter {adapter}`" in only_problem(adapter)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[]", "expected a JSON object"),
        ("{}", "model_type is missing"),
        ('{"model_type": "llama9"}', "has no architecture 'llama9'"),
        ('{"model_type": "own", "auto_map": {}}', "code in the model's folder is not run"),
        ('{"model_type": "t5"}', "not a model that writes text"),
    ],
)
def test_a_configuration_that_is_no_language_models_is_named(model: Path, text: str, said: str) -> None:
    (model / "config.json").write_text(text)
    problem = only_problem(model)
    assert problem.startswith(f"{model}/config.json") and said in problem
    assert "copy it from the model again" in problem or "choose another base model" in problem


def test_a_missing_shard_is_named(model: Path) -> None:
    shard = sorted(sharded(model).glob("model-*.safetensors"))[1]
    shard.unlink()
    assert only_problem(model) == (
        f"{shard}: no such file, but model.safetensors.index.json names it; copy it from the model again"
    )


@pytest.mark.parametrize(
    "content", ["{", "{}", '{"weight_map": {}}', '{"weight_map": {"a": 5}}', '{"weight_map": {"a": ["x"]}}']
)
def test_a_broken_index_is_named(model: Path, content: str) -> None:
    (model / "model.safetensors").unlink()
    (model / "model.safetensors.index.json").write_text(content)
    assert "model.safetensors.index.json" in only_problem(model)


def test_weights_that_are_cut_off_are_named_with_their_bytes(model: Path) -> None:
    file = model / "model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-100])
    assert f"{file}: cut off, it has {len(whole) - 100:,} of {len(whole):,} bytes" in only_problem(model)
    for content in (b"", whole[:20], b"version https://git-lfs.github.com/spec/v1"):
        file.write_bytes(content)
        assert f"{file}: not a file of safetensors, or cut off" in only_problem(model)


def test_weights_of_torchs_own_form_are_named_with_the_command_that_converts_them(model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    assert "its weights are .bin files" in only_problem(model)
    assert "save_pretrained" in only_problem(model)


def test_a_folder_without_weights_is_named(model: Path) -> None:
    (model / "model.safetensors").unlink()
    assert only_problem(model).startswith(f"{model}/model.safetensors: no such file")


def test_a_folder_without_tokenizer_is_named(model: Path) -> None:
    (model / "tokenizer.json").unlink()
    assert only_problem(model).startswith(f"{model}/tokenizer.json: no such file")


def test_a_tokenizer_that_cannot_be_read_is_named(model: Path) -> None:
    (model / "tokenizer.json").write_text('{"version": "1.0"}')
    assert only_problem(model).startswith(f"{model}/tokenizer.json: not a tokenizer")


def test_a_tokenizer_without_chat_template_is_named(model: Path) -> None:
    (model / "chat_template.jinja").unlink()
    assert only_problem(model).startswith(f"{model}: no chat template")


def test_a_chat_template_that_fails_is_named(model: Path) -> None:
    (model / "chat_template.jinja").write_text("{{ raise_exception('no chats today') }}")
    assert f"{model}: its chat template fails: no chats today" in only_problem(model)


def test_the_tokenizer_of_a_larger_vocabulary_is_named(model: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.add_tokens([f"token{number}" for number in range(100)])
    tokenizer.save_pretrained(model)
    problem = only_problem(model)
    assert f"{model}/tokenizer.json: " in problem and "beyond the 448 rows" in problem


def test_a_tokenizer_without_the_models_end_token_is_named(model: Path) -> None:
    edit(model / "config.json", eos_token_id=440)
    assert "no token has the id 440, which is eos_token_id in config.json" in only_problem(model)


def test_the_tokenizer_of_another_family_is_noticed_when_the_end_token_moves(model: Path) -> None:
    write_tokenizer(CHAT_MODELS["gemma"], model)
    edit(model / "config.json", eos_token_id=447)
    assert "it is the tokenizer of another model" in only_problem(model)


TOKENS = "tokenizer_config.json"
DAMAGE: list[tuple[str, Any, str]] = [  # file, the keys that change (or all of it), what the problem says
    *[(TOKENS, {"added_tokens_decoder": value}, "added_tokens_decoder is not") for value in ([], "x", [1])],
    (TOKENS, {"added_tokens_decoder": {"x": {"content": "a"}}}, "added_tokens_decoder is not"),
    (TOKENS, {"added_tokens_decoder": {"1": "a"}}, "added_tokens_decoder is not"),
    (TOKENS, {"tokenizer_class": 5}, "tokenizer_class is no text"),
    (TOKENS, {"eos_token": {"a": 1}}, "Special token eos_token"),
    (TOKENS, {"chat_template": 5}, "chat_template is neither"),
    (TOKENS, {"chat_template": ["a"]}, "chat_template is neither"),
    ("config.json", {"architectures": "X"}, "config.json: Validation error for field 'architectures'"),
    ("config.json", {"hidden_size": "x"}, "config.json: Validation error for field 'hidden_size'"),
    ("config.json", {"eos_token_id": "x"}, "config.json: Validation error for field 'eos_token_id'"),
    ("config.json", {"num_hidden_layers": None}, "270 weights that config.json asks for are missing"),
    ("config.json", {"num_hidden_layers": 3}, "9 weights that config.json asks for are missing"),
    ("config.json", {"hidden_size": 64}, "lm_head.weight with [448, 32] for [448, 64]"),
    ("config.json", {"hidden_act": "nix"}, "KeyError 'nix'"),
    ("generation_config.json", [], "expected a JSON object"),
    ("generation_config.json", {"eos_token_id": "x"}, "generation_config.json: eos_token_id is 'x'"),
    ("special_tokens_map.json", [], "expected a JSON object"),
    ("added_tokens.json", [], "expected a JSON object"),
]


@pytest.mark.parametrize(("name", "change", "said"), DAMAGE)
def test_a_damaged_file_is_one_problem_with_the_file(model: Path, name: str, change: Any, said: str) -> None:
    if isinstance(change, dict):
        edit(model / name, **change)
    else:
        (model / name).write_text(json.dumps(change))
    problem = only_problem(model)
    assert problem.startswith(str(model)) and said in problem and "\n" not in problem


def test_a_key_that_is_null_is_a_problem(model: Path) -> None:
    for name, key in ((TOKENS, "added_tokens_decoder"), ("config.json", "vocab_size")):
        whole = (model / name).read_text()
        (model / name).write_text(json.dumps(json.loads(whole) | {key: None}))
        assert name in only_problem(model) and key in only_problem(model)
        (model / name).write_text(whole)


@pytest.mark.parametrize("shape", ["x", ["x"], [448, -32], None])
def test_a_header_of_weights_without_a_shape_is_named(model: Path, shape: Any) -> None:
    file = model / "model.safetensors"
    content = file.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["model.norm.weight"]["shape"] = shape
    damaged = json.dumps(header).encode()
    file.write_bytes(len(damaged).to_bytes(8, "little") + damaged + content[end:])
    assert f"{file}: not a file of safetensors" in only_problem(model)


@pytest.mark.parametrize("name", sorted(CHAT_MODELS))
def test_the_weights_of_every_family_fit_their_configuration(tmp_path: Path, name: str) -> None:
    assert model_problems(write_model(CHAT_MODELS[name], tmp_path)) == []


def test_a_link_to_no_file_is_named_by_its_own_path(model: Path) -> None:
    (model / "LICENSE").symlink_to("nowhere")
    assert only_problem(model).startswith(f"{model}/LICENSE: a link to a file that does not exist")


def test_all_problems_are_listed_at_once(model: Path, tmp_path: Path) -> None:
    (model / "config.json").write_text("{")
    (model / "model.safetensors").unlink()
    (model / "tokenizer.json").unlink()
    (model / "chat_template.jinja").unlink()
    problems = model_problems(model)
    assert [problem.partition(": ")[0].partition(",")[0] for problem in problems] == [
        f"{model}/config.json",
        f"{model}/model.safetensors",
        f"{model}/tokenizer.json",
        str(model),
    ]
    with pytest.raises(UserError) as error:
        copy_model(model, tmp_path / "base")
    assert str(error.value) == "\n".join(problems)
    assert not (tmp_path / "base").exists()
