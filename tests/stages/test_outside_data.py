"""Stage outside_data: a hash for each outside file that fetch_data may read."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from stages.outside_data import main
from tests.small_raw import failure, run_stage, write_params
from text2sql.preparation import outside_data
from text2sql.preparation.outside_data import content_hashes, outside_files
from text2sql.preparation.settings import FetchData, QuestionFile

SETS: dict[str, Any] = {
    "first": {"file": "a/questions.csv", "databases": "dbs"},
    "second": {"file": "b/questions.jsonl", "tables": "tables.json"},
}
TEA = hashlib.sha256(b"tea").hexdigest()


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of outside data; the current folder is an empty project."""
    folder = tmp_path / "outside"
    for name in (
        "a/questions.csv",
        "b/questions.jsonl",
        "tables.json",
        "dbs/x/x.sqlite",
        "dbs/y.db",
        "dbs/n",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("tea")
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("TEXT2SQL_DATA", str(folder))
    monkeypatch.delenv("TEXT2SQL_REAL_DATA", raising=False)
    monkeypatch.setenv("TEXT2SQL_WORK", str(tmp_path / "work"))
    return folder


def hashes(**fetch_data: object) -> dict[str, str | None]:
    write_params(Path(), fetch_data=fetch_data)
    run_stage(main, output="data/outside.json")
    return json.loads(Path("data/outside.json").read_text())


def test_every_file_of_the_test_sets_is_hashed(outside: Path) -> None:
    names = ["a/questions.csv", "dbs/x/x.sqlite", "dbs/y.db", "b/questions.jsonl", "tables.json"]
    assert hashes(test=SETS) == dict.fromkeys(names, TEA)


def test_training_files_and_recorded_schemas_are_hashed(outside: Path) -> None:
    train = {"mine": {"file": "a/questions.csv", "databases": "dbs"}}
    found = hashes(source="folder", train=train, recorded_schemas="tables.json")
    known = ["tables.json", "spider/dev_sql.json", "a/questions.csv", "dbs/x/x.sqlite", "dbs/y.db"]
    assert list(found) == known


def test_a_missing_file_has_no_hash_and_is_no_error_yet(outside: Path) -> None:
    (outside / "a/questions.csv").unlink()
    assert hashes(test=SETS)["a/questions.csv"] is None


def test_generated_data_need_no_folder_and_have_no_hash(
    outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEXT2SQL_DATA")
    assert hashes() == {}
    write_params(Path(), fetch_data={"test": SETS})
    assert "TEXT2SQL_DATA is not set" in failure(main, output="data/outside.json")


def test_another_order_of_the_sets_is_a_change(outside: Path) -> None:
    sets = {name: QuestionFile(**source) for name, source in SETS.items()}
    turned = dict(reversed(sets.items()))
    found = [outside_files(outside, FetchData(source="builtin", test=test)) for test in (sets, turned)]
    assert found[0] != found[1] and sorted(found[0]) == sorted(found[1])


@pytest.mark.parametrize("name", ["a/questions.csv", "dbs/y.db", "tables.json"])
def test_a_change_of_any_file_changes_the_output_and_a_touch_does_not(outside: Path, name: str) -> None:
    before = hashes(test=SETS)
    os.utime(outside / name, (1, 1))
    assert hashes(test=SETS) == before
    (outside / name).write_text("TEA")
    assert {key for key, value in hashes(test=SETS).items() if value != before[key]} == {name}


def test_a_new_database_changes_the_output(outside: Path) -> None:
    before = hashes(test=SETS)
    (outside / "dbs/z.sqlite").write_text("tea")
    assert hashes(test=SETS) == before | {"dbs/z.sqlite": TEA}


# -- the cache of hashes --


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read, one for each time."""
    names: list[str] = []
    hash_path = outside_data.hash_path

    def counted(path: Path) -> str:
        names.append(path.name)
        return hash_path(path)

    monkeypatch.setattr(outside_data, "hash_path", counted)
    return names


def test_a_file_is_read_once_until_it_changes(
    outside: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    later = time.time_ns() + 10**10
    monkeypatch.setattr(time, "time_ns", lambda: later)
    cache, names = outside / "cache.json", ["tables.json", "dbs/y.db"]
    first = content_hashes(outside, names, cache)
    assert content_hashes(outside, names, cache) == first
    assert read == ["tables.json", "y.db"]
    (outside / "dbs/y.db").write_text("TEA")
    assert content_hashes(outside, names, cache)["dbs/y.db"] == hashlib.sha256(b"TEA").hexdigest()
    assert read == ["tables.json", "y.db", "y.db"]


def test_a_file_that_has_just_changed_is_read_again(outside: Path, read: list[str]) -> None:
    for _ in range(2):
        content_hashes(outside, ["tables.json"], outside / "cache.json")
    assert read == ["tables.json"] * 2


@pytest.mark.parametrize("text", ["", "{", "[]", "\ufffd"])
def test_a_damaged_cache_only_costs_time(outside: Path, text: str) -> None:
    (outside / "cache.json").write_text(text)
    assert content_hashes(outside, ["tables.json"], outside / "cache.json") == {"tables.json": TEA}
