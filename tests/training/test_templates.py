"""The template of each kind of chat model: found, checked token by token, refused where it does not fit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.chat_models import CHAT_MODELS, write_model
from tests.tiny import TINY_RECIPE
from text2sql.errors import UserError
from text2sql.files import read_json
from text2sql.inference.chat_tokens import ChatTokens
from text2sql.inference.weights import Weights
from text2sql.prompts import messages, schema_text
from text2sql.training.dataset import SAMPLE, turn, write_dataset
from text2sql.training.lengths import row_lengths
from text2sql.training.parity import parity_problem
from text2sql.training.recipe import llamafactory_config
from text2sql.training.templates import checked_template, form_of, template_of
from text2sql.workstore import hash_path

pytestmark = pytest.mark.slow

DDL = 'CREATE TABLE "dog breed" (id INTEGER PRIMARY KEY, name TEXT);\nCREATE TABLE dog (weight REAL);'
ROWS = [  # schema, question, answer
    (DDL, "How heavy are the dogs?", "SELECT weight FROM dog"),
    (DDL, "  Wie heißt „Rex“? 🐕 \n", "SELECT name FROM \"dog breed\" WHERE name = 'Rex 🐕'"),
    ("CREATE TABLE t (a);", "Two\n\nparagraphs,\ttabs", "SELECT a\nFROM t"),
    ("CREATE TABLE t (a);", "12345 67.89 a_b-c", "SELECT 12345"),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model folder of each kind."""
    root = tmp_path_factory.mktemp("models")
    return {name: write_model(model, root / name) for name, model in CHAT_MODELS.items()}


def trained_rows(base: Path, template: str, folder: Path, thinking: bool = False) -> list[dict[str, Any]]:
    """The rows as LLaMA-Factory gives them to its trainer."""
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args
    from llamafactory.model import load_tokenizer

    config = llamafactory_config(TINY_RECIPE.replace(template=template), base, folder, folder / "out")
    model, data, training, _, _ = get_train_args(config | {"enable_thinking": thinking})
    loaded = load_tokenizer(model)
    form = get_template_and_fix_tokenizer(loaded["tokenizer"], data)
    return list(get_dataset(form, model, data, training, stage="sft", **loaded)["train_dataset"])


@pytest.mark.parametrize("name", CHAT_MODELS)
def test_the_template_is_found_from_the_model(folders: dict[str, Path], name: str) -> None:
    assert template_of(folders[name]) == CHAT_MODELS[name].template


