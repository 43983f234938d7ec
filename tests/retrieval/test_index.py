"""The nearest-neighbour index: exact, reproducible, and not changed by a search."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.milvus_server import MilvusServer, milvus_server
from text2sql.errors import UserError
from text2sql.retrieval import index
from text2sql.retrieval.index import (
    build_index,
    build_on_server,
    collection_name,
    search_index,
    search_on_server,
)
from text2sql.workstore import hash_path

pytestmark = pytest.mark.slow

pytest.importorskip("milvus_lite", reason="milvus-lite is not installed")


def unit_rows(count: int, seed: int = 0, dimension: int = 8) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_the_nearest_rows_are_those_of_a_full_comparison(tmp_path: Path) -> None:
    vectors, queries = unit_rows(700), unit_rows(600, seed=1)  # more than one batch of each
    ids = [f"r{n:03}" for n in range(700)]
    build_index(tmp_path / "a.db", ids, vectors)
    found = search_index(tmp_path / "a.db", queries, 5)
    expected = np.argsort(-(queries @ vectors.T), axis=1)[:, :5]
    assert [[i for i, _ in hits] for hits in found] == [[ids[n] for n in row] for row in expected]


def test_fewer_queries_are_searched_at_a_time_where_rows_are_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pymilvus import MilvusClient

    vectors, queries = unit_rows(700), unit_rows(30, seed=1)
    build_index(tmp_path / "a.db", [f"r{n:03}" for n in range(700)], vectors)
    at_once = search_index(tmp_path / "a.db", queries, 5)
    sizes: list[int] = []
    monkeypatch.setattr(index, "_SCORES", 7_000)
    monkeypatch.setattr(MilvusClient, "search", _counting(MilvusClient.search, sizes))
    assert search_index(tmp_path / "a.db", queries, 5) == at_once
    assert max(sizes) == 10
    monkeypatch.setattr(index, "_SCORES", 1)
    sizes.clear()
    assert search_index(tmp_path / "a.db", queries[:2], 5) == at_once[:2]
    assert max(sizes) == 1


def _counting(search: Callable[..., Any], sizes: list[int]) -> Callable[..., Any]:
    def counted(client: Any, name: str, queries: list[list[float]], **options: Any) -> Any:
        sizes.append(len(queries))
        return search(client, name, queries, **options)

    return counted


def test_scores_are_cosines(tmp_path: Path) -> None:
    build_index(tmp_path / "a.db", ["x", "y"], np.eye(2, dtype=np.float32))
    query = np.array([[0.6, 0.8]], dtype=np.float32)
    assert search_index(tmp_path / "a.db", query, 2) == [[("y", 0.8), ("x", 0.6)]]


def test_ties_are_ordered_by_id_in_any_order_of_the_rows(tmp_path: Path) -> None:
    same = np.repeat(unit_rows(1), 40, axis=0)
    ids = [f"r{n:02}" for n in np.random.default_rng(0).permutation(40)]
    build_index(tmp_path / "a.db", ids, same)
    (hits,) = search_index(tmp_path / "a.db", same[:1], 3)
    assert [row_id for row_id, _ in hits] == ["r00", "r01", "r02"]


def test_a_tie_across_the_limit_is_decided_by_id(tmp_path: Path) -> None:
    near, far = np.eye(2, dtype=np.float32)
    vectors = np.stack([far, near, near, near, far])
    build_index(tmp_path / "a.db", ["a", "d", "c", "b", "e"], vectors)
    (hits,) = search_index(tmp_path / "a.db", near[None], 1)
    assert hits == [("b", 1.0)]


def test_an_index_with_fewer_rows_than_the_limit_gives_all_of_them(tmp_path: Path) -> None:
    build_index(tmp_path / "a.db", ["x", "y"], unit_rows(2))
    assert len(search_index(tmp_path / "a.db", unit_rows(1), 50)[0]) == 2


def test_two_builds_are_equal_file_by_file(tmp_path: Path) -> None:
    ids = [f"r{n}" for n in range(50)]
    for name in ("a", "b"):
        build_index(tmp_path / name / "examples.db", ids, unit_rows(50))
    assert hash_path(tmp_path / "a") == hash_path(tmp_path / "b")


def test_a_search_leaves_the_index_as_it_was(tmp_path: Path) -> None:
    build_index(tmp_path / "a.db", ["x", "y"], unit_rows(2))
    before = hash_path(tmp_path / "a.db")
    search_index(tmp_path / "a.db", unit_rows(1), 1)
    assert hash_path(tmp_path / "a.db") == before


def test_an_index_without_its_empty_folders_still_opens(tmp_path: Path) -> None:
    # DVC does not keep empty folders.
    build_index(tmp_path / "a.db", ["x", "y"], unit_rows(2))
    for folder in sorted((tmp_path / "a.db").rglob("*"), reverse=True):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    assert len(search_index(tmp_path / "a.db", unit_rows(1), 2)[0]) == 2


def test_a_new_build_replaces_the_old_index(tmp_path: Path) -> None:
    build_index(tmp_path / "a.db", ["old"], unit_rows(1))
    build_index(tmp_path / "a.db", ["new"], unit_rows(1))
    (hits,) = search_index(tmp_path / "a.db", unit_rows(1), 5)
    assert [row_id for row_id, _ in hits] == ["new"]


@pytest.mark.parametrize("ids", [[], ["x", "x"]])
def test_no_ids_or_repeated_ids_are_refused(tmp_path: Path, ids: list[str]) -> None:
    with pytest.raises(UserError, match=r"rows\.jsonl"):
        build_index(tmp_path / "a.db", ids, unit_rows(len(ids)))


def test_a_missing_index_is_named_with_the_command_that_creates_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.db: no such index.*dvc repro index_examples"):
        search_index(tmp_path / "a.db", unit_rows(1), 1)


def test_a_full_disk_is_named(small_disk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ids = [str(number) for number in range(2000)]
    with pytest.raises(OSError, match="No space") as error:
        build_index(small_disk / "examples.db", ids, np.ones((2000, 64), dtype=np.float32))
    assert error.value.filename == str(small_disk / "examples.db")
    assert capfd.readouterr().err == ""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusServer]:
    with milvus_server(tmp_path_factory.mktemp("milvus")) as running:
        yield running


def test_a_server_finds_what_milvus_lite_finds(server: MilvusServer, tmp_path: Path) -> None:
    ids, vectors, queries = [f"r{n}" for n in range(600)], unit_rows(600), unit_rows(20, seed=1)
    build_index(tmp_path / "a.db", ids, vectors)
    name = build_on_server(server.uri, ids, vectors)
    assert search_on_server(server.uri, name, queries, 5) == search_index(tmp_path / "a.db", queries, 5)


def test_the_same_rows_are_not_inserted_twice(server: MilvusServer, monkeypatch: pytest.MonkeyPatch) -> None:
    name = build_on_server(server.uri, ["x", "y"], unit_rows(2))
    monkeypatch.setattr(index, "_fill", lambda *arguments: pytest.fail("filled again"))
    assert build_on_server(server.uri, ["x", "y"], unit_rows(2)) == name


def test_a_collection_that_a_killed_run_left_is_filled_anew(server: MilvusServer) -> None:
    ids, vectors = ["x", "y", "z"], unit_rows(3, seed=5)
    name = collection_name(ids, vectors)
    with index._server(server.uri) as client:
        index._fill(client, name, ids[:1], vectors[:1])
    assert build_on_server(server.uri, ids, vectors) == name
    assert len(search_on_server(server.uri, name, vectors[:1], 5)[0]) == 3


def test_other_rows_get_another_collection_and_leave_the_first(server: MilvusServer) -> None:
    first = build_on_server(server.uri, ["x"], unit_rows(1))
    second = build_on_server(server.uri, ["other"], unit_rows(1))
    assert first != second
    assert [search_on_server(server.uri, name, unit_rows(1), 1)[0][0][0] for name in (first, second)] == [
        "x",
        "other",
    ]


def test_a_missing_collection_is_named_with_the_command_that_writes_it(server: MilvusServer) -> None:
    with pytest.raises(UserError, match=r"no collection text2sql_0; `dvc repro --force --single-item index"):
        search_on_server(server.uri, "text2sql_0", unit_rows(1), 1)


def test_a_server_that_goes_away_midway_is_named_with_the_next_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_REQUEST_S", 5.0)
    ids, vectors = [str(n) for n in range(2000)], unit_rows(2000)
    with milvus_server(tmp_path / "data") as server:
        create = index._create_collection

        def create_and_kill(*arguments: object) -> None:
            create(*arguments)  # type: ignore[arg-type]
            server.kill()

        monkeypatch.setattr(index, "_create_collection", create_and_kill)
        with pytest.raises(UserError, match=rf"Milvus server {server.uri}: .*; start it .*`dvc repro`"):
            build_on_server(server.uri, ids, vectors)


def test_a_server_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "_REQUEST_S", 2.0)
    with pytest.raises(
        UserError, match=r"Milvus server http://127\.0\.0\.1:9: .*set index_examples\.milvus_uri"
    ):
        search_on_server("http://127.0.0.1:9", "text2sql_0", unit_rows(1), 1)


def test_processes_that_are_started_after_a_search_end_well(tmp_path: Path) -> None:
    build_index(tmp_path / "a.db", ["r0", "r1"], unit_rows(2, dimension=3))
    code = (
        "import subprocess, sys; from pathlib import Path; import numpy as np\n"
        "from text2sql.retrieval.index import search_index\n"
        "search_index(Path(sys.argv[1]), np.eye(1, 3, dtype='float32'), 1)\n"
        "begun = [subprocess.Popen(['true'], preexec_fn=lambda: None) for _ in range(100)]\n"
        "print(sum(one.wait() != 0 for one in begun))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.db")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.stdout == "0\n", done.stderr
