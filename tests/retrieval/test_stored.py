"""The folder of the index, with its vectors in it or on a server."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.milvus_server import milvus_server
from tests.retrieval.test_index import unit_rows
from text2sql.errors import UserError
from text2sql.retrieval.settings import IndexExamples
from text2sql.retrieval.stored import read_index, search, write_index

pytestmark = pytest.mark.slow

SETTINGS = IndexExamples(embedding_model="tiny")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An index of three rows in Milvus Lite."""
    write_index(tmp_path, ["x", "y", "z"], unit_rows(3), SETTINGS)
    return tmp_path


def found(folder: Path, queries: np.ndarray) -> list[list[str]]:
    return [[row_id for row_id, _ in hits] for hits in search(folder, read_index(folder), queries, 1)]


def test_the_vectors_are_found_again(folder: Path) -> None:
    assert found(folder, unit_rows(3)) == [["x"], ["y"], ["z"]]


def test_vectors_on_a_server_are_found_by_what_the_folder_says(tmp_path: Path) -> None:
    with milvus_server(tmp_path / "data") as server:
        settings = SETTINGS.replace(milvus_uri=server.uri)
        write_index(tmp_path / "index", ["x", "y", "z"], unit_rows(3), settings)
        assert [path.name for path in (tmp_path / "index").iterdir()] == ["meta.json"]
        assert found(tmp_path / "index", unit_rows(3)) == [["x"], ["y"], ["z"]]


def test_vectors_of_another_dimension_are_refused_with_both(folder: Path) -> None:
    with pytest.raises(
        UserError, match=r"vectors have 8 numbers, those of tiny now have 4.*dvc repro --force"
    ):
        found(folder, unit_rows(1, dimension=4))


def test_a_truncated_file_is_refused(folder: Path) -> None:
    largest = max((p for p in folder.rglob("*") if p.is_file()), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-7])
    with pytest.raises(
        UserError, match=r"examples\.db: incomplete or changed since it was written; `dvc repro"
    ):
        found(folder, unit_rows(1))


def test_a_missing_file_is_refused(folder: Path) -> None:
    next(folder.rglob("*.parquet")).unlink()
    with pytest.raises(UserError, match=r"examples\.db: incomplete or changed"):
        found(folder, unit_rows(1))


@pytest.mark.parametrize("field", ["embedding_model", "dimension", "sha256"])
def test_a_missing_field_is_named(folder: Path, field: str) -> None:
    meta = json.loads((folder / "meta.json").read_text())
    del meta[field]
    (folder / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(UserError, match=rf"meta\.json: {field} is missing; `dvc repro"):
        read_index(folder)


@pytest.mark.parametrize("text", ["", '{"dimension": ', "null", "3"])
def test_a_torn_description_is_named_with_the_next_command(tmp_path: Path, text: str) -> None:
    (tmp_path / "meta.json").write_text(text)
    with pytest.raises(UserError, match=r"meta\.json.*`dvc repro --force --single-item index_examples`"):
        read_index(tmp_path)
