"""Stages outside_train and outside_test: what the files of a source are now."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from stages import outside_test, outside_train
from tests.small_raw import failure, run_stage, write_params
from text2sql.preparation import outside_data
from text2sql.preparation.outside_data import content_hashes

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


TEST = {"pins": "metrics/fetch_data.json", "output": "data/outside/test/set.json"}
TRAIN = {"pins": "metrics/fetch_data.json", "output": "data/outside/train/mine.json"}


def state(name: str, **fetch_data: object) -> dict[str, Any]:
    """What outside_test writes for the set `name`."""
    write_params(Path(), fetch_data={"test": SETS, **fetch_data})
    run_stage(outside_test.main, name=name, **TEST)
    return dict(json.loads(Path("data/outside/test/set.json").read_text()))


def hashes(name: str, **fetch_data: object) -> dict[str, str | None]:
    return dict(state(name, **fetch_data)["files"])


def test_every_file_of_a_test_set_is_hashed(outside: Path) -> None:
    assert hashes("first") == dict.fromkeys(["a/questions.csv", "dbs/x/x.sqlite", "dbs/y.db"], TEA)
    assert hashes("second") == dict.fromkeys(["b/questions.jsonl", "tables.json"], TEA)


def test_recorded_schemas_are_hashed_with_every_test_set(outside: Path) -> None:
    names = ["tables.json", "a/questions.csv", "dbs/x/x.sqlite", "dbs/y.db"]
    assert list(hashes("first", recorded_schemas="tables.json")) == names


def test_the_files_of_a_training_source_are_hashed(outside: Path) -> None:
    train = {"mine": {"file": "a/questions.csv", "databases": "dbs"}}
    write_params(Path(), fetch_data={"train": train, "test": SETS, "recorded_schemas": "tables.json"})
    run_stage(outside_train.main, name="mine", **TRAIN)
    found = json.loads(Path(TRAIN["output"]).read_text())
    names = ["a/questions.csv", "dbs/x/x.sqlite", "dbs/y.db"]
    assert found == {"position": 0, "files": dict.fromkeys(names, TEA)}


def test_a_missing_file_has_no_hash_and_is_no_error_yet(outside: Path) -> None:
    (outside / "a/questions.csv").unlink()
    assert hashes("first")["a/questions.csv"] is None


def test_a_missing_folder_or_source_is_named(outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_params(Path(), fetch_data={"test": SETS})
    assert "fetch_data.test: has no third" in failure(outside_test.main, name="third", **TEST)
    monkeypatch.delenv("TEXT2SQL_DATA")
    assert "TEXT2SQL_DATA is not set" in failure(outside_test.main, name="first", **TEST)


def test_another_order_of_the_sets_is_a_change(outside: Path) -> None:
    before = state("first"), state("second")
    turned = dict(reversed(SETS.items()))
    after = state("first", test=turned), state("second", test=turned)
    assert before != after and [one["files"] for one in before] == [one["files"] for one in after]


@pytest.mark.parametrize("name", ["a/questions.csv", "dbs/y.db"])
def test_a_change_of_any_file_changes_the_output_and_a_touch_does_not(outside: Path, name: str) -> None:
    before = hashes("first")
    os.utime(outside / name, (1, 1))
    assert hashes("first") == before
    (outside / name).write_text("TEA")
    assert {key for key, value in hashes("first").items() if value != before[key]} == {name}


def test_a_new_database_changes_the_output(outside: Path) -> None:
    before = hashes("first")
    (outside / "dbs/z.sqlite").write_text("tea")
    assert hashes("first") == before | {"dbs/z.sqlite": TEA}


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
