"""An exact nearest-neighbour index in Milvus: Milvus Lite (a folder whose name ends in `.db`) or a server.

The search is exact (FLAT): a few hundred thousand questions need no approximation, whose errors would affect
the few-shot arms. The inner product of vectors of length one is their cosine.
"""

from __future__ import annotations

import errno
import hashlib
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

# Read when grpc, which Milvus uses, is imported. Its handlers of fork() can end a process that is started
# after a search (doc/environment_variables.md in grpc/grpc), and none of those uses grpc.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

Hit = tuple[str, float]  # row id, cosine

_COLLECTION = "examples"  # in a folder of Milvus Lite; for those of a server see `collection_name`
_METRIC = "IP"
_ROWS = 500  # inserted at a time
_QUERIES = 512  # searched at a time at most; each time Milvus Lite looks at every id, in Python
_SCORES = 1 << 26  # computed at a time at most; Milvus Lite holds them, 8 bytes each
_MARGIN = 8  # hits beyond the limit, so that few queries have a tie across it and are searched again
_MOST = 16_384  # hits of one search, a limit of Milvus servers
_REQUEST_S = 120.0  # the longest that a server may take for one request; pymilvus tries again until then
# Scores that are equal to this many digits are a tie, decided by id. From the seventh digit on a score
# depends on the number of threads; rounding well before that keeps nearly all results the same.
DIGITS = 4


def build_index(path: Path, ids: Sequence[str], vectors: np.ndarray) -> None:
    """Write a new Milvus Lite index of float32 `vectors`, shape (number of ids, dimension), to `path`.

    Two builds from the same input give equal files.

    Raises:
        UserError: there are no ids, or an id is repeated.
        OSError: the disk is full.
    """
    _check_ids(ids)
    shutil.rmtree(path, ignore_errors=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _folder(path) as client:
        _fill(client, _COLLECTION, ids, vectors)


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
        with _folder(copy) as client:
            return _search(client, _COLLECTION, queries, limit)


def require_server(uri: str) -> None:
    """Ask the Milvus server at `uri` something, so that long work for it is not in vain.

    Not covered: a server that goes away later.

    Raises:
        UserError: the server cannot be reached or refuses the request.
    """
    with _server(uri) as client:
        client.has_collection(_COLLECTION, timeout=_REQUEST_S)


def build_on_server(uri: str, ids: Sequence[str], vectors: np.ndarray) -> str:
    """Write the vectors to the Milvus server at `uri`; returns the name of the collection.

    The name is made of the content, so no collection of others is touched, and a complete one is used again.
    One that a killed run left incomplete is dropped and filled anew. MILVUS_TOKEN has user and password.

    Raises:
        UserError: see `build_index`; or the server cannot be reached, goes away or refuses a request.
    """
    _check_ids(ids)
    name = collection_name(ids, vectors)
    with _server(uri) as client:
        if client.has_collection(name, timeout=_REQUEST_S):
            if _rows(client, name) == len(ids):
                return name
            client.drop_collection(name, timeout=_REQUEST_S)
        _fill(client, name, ids, vectors)
    return name


def search_on_server(uri: str, name: str, queries: np.ndarray, limit: int) -> list[list[Hit]]:
    """As `search_index`, in a collection of the Milvus server at `uri`.

    Raises:
        UserError: there is no such collection; or the server cannot be reached, goes away or refuses a
            request.
    """
    with _server(uri) as client:
        if not client.has_collection(name, timeout=_REQUEST_S):
            again = "`dvc repro --force --single-item index_examples` writes it again"
            raise UserError(f"Milvus server {uri}: no collection {name}; {again}")
        return _search(client, name, queries, limit)


def collection_name(ids: Sequence[str], vectors: np.ndarray) -> str:
    """The name of a server's collection with these rows: text2sql_ and 32 hex digits of their SHA-256."""
    digest = hashlib.sha256("\0".join(ids).encode())
    digest.update(np.ascontiguousarray(vectors, dtype="<f4").tobytes())
    return f"text2sql_{digest.hexdigest()[:32]}"


def _check_ids(ids: Sequence[str]) -> None:
    if not ids or len(set(ids)) != len(ids):
        raise UserError(
            f"index of examples: {len(ids)} ids, {len(set(ids))} distinct; check the ids in train/rows.jsonl"
        )


@contextmanager
def _folder(path: Path) -> Iterator[MilvusClient]:
    """A client of the Milvus Lite index at `path`.

    Raises:
        OSError: the disk is full.
    """
    from milvus_lite.server_manager import server_manager_instance
    from pymilvus import MilvusClient, MilvusException

    _quiet()
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


@contextmanager
def _server(uri: str) -> Iterator[MilvusClient]:
    """A client of the server at `uri`.

    Raises:
        UserError: the server cannot be reached, goes away or refuses a request.
    """
    from grpc import RpcError  # type: ignore[import-untyped]
    from pymilvus import MilvusClient, MilvusException

    _quiet()
    try:
        client = MilvusClient(uri, token=os.environ.get("MILVUS_TOKEN", ""), timeout=_REQUEST_S)
        try:
            yield client
        finally:
            client.close()
    except (MilvusException, RpcError) as error:
        said = getattr(error, "message", None) or str(error)
        raise UserError(
            f"Milvus server {uri}: {said.strip().splitlines()[0]}; start it (docs/retrieval.md), then "
            "`dvc repro`; or set index_examples.milvus_uri to null, which needs no server"
        ) from error


def _quiet() -> None:
    for name in ("pymilvus", "milvus_lite"):  # they print what they raise
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _fill(client: MilvusClient, collection: str, ids: Sequence[str], vectors: np.ndarray) -> None:
    _create_collection(client, collection, max(len(i.encode()) for i in ids), vectors.shape[1])
    for start in range(0, len(ids), _ROWS):
        part = zip(ids[start : start + _ROWS], vectors[start : start + _ROWS], strict=True)
        rows = [{"id": i, "vector": v.tolist()} for i, v in part]
        client.insert(collection, rows, timeout=_REQUEST_S)
    client.flush(collection, timeout=_REQUEST_S)


def _create_collection(client: MilvusClient, name: str, id_length: int, dimension: int) -> None:
    from pymilvus import DataType

    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=id_length)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
    index = client.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type=_METRIC)
    client.create_collection(name, schema=schema, index_params=index, timeout=_REQUEST_S)