@pytest.mark.parametrize("name", CHAT_MODELS)
def test_training_and_prediction_have_the_same_ids_and_the_answer_ends_where_prediction_stops(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("TEXT2SQL_WORK", str(tmp_path / "work"))
    turns = [turn(schema_text(ddl, True), question, sql) for ddl, question, sql in ROWS]
    write_dataset(turns, tmp_path)
    form = form_of("auto", folders[name], hash_path(folders[name]), tmp_path)
    rows = trained_rows(folders[name], form.template, tmp_path)
    tokens = ChatTokens(Weights(folders[name], ""))
    for row, (ddl, question, sql) in zip(rows, ROWS, strict=True):
        prompt = tokens.encode(messages(schema_text(ddl, True), question))
        assert row["input_ids"][: row["labels"].count(-100)] == prompt
        answer = row["input_ids"][len(prompt) :]
        end = next(at for at, token in enumerate(answer) if token in tokens.ends)
        assert tokens.tokenizer.decode(answer[:end]).strip() == sql
    lengths = row_lengths(folders[name], turns, enough=0, answer_tokens=form.answer_tokens)
    assert lengths == [len(row["input_ids"]) for row in rows]


@pytest.mark.parametrize("name", CHAT_MODELS)
def test_the_system_message_is_in_the_prompt_once(folders: dict[str, Path], name: str) -> None:
    tokens = ChatTokens(Weights(folders[name], ""))
    chat = [{"role": "system", "content": "SYSTEM"}, {"role": "user", "content": "USER"}]
    text = tokens.text([*chat, {"role": "assistant", "content": "ONE"}, {"role": "user", "content": "TWO"}])
    assert [text.count(part) for part in ("SYSTEM", "USER", "ONE", "TWO")] == [1, 1, 1, 1]
    assert tokens.encode(chat) == tokens.tokenizer(tokens.text(chat), add_special_tokens=False)["input_ids"]


def test_the_prompt_has_no_date(folders: dict[str, Path]) -> None:
    texts = [ChatTokens(Weights(folders[n], "")).text(messages(DDL, "Q")) for n in ("llama3", "llama3.2")]
    assert texts[0] == texts[1] and "Date" not in texts[1]


@pytest.mark.parametrize("template", ["qwen", "qwen3_nothink", "smollm2", "llama3"])
def test_templates_that_train_qwen3_on_other_prompts_are_refused(
    folders: dict[str, Path], template: str
) -> None:
    problem = parity_problem(folders["qwen3"], template)
    assert problem is not None and str(folders["qwen3"]) in problem
    assert f"training.template {template}" in problem
    assert "training has" in problem and "prediction has" in problem
    with pytest.raises(UserError, match=r"set training\.template: auto"):
        checked_template(template, folders["qwen3"])


@pytest.mark.parametrize("template", ["qwen", "qwen3_nothink", "smollm2", "llama3"])
def test_the_same_holds_with_the_tokenizer_of_qwen3(real_data: Path, tmp_path: Path, template: str) -> None:
    shutil.copytree(real_data / "qwen3_tokenizer", tmp_path / "base", copy_function=shutil.copyfile)
    (tmp_path / "base").chmod(0o755)
    (tmp_path / "base" / "config.json").write_text('{"model_type": "qwen3", "eos_token_id": 151645}')
    assert parity_problem(tmp_path / "base", "qwen3") is None
    assert parity_problem(tmp_path / "base", template) is not None
    assert template_of(tmp_path / "base") == "qwen3"


@pytest.mark.parametrize("thinking", [True, None])
def test_an_empty_thought_may_be_the_learned_beginning_of_the_answer(
    folders: dict[str, Path], tmp_path: Path, thinking: bool | None
) -> None:
    assert parity_problem(folders["qwen3"], "qwen3", enable_thinking=thinking) is None
    write_dataset([turn(*ROWS[0])], tmp_path)
    (row,) = trained_rows(folders["qwen3"], "qwen3", tmp_path, thinking=True)
    prompt = ChatTokens(Weights(folders["qwen3"], "")).encode(messages(*ROWS[0][:2]))
    assert row["input_ids"][: len(prompt)] == prompt
    assert row["labels"].count(-100) < len(prompt)  # the thought is learned


def test_a_template_for_images_is_refused_for_a_model_of_text(folders: dict[str, Path]) -> None:
    problem = parity_problem(folders["gemma3"], "gemma3")
    assert problem is not None and "no preprocessor_config.json" in problem


def test_a_model_that_no_template_fits_is_refused_with_the_candidates(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    base = shutil.copytree(folders["chatml"], tmp_path / "base")
    jinja = base / "chat_template.jinja"
    jinja.write_text(jinja.read_text().replace("assistant\n{%", "assistant: {%"))
    with pytest.raises(UserError) as error:
        template_of(base)
    for part in (
        "chatml, qwen3, qwen3_nothink, smollm, yi",
        "assistant: ",
        "assistant\\n",
        "set training.template",
        str(base),
    ):
        assert part in str(error.value)


def test_a_chat_template_of_no_known_kind_is_named(folders: dict[str, Path], tmp_path: Path) -> None:
    base = shutil.copytree(folders["chatml"], tmp_path / "base")
    (base / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    with pytest.raises(UserError, match=r"of no known kind.*set training\.template"):
        template_of(base)


def test_a_template_that_llamafactory_has_not_is_refused_with_names_like_it(folders: dict[str, Path]) -> None:
    with pytest.raises(UserError, match=r"no template 'qwen33'; set auto.*qwen3"):
        parity_problem(folders["qwen3"], "qwen33")


def test_an_answer_whose_end_prediction_does_not_find_is_refused(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    base = shutil.copytree(folders["qwen2.5 base"], tmp_path / "base")
    jinja = base / "chat_template.jinja"
    last = "{% if not (loop.last and message.role == 'assistant') %}<|im_end|>\n{% endif %}"
    jinja.write_text(
        jinja.read_text().replace("{{ message.content }}<|im_end|>\n", "{{ message.content }}" + last)
    )
    problem = parity_problem(base, "qwen")
    assert problem is not None and "does not find the end: it stops at <|endoftext|>" in problem
    assert repr(SAMPLE["output"] + "<|im_end|>\n") in problem


def test_the_comparison_is_made_once_for_a_model_and_its_rows(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEXT2SQL_WORK", str(tmp_path / "work"))
    write_dataset([turn(*row) for row in ROWS], tmp_path)
    base = folders["gemma"]
    found = form_of("auto", base, "hash", tmp_path)
    (kept,) = tmp_path.glob("work/template/*/form.json")
    assert read_json(kept) == {"template": "gemma", "answer_tokens": 2}
    kept.write_text("{")
    assert form_of("auto", base, "hash", tmp_path) == found
    monkeypatch.setattr("text2sql.training.templates._compared", None)
    assert form_of("auto", base, "hash", tmp_path) == found


def test_a_data_set_without_rows_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "sft.json").write_text(json.dumps([]))
    with pytest.raises(UserError, match="no rows"):
        form_of("auto", folders["gemma"], "hash of no rows", tmp_path)


@pytest.mark.parametrize(
    ("like", "changes"),
    [
        ("mistral", [("[/INST]{% else %} ", " [/INST]{% else %}")]),  # as Mistral 7B v0.2
        ("phi3", [("<|end|>\n", "</s>\n"), ("<|end|>", "</s>")]),  # as Zephyr
    ],
)
def test_spaces_and_line_ends_that_llamafactory_writes_in_another_way_are_refused(
    folders: dict[str, Path], tmp_path: Path, like: str, changes: list[tuple[str, str]]
) -> None:
    base = shutil.copytree(folders[like], tmp_path / "base")
    text = (base / "chat_template.jinja").read_text()
    for old, new in changes:
        assert old in text or old == "<|end|>"
        text = text.replace(old, new)
    (base / "chat_template.jinja").write_text(text)
    with pytest.raises(UserError, match=r"write one row as different prompts.*fits; set training\.template"):
        template_of(base)
