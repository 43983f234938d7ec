"""The folder data/index: the vectors of the training questions, and meta.json: how they were made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from text2sql.errors import UserError
from text2sql.files import read_json, write_json
from text2sql.retrieval.index import Hit, build_index, build_on_server, search_index, search_on_server
from text2sql.retrieval.settings import IndexExamples
from text2sql.workstore import hash_path

_DATABASE = "examples.db"
_AGAIN = "`dvc repro --force --single-item index_examples` writes it again"


@dataclass(frozen=True)
class StoredIndex:
    """An index and what the search must know; the vectors are in the folder or on a Milvus server.

    `sha256` is that of the folder's vectors, `collection` their name on the server; the other one is None.
    """

    embedding_model: str
    embedding_revision: str | None
    masked: bool
    batch_size: int
    dimension: int
    milvus_uri: str | None
    collection: str | None
    sha256: str | None


def write_index(folder: Path, ids: Sequence[str], vectors: np.ndarray, settings: IndexExamples) -> None:
    """Write the vectors, shape (number of ids, dimension), and meta.json; Milvus Lite's files go to `folder`.

    Raises:
        UserError: see `build_index` and `build_on_server`.
        OSError: the disk is full.
    """
    collection, sha256 = None, None
    if settings.milvus_uri:
        collection = build_on_server(settings.milvus_uri, ids, vectors)
    else:
        # Milvus Lite 3.2 writes the same bytes for the same rows, so its folder can be the DVC output.
        build_index(folder / _DATABASE, ids, vectors)
        sha256 = hash_path(folder / _DATABASE)
    # The search must use the same model, so it is recorded with the index.
    made = {**settings.model_dump(), "dimension": vectors.shape[1]}
    write_json(folder / "meta.json", asdict(StoredIndex(**made, collection=collection, sha256=sha256)))


def read_index(folder: Path) -> StoredIndex:
    """Read meta.json.

    Raises:
        UserError: the file or a field of it is missing, or it is torn.
    """
    path = folder / "meta.json"
    try:
        meta = read_json(path)
    except UserError as error:
        raise UserError(f"{error}; {_AGAIN}") from error
    if not isinstance(meta, dict):
        raise UserError(f"{path}: not an object; {_AGAIN}")
    if missing := StoredIndex.__dataclass_fields__.keys() - meta:
        raise UserError(f"{path}: {min(missing)} is missing; {_AGAIN}")
    return StoredIndex(**{key: meta[key] for key in StoredIndex.__dataclass_fields__})


def search(folder: Path, stored: StoredIndex, queries: np.ndarray, limit: int) -> list[list[Hit]]:
    """The `limit` nearest rows of each query, see `search_index`; `queries` has shape (n, dimension).

    Raises:
        UserError: the vectors have another dimension, are damaged or missing, or the server fails.
    """
    if queries.shape[1] != stored.dimension:
        raise UserError(
            f"{folder}: its vectors have {stored.dimension} numbers, those of {stored.embedding_model} now "
            f"have {queries.shape[1]}: the model has changed; {_AGAIN}"
        )
    if stored.milvus_uri and stored.collection:
        return search_on_server(stored.milvus_uri, stored.collection, queries, limit)
    if (folder / _DATABASE).is_dir() and hash_path(folder / _DATABASE) != stored.sha256:
        raise UserError(f"{folder / _DATABASE}: incomplete or changed since it was written; {_AGAIN}")
    return search_index(folder / _DATABASE, queries, limit)
