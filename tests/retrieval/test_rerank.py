"""Reranking of retrieved examples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import tiny_qwen3, tiny_tokenizer
from text2sql.errors import UserError
from text2sql.records import ConvertedQuestion, TrainingRow
from text2sql.retrieval.embed import PACKAGED_MODEL, load_embedder
from text2sql.retrieval.rerank import Key, MaxSim, YesNo, load_reranker

SINGERS = "CREATE TABLE singer (name TEXT, age INTEGER);"
PLANES = "CREATE TABLE plane (model TEXT, weight INTEGER);"


def asked(question: str) -> ConvertedQuestion:
    return ConvertedQuestion(0, "concert", question, "SELECT 1", SINGERS, "", "rules", ())


def solved(row_id: str, question: str, ddl: str = PLANES) -> TrainingRow:
    return TrainingRow(row_id, "test", question, ddl, "SELECT 1")


@pytest.fixture(scope="module")
def maxsim() -> MaxSim:
    try:
        return MaxSim(load_embedder(PACKAGED_MODEL, 8))
    except UserError as error:
        pytest.skip(str(error))


WORDS = {"east": (1.0, 0.0), "north": (0.0, 1.0), "between": (0.6, 0.8)}


class TableEmbedder:
    """Replaces the model: token embeddings from a table of words."""

    def embed_tokens(self, texts: list[str]) -> list[np.ndarray]:
        return [np.array([WORDS[w] for w in t.split()]).reshape(-1, 2) for t in texts]


def test_maxsim_is_the_mean_over_the_query_of_the_best_cosine() -> None:
    reranker = MaxSim(TableEmbedder())  # type: ignore[arg-type]
    query = asked("east north")
    candidates = [solved("a", "east"), solved("b", "between"), solved("c", "")]
    scores = reranker.score(query, candidates, "question")
    assert scores == pytest.approx([(1 + 0) / 2, (0.6 + 0.8) / 2, 0])


def test_the_same_shape_on_another_database_beats_the_same_topic(maxsim: MaxSim) -> None:
    other_topic = solved("a", "What is the average weight of all planes?")
    other_shape = solved("b", "List the singers whose name contains 'Ann'", SINGERS)
    same, different = maxsim.score(
        asked("What is the average age of all singers?"), [other_topic, other_shape], "question"
    )
    assert same > different


def test_a_question_that_differs_in_names_and_values_alone_scores_one(maxsim: MaxSim) -> None:
    candidates = [solved("a", "Show planes older than 7000")]
    (score,) = maxsim.score(asked("Show singers older than 30"), candidates, "question")
    assert score == pytest.approx(1, abs=1e-5)


def test_maxsim_does_not_depend_on_earlier_calls(maxsim: MaxSim) -> None:
    candidates = [solved("a", "Count the planes"), solved("b", "How heavy is the oldest plane?")]
    first = maxsim.score(asked("How many singers are there?"), candidates, "question")
    maxsim.score(asked("Who is the oldest?"), candidates[::-1], "question")
    assert maxsim.score(asked("How many singers are there?"), candidates, "question") == first


def test_maxsim_by_sql_compares_the_query_with_the_sql_as_it_is() -> None:
    reranker = MaxSim(TableEmbedder())  # type: ignore[arg-type]
    candidates = [replace(solved("a", "east"), sql="north"), replace(solved("b", "north"), sql="east")]
    assert reranker.score(asked("east"), candidates, "sql") == [0, 1]


def tiny_reranker(folder: Path) -> Path:
    """A random Qwen3 whose vocabulary has "yes" and "no" as single tokens, as Qwen3's has."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tiny_tokenizer(tiny_qwen3(folder))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["yes", "no"])
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def yes_no(tmp_path_factory: pytest.TempPathFactory) -> YesNo:
    return YesNo(str(tiny_reranker(tmp_path_factory.mktemp("reranker"))))


CANDIDATES = [solved(str(n), "How many planes are there? " * (n + 1)) for n in range(10)]


def test_a_language_model_gives_one_probability_per_candidate(yes_no: YesNo) -> None:
    scores = yes_no.score(asked("How many singers?"), CANDIDATES, "question")
    assert len(scores) == len(CANDIDATES)
    assert all(0 <= score <= 1 for score in scores)
    assert len(set(scores)) > 1


def test_the_other_candidates_of_a_batch_do_not_change_a_score(yes_no: YesNo) -> None:
    query = asked("How many singers?")
    together = yes_no.score(query, CANDIDATES, "question")
    alone = [yes_no.score(query, [candidate], "question")[0] for candidate in CANDIDATES]
    assert together == pytest.approx(alone, abs=1e-4)


def test_the_score_is_the_probability_of_yes_against_no_after_the_prompt(yes_no: YesNo) -> None:
    import torch

    tokenizer, model = yes_no._tokenizer, yes_no._model
    prompt = yes_no.prompt(asked("q"), CANDIDATES[0], "question")
    ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        logits = model(ids).logits[0, -1]
    words = tokenizer.convert_tokens_to_ids(["no", "yes"])
    expected = logits[words].softmax(0)[1].item()
    assert yes_no.score(asked("q"), CANDIDATES[:1], "question") == pytest.approx([expected], abs=1e-5)


# As the model card of Qwen3-Reranker writes a pair, with the instruction of its example.
CARD = (
    "<|im_start|>system\n"
    "Judge whether the Document meets the requirements based on the Query and the Instruct provided. "
    'Note that the answer can only be "yes" or "no".<|im_end|>\n'
    "<|im_start|>user\n"
    "<Instruct>: Given a web search query, retrieve relevant passages that answer the query\n"
    "<Query>: How many {{singers}}?\n"
    "<Document>: {document}<|im_end|>\n"
    "<|im_start|>assistant\n"
    "<think>\n"
    "\n"
    "</think>\n"
    "\n"
)


@pytest.mark.parametrize(("key", "document"), [("question", "Count planes"), ("sql", "SELECT 1")])
def test_the_prompt_is_the_model_cards_with_the_key_as_document(
    yes_no: YesNo, key: Key, document: str
) -> None:
    text = yes_no.prompt(asked("How many {singers}?"), solved("a", "Count planes"), key)
    assert text == CARD.format(document=document)


def test_the_instruction_of_the_prompt_can_be_another(tmp_path: Path) -> None:
    reranker = YesNo(str(tiny_reranker(tmp_path)), "Find a query of the same form")
    assert "<Instruct>: Find a query of the same form\n" in reranker.prompt(asked("q"), CANDIDATES[0], "sql")


def test_a_model_without_yes_as_one_token_is_refused(tmp_path: Path) -> None:
    tiny_tokenizer(tiny_qwen3(tmp_path))
    with pytest.raises(UserError, match="is not one token"):
        YesNo(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("maxsin", "no folder maxsin; "),
        ("/nowhere/reranker", "no folder /nowhere/reranker; "),
        ("owner/name", "owner/name cannot be loaded .*no such folder here; "),
    ],
)
def test_an_unavailable_reranker_is_refused_with_the_one_that_needs_no_network(name: str, said: str) -> None:
    remedy = r"set retrieve_examples\.reranker to maxsim, .*; then `dvc repro`"
    with pytest.raises(UserError, match=rf"^retrieve_examples\.reranker: {said}.*{remedy}"):
        load_reranker(name, TableEmbedder())  # type: ignore[arg-type]
