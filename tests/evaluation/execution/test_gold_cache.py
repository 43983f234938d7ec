"""Gold results are found again, unless something differs."""

from __future__ import annotations

from pathlib import Path

import pytest

from text2sql.errors import UserError
from text2sql.evaluation.execution.gold_cache import GoldCache

ROWS = [(1, None, 2.5, "é", b"\xff"), (2**62, "", float("inf"), "\ud800", b"")]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "db.sqlite"
    path.write_bytes(b"content")
    return path


def test_rows_of_every_type_come_back_as_they_were(tmp_path: Path, database: Path) -> None:
    GoldCache(tmp_path / "new/gold.sqlite", 10).put(database, "SELECT 1", ROWS)
    found = GoldCache(tmp_path / "new/gold.sqlite", 10).get(database, "SELECT 1")
    assert found == ROWS
    assert found is not None and [type(value) for value in found[0]] == [int, type(None), float, str, bytes]


def test_a_query_without_rows_is_kept_too(tmp_path: Path, database: Path) -> None:
    cache = GoldCache(tmp_path / "gold.sqlite", 10)
    assert cache.get(database, "SELECT 1") is None
    cache.put(database, "SELECT 1", [])
    assert cache.get(database, "SELECT 1") == []


def test_another_query_or_limit_or_database_is_not_found(tmp_path: Path, database: Path) -> None:
    GoldCache(tmp_path / "gold.sqlite", 10).put(database, "SELECT 1", ROWS)
    other = tmp_path / "other.sqlite"
    other.write_bytes(b"other content")
    assert GoldCache(tmp_path / "gold.sqlite", 10).get(database, "SELECT 2") is None
    assert GoldCache(tmp_path / "gold.sqlite", 11).get(database, "SELECT 1") is None
    assert GoldCache(tmp_path / "gold.sqlite", 10).get(other, "SELECT 1") is None


def test_two_processes_may_keep_the_same_result(tmp_path: Path, database: Path) -> None:
    first, second = (GoldCache(tmp_path / "gold.sqlite", 10) for _ in range(2))
    first.put(database, "SELECT 1", ROWS)
    second.put(database, "SELECT 1", ROWS)
    assert second.get(database, "SELECT 1") == ROWS


def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "gold.sqlite"
    path.write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    with pytest.raises(UserError, match=r"gold\.sqlite.*delete the file"):
        GoldCache(path, 10)


def test_a_full_disk_is_named_with_what_to_do(small_disk: Path, database: Path) -> None:
    cache = GoldCache(small_disk / "gold.sqlite", 10)
    with pytest.raises(
        UserError, match=r"gold\.sqlite: database or disk is full; free some space .* run the"
    ):
        cache.put(database, "SELECT 1", [(f"{n}" * 400,) for n in range(1000)])
    cache.put(database, "SELECT 2", ROWS)
    assert cache.get(database, "SELECT 1") is None and cache.get(database, "SELECT 2") == ROWS


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/gold\.sqlite: .*; fix that, then run the same command"):
        GoldCache(tmp_path / "file" / "gold.sqlite", 10)
