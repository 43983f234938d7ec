"""Database files are found wherever users keep them."""

from __future__ import annotations

from pathlib import Path

import pytest

from text2sql.schema.database_files import database_ids, find_database, is_database_id


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize("name", ["a/a.sqlite", "a/a.db", "a/a.sqlite3", "a.sqlite", "a.db", "a.sqlite3"])
def test_a_database_is_found_flat_or_in_a_folder_of_its_own(name: str, tmp_path: Path) -> None:
    write(tmp_path, name, "notes.txt", "b/c.sqlite", "d/d.csv")
    assert database_ids(tmp_path) == ["a"]
    assert find_database(tmp_path, "a") == tmp_path / name


def test_of_several_files_the_one_in_its_own_folder_comes_first(tmp_path: Path) -> None:
    write(tmp_path, "a.sqlite", "a/a.db", "b.db", "b.sqlite")
    assert database_ids(tmp_path) == ["a", "b"]
    found = [find_database(tmp_path, db_id) for db_id in ("a", "b", "c")]
    assert found == [tmp_path / "a/a.db", tmp_path / "b.sqlite", tmp_path / "c/c.sqlite"]


def test_a_missing_folder_has_no_database(tmp_path: Path) -> None:
    assert database_ids(tmp_path / "none") == []


@pytest.mark.parametrize("text", ["", ".", "..", "../a", "a/b", "a\\b", "a\0"])
def test_a_database_cannot_have_a_name_that_leaves_the_folder(text: str) -> None:
    assert not is_database_id(text)
    assert is_database_id("a b.c-d")