def _rows(client: MilvusClient, collection: str) -> int:
    return int(client.get_collection_stats(collection, timeout=_REQUEST_S)["row_count"])


def _search(client: MilvusClient, collection: str, queries: np.ndarray, limit: int) -> list[list[Hit]]:
    """Search for more than `limit` hits until no tie crosses the limit, then order ties by id."""
    client.load_collection(collection, timeout=_REQUEST_S)
    rows = _rows(client, collection)
    most, batch = min(rows, _MOST), max(1, min(_QUERIES, _SCORES // max(rows, 1)))
    wanted = min(most, limit + _MARGIN)
    found: dict[int, list[Hit]] = {}
    while waiting := [number for number in range(len(queries)) if number not in found]:
        answers = _hits(client, collection, queries[waiting], wanted, batch)
        for number, hits in zip(waiting, answers, strict=True):
            if wanted == most or hits[limit - 1][1] > hits[-1][1]:
                found[number] = sorted(hits, key=lambda hit: (-hit[1], hit[0]))[:limit]
        wanted = min(most, 4 * wanted)
    return [found[number] for number in range(len(queries))]


def _hits(
    client: MilvusClient, collection: str, queries: np.ndarray, wanted: int, batch: int
) -> Iterator[list[Hit]]:
    """The `wanted` nearest rows of each query, ties in any order; `batch` queries are searched at a time."""
    for start in range(0, len(queries), batch):
        found = client.search(
            collection,
            queries[start : start + batch].tolist(),
            limit=wanted,
            output_fields=["id"],  # without them Milvus Lite sends the vectors of all hits too
            search_params={"metric_type": _METRIC},
            consistency_level="Strong",  # a server sees all rows that were inserted
            timeout=_REQUEST_S,
        )
        yield from ([_hit(raw) for raw in hits] for hits in found)


def _hit(raw: dict[str, Any]) -> Hit:
    return str(raw["id"]), round(float(raw["distance"]), DIGITS)
