"""Reranks retrieved examples: scores each candidate against the question, by its question or by its SQL."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from text2sql.claims import hold_gpus
from text2sql.devices import quiet_transformers, torch_device
from text2sql.errors import UserError
from text2sql.records import ConvertedQuestion, TrainingRow
from text2sql.retrieval.embed import Embedder, cannot_load, last_token
from text2sql.retrieval.mask import mask_question
from text2sql.retrieval.settings import MAXSIM, WEB_SEARCH, Ranking, require_model

# The prompt format of Qwen3-Reranker (its model card, usage with transformers): the answer is the token
# after an empty thought.
_PROMPT = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and "
    'the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n'
    "<|im_start|>user\n<Instruct>: {instruct}\n<Query>: {query}\n<Document>: {document}<|im_end|>\n"
    "<|im_start|>assistant\n<think>\n\n</think>\n\n"
)
_BATCH = 8
_SETTING = "retrieve_examples.reranker"

Key = Literal["question", "sql"]
"""The part of a candidate that is compared with the question."""
KEYS: dict[Ranking, Key] = {"rerank": "question", "rerank_sql": "sql"}


class Reranker(Protocol):
    """Scores how well solved training rows fit a question as examples."""

    def prepare(
        self, queries: Sequence[ConvertedQuestion], candidates: Sequence[TrainingRow], key: Key
    ) -> None:
        """Do work for these rows in batches that `score` would do one by one.

        Scores without this call differ by rounding only.
        """

    def score(self, query: ConvertedQuestion, candidates: Sequence[TrainingRow], key: Key) -> list[float]:
        """One score per candidate, higher is better; comparable within one call only."""


class MaxSim:
    """Late interaction over token embeddings of masked questions (see `mask_question`), or of SQL as it is.

    The score is the mean, over the word pieces of the query, of the highest cosine with a word piece of the
    candidate: Khattab & Zaharia 2020 (ColBERT, arXiv:2004.12832), divided by the query's length.
    Not covered: the encoder was trained for whole sentences, not for late interaction or SQL.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._known: dict[str, np.ndarray] = {}

    def prepare(
        self, queries: Sequence[ConvertedQuestion], candidates: Sequence[TrainingRow], key: Key
    ) -> None:
        """Embed the word pieces of all rows, in batches of similar length."""
        self._tokens([*map(_masked, queries), *(_compared(row, key) for row in candidates)])

    def score(self, query: ConvertedQuestion, candidates: Sequence[TrainingRow], key: Key) -> list[float]:
        """Mean highest cosine of each candidate, in [-1, 1]."""
        texts = [_masked(query), *(_compared(row, key) for row in candidates)]
        of_query, *of_candidates = self._tokens(texts)
        return [_mean_best_cosine(of_query, vectors) for vectors in of_candidates]

    def _tokens(self, texts: Sequence[str]) -> list[np.ndarray]:
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            self._known.update(zip(new, self._embedder.embed_tokens(new), strict=True))
        return [self._known[text] for text in texts]


class YesNo:
    """Asks a causal language model whether an example fits; the score is the probability of "yes".

    Follows Qwen3-Reranker (Zhang et al. 2025, arXiv:2506.05176) and its model card: softmax over the logits
    of "yes" and "no". Weights are float32. Not covered: prompts longer than the model's context are not cut.
    """

    def __init__(self, name: str, instruction: str = WEB_SEARCH, revision: str | None = None) -> None:
        """Load a local folder or hub id; `instruction` says in the prompt what a fitting document is.

        Raises:
            UserError: the model is not available, or "yes" or "no" is not one token.
        """
        quiet_transformers()
        self._instruction = instruction
        options = {"local_files_only": Path(name).is_dir(), "revision": revision}
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(name, padding_side="right", **options)
            model = AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32, **options)
        except OSError as error:
            raise cannot_load(_SETTING, name, MAXSIM, error) from error
        hold_gpus(1, "rerank")
        self._model = model.eval().to(torch_device())
        self._answers = [_single_token(self._tokenizer, name, word) for word in ("no", "yes")]

    def prepare(
        self, queries: Sequence[ConvertedQuestion], candidates: Sequence[TrainingRow], key: Key
    ) -> None:
        """Do nothing: rows are scored in pairs only."""

    def score(self, query: ConvertedQuestion, candidates: Sequence[TrainingRow], key: Key) -> list[float]:
        """Probability of "yes" against "no" for each candidate, in [0, 1]."""
        prompts = [self.prompt(query, candidate, key) for candidate in candidates]
        batches = [prompts[i : i + _BATCH] for i in range(0, len(prompts), _BATCH)]
        return [score for batch in batches for score in self._score(batch)]

    def prompt(self, query: ConvertedQuestion, candidate: TrainingRow, key: Key) -> str:
        """The prompt of one pair."""
        document = candidate.question if key == "question" else candidate.sql
        return _PROMPT.format(instruct=self._instruction, query=query.question, document=document)

    @torch.inference_mode()
    def _score(self, prompts: list[str]) -> list[float]:
        batch = self._tokenizer(prompts, padding=True, add_special_tokens=False, return_tensors="pt").to(
            self._model.device
        )
        ids, mask = batch["input_ids"], batch["attention_mask"]
        # The output layer is applied to the last position only, because the vocabulary is large.
        states = self._model.base_model(input_ids=ids, attention_mask=mask).last_hidden_state
        logits = self._model.get_output_embeddings()(last_token(states, mask))
        scores: list[float] = logits[:, self._answers].float().softmax(dim=-1)[:, 1].tolist()
        return scores


def load_reranker(
    name: str, embedder: Embedder, instruction: str = WEB_SEARCH, revision: str | None = None
) -> Reranker:
    """`MaxSim` with `embedder` for "maxsim", otherwise the language model with this hub id or path.

    Raises:
        UserError: there is no such model, see `require_model` and `YesNo`.
    """
    require_model(_SETTING, name, MAXSIM)
    return MaxSim(embedder) if name == MAXSIM else YesNo(name, instruction, revision)


def _compared(row: TrainingRow, key: Key) -> str:
    return _masked(row) if key == "question" else row.sql


def _masked(row: ConvertedQuestion | TrainingRow) -> str:
    return mask_question(row.question, row.ddl)


def _single_token(tokenizer: Any, name: str, word: str) -> int:
    ids = tokenizer(word, add_special_tokens=False)["input_ids"]
    if len(ids) != 1:
        raise UserError(
            f"reranker {name}: {word!r} is not one token of its vocabulary, so it is not a reranker; "
            f"set {_SETTING} to {MAXSIM}"
        )
    return int(ids[0])


def _mean_best_cosine(query: np.ndarray, candidate: np.ndarray) -> float:
    """Of two arrays of word pieces, (n, d) and (m, d)."""
    if not len(query) or not len(candidate):
        return 0.0  # a text without word pieces
    return float((query @ candidate.T).max(axis=1).mean())
