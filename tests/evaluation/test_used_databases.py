"""The description of the databases that scores were measured on."""

from __future__ import annotations

from pathlib import Path

import pytest

from text2sql.evaluation.used_databases import UsedDatabases, used_databases


def write(folder: Path, **files: str) -> None:
    """Write files: `a__b` is a/b.sqlite, `a` is a.sqlite."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.sqlite"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"SQLite format 3\0" + text.encode())


def used(folder: Path, *db_ids: str, suites: bool = True) -> UsedDatabases:
    return used_databases(folder, [(db_id, "SELECT 1") for db_id in db_ids], suites)


def test_the_files_of_the_named_databases_count(tmp_path: Path) -> None:
    write(tmp_path, a__a="1", b__b="2", b__b1="3", b__b2="4", c__c="5")
    assert (used(tmp_path, "a").files, used(tmp_path, "a").per_question()) == (1, "1 database")
    assert (used(tmp_path, "b").files, used(tmp_path, "b").per_question()) == (3, "3 databases")
    assert used(tmp_path, "a", "b").per_question() == "1 to 3 databases"
    assert used(tmp_path, "a", "b", suites=False).per_question() == "1 database"


def test_missing_databases_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, a__a="1")
    assert used(tmp_path, "a", "x") == used(tmp_path, "a")
    assert used(tmp_path, "x").as_json()["per_question"] == {"fewest": 0, "most": 0}


@pytest.mark.parametrize("suites", [True, False])
def test_the_hash_depends_on_ids_and_bytes_and_not_on_the_place(tmp_path: Path, suites: bool) -> None:
    write(tmp_path / "one", a__a="1", b__b="2")
    write(tmp_path / "two", a="1", b="2")
    write(tmp_path / "three", a="2", b="1")
    one, two, three = (used(tmp_path / name, "b", "a", suites=suites) for name in ("one", "two", "three"))
    assert one == two
    assert one.sha256 != three.sha256
    assert one.sha256 != used(tmp_path / "one", "a", suites=suites).sha256
