"""Stage fetch_data and its outside stages, on data sets of the hub in huggingface_hub's cache; no network."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest

from stages import outside_test, outside_train
from stages.fetch_data import main
from tests.hub_server import COMMIT, lay_snapshot
from tests.small_raw import DDL, FETCH, ROWS, failure, read_lines, run_stage, write_database, write_params

REPO = "owner/spider"
OTHER = "f" * 40
SETTINGS: dict[str, Any] = {
    "train": {"spider": {"repo": REPO, "file": "train.json", "databases": "database"}},
    "test": {"dev": {"repo": REPO, "file": "validation.json", "databases": "database"}},
}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with the data set REPO; the current folder is an empty project, the network forbidden."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("TEXT2SQL_WORK", str(tmp_path / "work"))
    for name in ("TEXT2SQL_DATA", "TEXT2SQL_REAL_DATA"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    lay_snapshot(tmp_path / "hub", REPO, "dataset", spider(tmp_path))
    write_params(Path(), fetch_data=SETTINGS)
    return tmp_path / "hub"


def spider(scratch: Path, ids: tuple[str, ...] = ("shop", "mall")) -> dict[str, bytes]:
    """The files of a data set like Spider, as premai-io publishes it."""
    row = {"question": "How many?", "SQL": "SELECT count(*) FROM item", "db_path": "x"}
    files = {name: json.dumps([{**row, "db_id": db}]).encode() for name, db in named(ids).items()}
    (scratch / "any.sqlite").unlink(missing_ok=True)
    write_database(scratch / "any.sqlite")
    database = (scratch / "any.sqlite").read_bytes()
    files |= {f"database/{db_id}/{db_id}.sqlite": database for db_id in ids}
    return files | {"database/shop/schema.sql": b"CREATE TABLE item (id);", "README.md": b"# Spider"}


def named(ids: tuple[str, ...]) -> dict[str, str]:
    return {"train.json": ids[1], "validation.json": ids[0]}


def metrics() -> dict[str, Any]:
    return dict(json.loads(Path("metrics/fetch_data.json").read_text()))


def test_questions_rows_and_databases_come_from_the_hub(cache: Path) -> None:
    run_stage(main, **FETCH)
    line = {"db_id": "shop", "question": "How many?", "gold": "SELECT count(*) FROM item", "schema": DDL}
    assert read_lines("data/raw/test/dev.jsonl") == [line]
    assert json.loads(Path("data/raw/train/spider.json").read_text())[0]["db_id"] == "mall"
    assert set(json.loads(Path("data/raw/train_schemas/spider.json").read_text())) == {"shop", "mall"}
    copy = Path("data/raw/databases/shop/shop.sqlite")
    assert copy.is_file() and not copy.is_symlink()


def test_commit_and_checksums_are_kept(cache: Path) -> None:
    run_stage(main, **FETCH)
    entry = metrics()[f"{REPO}@main"]
    assert entry["commit"] == COMMIT
    names = ["database/mall/mall.sqlite", "database/shop/shop.sqlite", "train.json", "validation.json"]
    assert list(entry["files"]) == names
    snapshot = cache / "datasets--owner--spider" / "snapshots" / COMMIT
    assert entry["files"] == {name: sha256(snapshot / name) for name in names}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_many_databases_have_one_checksum(cache: Path, tmp_path: Path) -> None:
    ids = tuple(f"shop{number}" for number in range(25))
    lay_snapshot(cache, "owner/many", "dataset", spider(tmp_path, ids))
    both = {
        kind: {name: {**one, "repo": "owner/many"}} for kind, s in SETTINGS.items() for name, one in s.items()
    }
    write_params(Path(), fetch_data=both)
    run_stage(main, **FETCH)
    assert list(metrics()["owner/many@main"]["files"]) == ["database/*", "train.json", "validation.json"]


def test_a_later_run_keeps_to_the_commit_of_the_first(cache: Path, tmp_path: Path) -> None:
    run_stage(main, **FETCH)
    before = metrics()
    (cache / "datasets--owner--spider/refs/main").write_text(OTHER)
    run_stage(main, **FETCH)
    assert metrics() == before
    Path("metrics/fetch_data.json").unlink()
    assert f"{REPO} at {OTHER}: not in the local cache" in failure(main, **FETCH)


def test_a_file_that_is_not_the_one_of_the_first_run_is_named(cache: Path) -> None:
    run_stage(main, **FETCH)
    changed = metrics()
    changed[f"{REPO}@main"]["files"]["train.json"] = "0" * 64
    Path("metrics/fetch_data.json").write_text(json.dumps(changed))
    said = failure(main, **FETCH)
    assert f"fetch_data.train.spider: {REPO}, train.json at {COMMIT}: its SHA-256 is" in said
    assert f"an earlier run had {'0' * 64} (metrics/fetch_data.json)" in said
    assert metrics() == changed


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        '{"a": {}}',
        '{"a@b": []}',
        '{"a@b": {"commit": 1, "files": {}}}',
        '{"a@b": {"commit": "xyz", "files": {}}}',
    ],
)
def test_a_record_that_is_none_is_named(cache: Path, text: str) -> None:
    Path("metrics").mkdir()
    Path("metrics/fetch_data.json").write_text(text)
    assert "metrics/fetch_data.json: not as fetch_data writes it; delete it" in failure(main, **FETCH)


def test_a_record_that_is_not_json_is_named(cache: Path) -> None:
    Path("metrics").mkdir()
    Path("metrics/fetch_data.json").write_text("{")
    said = failure(main, **FETCH)
    assert (
        "metrics/fetch_data.json, line 1: not JSON" in said and "delete metrics/fetch_data.json, then" in said
    )


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("file", "dev.json", "has no dev.json"),
        ("tables", "tables.json", "has no tables.json"),
        ("databases", "dbs", "has no database below dbs"),
    ],
)
def test_a_file_that_the_repository_does_not_have_is_named_with_those_it_has(
    cache: Path, field: str, value: str, said: str
) -> None:
    test = {"dev": {**SETTINGS["test"]["dev"], field: value}}
    write_params(Path(), fetch_data={**SETTINGS, "test": test})
    message = failure(main, **FETCH)
    assert (
        f"fetch_data.test.dev: the repository {said}; it has README.md, database/mall/mall.sqlite" in message
    )
    assert f"fix fetch_data.test.dev.{field} in params.yaml" in message


def test_of_many_files_the_first_twenty_are_named(cache: Path, tmp_path: Path) -> None:
    files = {f"part-{number:02}.parquet": b"x" for number in range(30)}
    lay_snapshot(cache, "owner/rows", "dataset", files)
    train = {"rows": {"repo": "owner/rows", "file": "train.parquet"}}
    write_params(Path(), fetch_data={**SETTINGS, "train": train})
    said = failure(main, **FETCH)
    assert "part-18.parquet, part-19.parquet, and 10 more; fix" in said and "part-20" not in said


def test_a_repository_that_is_not_there_is_named_with_its_key(cache: Path) -> None:
    train = {"rows": {"repo": "owner/none", "file": "train.json", "revision": "v1"}}
    write_params(Path(), fetch_data={**SETTINGS, "train": train})
    said = failure(main, **FETCH)
    assert "error: fetch_data.train.rows: owner/none at v1: not in the local cache" in said
    assert "HF_HUB_OFFLINE" in said and not list(Path("data").iterdir())


def test_checksums_of_the_user_name_the_repository(cache: Path) -> None:
    write_params(Path(), fetch_data={**SETTINGS, "sha256": {f"{REPO}/train.json": "0" * 64}})
    assert "train.json: its SHA-256 is not the one in params.yaml" in failure(main, **FETCH)
    write_params(Path(), fetch_data={**SETTINGS, "sha256": {"train.json": "0" * 64}})
    assert "nothing reads train.json" in failure(main, **FETCH)


def test_sources_of_the_folder_and_of_the_hub_go_together(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEXT2SQL_DATA", str(tmp_path))
    (tmp_path / "mine.jsonl").write_text(json.dumps(ROWS[0]) + "\n")
    train = {**SETTINGS["train"], "mine": {"file": "mine.jsonl"}}
    write_params(Path(), fetch_data={**SETTINGS, "train": train})
    run_stage(main, **FETCH)
    assert sorted(path.name for path in Path("data/raw/train").iterdir()) == ["mine.jsonl", "spider.json"]
    assert list(metrics()) == [f"{REPO}@main"]


# -- the outside stages --


def state(path: str) -> dict[str, Any]:
    return dict(json.loads(Path(path).read_text()))


def test_a_source_on_the_hub_is_known_by_its_commit(cache: Path) -> None:
    out = "data/outside/train/spider.json"
    run_stage(outside_train.main, name="spider", pins="metrics/fetch_data.json", output=out)
    assert state(out) == {"position": 0, "hub": {"repo": REPO, "revision": "main", "commit": COMMIT}}


def test_the_commit_of_an_earlier_run_is_the_one_that_counts(cache: Path) -> None:
    run_stage(main, **FETCH)
    (cache / "datasets--owner--spider/refs/main").write_text(OTHER)
    out = "data/outside/test/dev.json"
    run_stage(outside_test.main, name="dev", pins="metrics/fetch_data.json", output=out)
    assert state(out)["hub"]["commit"] == COMMIT


def test_states_of_sources_that_are_gone_are_removed(cache: Path) -> None:
    for name in ("spider", "gone"):
        Path(f"data/outside/train/{name}.json").parent.mkdir(parents=True, exist_ok=True)
        Path(f"data/outside/train/{name}.json").write_text("{}")
    run_stage(main, **FETCH)
    assert [path.name for path in Path("data/outside/train").iterdir()] == ["spider.json"]
