"""An exact nearest-neighbour index in Milvus Lite (a folder whose name ends in `.db`).

The search is exact (FLAT): a few thousand questions need no approximation, whose errors would affect the
few-shot arms. The inner product of vectors of length one is their cosine.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from text2sql.errors import UserError
from text2sql.files import copy_folder

if TYPE_CHECKING:
    from pymilvus import MilvusClient

Hit = tuple[str, float]  # row id, cosine

_COLLECTION = "examples"
_METRIC = "IP"
_BATCH = 500
# Scores that are equal to this many digits are a tie, decided by id. From the seventh digit on a score
# depends on the number of threads; rounding well before that keeps nearly all results the same.
DIGITS = 4


def build_index(path: Path, ids: Sequence[str], vectors: np.ndarray) -> None:
    """Write a new index of float32 `vectors`, shape (number of ids, dimension), to `path`.

    Two builds from the same input give equal files.

    Raises:
        UserError: there are no ids, or an id is repeated.
        OSError: the disk is full.
    """
    if not ids or len(set(ids)) != len(ids):
        raise UserError(
            f"{path}: {len(ids)} ids, {len(set(ids))} distinct; check the ids in train/rows.jsonl"
        )
    shutil.rmtree(path, ignore_errors=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _client(path) as client:
        _create_collection(client, max(len(i.encode()) for i in ids), vectors.shape[1])
        for start in range(0, len(ids), _BATCH):
            part = zip(ids[start : start + _BATCH], vectors[start : start + _BATCH], strict=True)
            client.insert(_COLLECTION, [{"id": i, "vector": v.tolist()} for i, v in part])
        client.flush(_COLLECTION)


def search_index(path: Path, queries: np.ndarray, limit: int) -> list[list[Hit]]:
    """Find the `limit` nearest rows of each query, nearest first, equal cosines ordered by id.

    `queries` is float32 of shape (n, dimension), with rows of length one. Only an index with fewer rows gives
    fewer hits.

    Raises:
        UserError: there is no index at `path`.
        OSError: the disk of temporary files is full.
    """
    if not path.is_dir():
        raise UserError(f"{path}: no such index; `dvc repro index_examples` creates it")
    # Milvus Lite writes into the folder that it opens, and this one is an output of DVC.
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "copy.db"
        copy_folder(path, copy)
        with _client(copy) as client:
            client.load_collection(_COLLECTION)
            parts = [queries[i : i + _BATCH] for i in range(0, len(queries), _BATCH)]
            return [hits for part in parts for hits in _search(client, part, limit)]


@contextmanager
def _client(path: Path) -> Iterator[MilvusClient]:
    """A client of the index at `path`.

    Raises:
        OSError: the disk is full.
    """
    from milvus_lite.server_manager import server_manager_instance
    from pymilvus import MilvusClient, MilvusException

    for name in ("pymilvus", "milvus_lite"):  # they print what they raise
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        client = MilvusClient(str(path))
        try:
            yield client
        finally:
            client.close()
            # After closing the client the in-process server would keep the folder open until the program
            # ends.
            server_manager_instance.release_server(str(path))
    except MilvusException as error:
        full = os.strerror(errno.ENOSPC)
        if full in str(error):
            raise OSError(errno.ENOSPC, full, str(path)) from error
        raise


def _create_collection(client: MilvusClient, id_length: int, dimension: int) -> None:
    from pymilvus import DataType

    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=id_length)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
    index = client.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type=_METRIC)
    client.create_collection(_COLLECTION, schema=schema, index_params=index)


def _search(client: MilvusClient, queries: np.ndarray, limit: int) -> list[list[Hit]]:
    """Search for more than `limit` hits until no tie crosses the limit, then order ties by id."""
    rows = int(client.get_collection_stats(_COLLECTION)["row_count"])
    wanted = min(rows, limit + 1)
    while True:
        found = client.search(
            _COLLECTION, queries.tolist(), limit=wanted, search_params={"metric_type": _METRIC}
        )
        lists = [[_hit(raw) for raw in hits] for hits in found]
        if wanted == rows or all(hits[limit - 1][1] > hits[-1][1] for hits in lists):
            return [sorted(hits, key=lambda hit: (-hit[1], hit[0]))[:limit] for hits in lists]
        wanted = min(rows, 2 * wanted)


def _hit(raw: dict[str, Any]) -> Hit:
    return str(raw["id"]), round(float(raw["distance"]), DIGITS)
