"""A model from the hub's local cache, laid out as huggingface_hub lays it out; no network."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import huggingface_hub
import huggingface_hub.constants
import pytest

from tests.hub_server import Hub, serving
from text2sql import hub
from text2sql.base_models.hub import PATTERNS, fetch_hub_model, missing_files
from text2sql.base_models.licence import licence_in
from text2sql.errors import UserError
from text2sql.workstore import hash_path

REPO, COMMIT = "owner/model", "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "config.json": "{}",
    "tokenizer_config.json": "{}",
    "tokenizer.json": "{}",
    "chat_template.jinja": "{{ messages }}",
    "model.safetensors": "weights",
    "pytorch_model.bin": "the same weights again",
}


def lay_snapshot(cache: Path, files: dict[str, str]) -> Path:
    """Write `files` as blobs and link them from the snapshot of COMMIT."""
    root = cache / "models--owner--model"
    snapshot = root / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (root / "blobs").mkdir()
    for number, (name, text) in enumerate(files.items()):
        (root / "blobs" / str(number)).write_text(text)
        (snapshot / name).symlink_to(Path("../../blobs") / str(number))
    return snapshot


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, and the hub out of reach."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def test_a_cached_commit_becomes_a_folder_of_plain_files(cache: Path, tmp_path: Path) -> None:
    lay_snapshot(cache, FILES)
    fetch_hub_model(REPO, COMMIT, tmp_path / "base")
    files = {file.name: file for file in (tmp_path / "base").iterdir()}
    assert set(files) == set(FILES) - {"pytorch_model.bin"}
    assert not any(file.is_symlink() for file in files.values())
    assert files["model.safetensors"].read_text() == "weights"


def test_all_shards_are_taken(cache: Path, tmp_path: Path) -> None:
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    shards = {"model-1.safetensors": "1", "model-2.safetensors": "2"}
    files = {k: v for k, v in FILES.items() if k != "model.safetensors"}
    lay_snapshot(cache, files | shards | {"model.safetensors.index.json": json.dumps(index)})
    fetch_hub_model(REPO, COMMIT, tmp_path / "base")
    assert (tmp_path / "base" / "model-2.safetensors").read_text() == "2"


def test_the_card_is_brought_and_a_cache_from_before_that_serves_without_it(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {name: text.encode() for name, text in FILES.items()} | {"README.md": b"---\nlicense: mit\n---\n"}
    with serving(Hub({f"model:{REPO}": files})) as server:
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", server.url)
        template = f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        hub.Hub().snapshot(REPO, COMMIT, "model", PATTERNS)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        huggingface_hub.close_session()
        fetch_hub_model(REPO, COMMIT, tmp_path / "before")
        assert "warning: without its card the model's licence is unknown:" in capsys.readouterr().err
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        huggingface_hub.close_session()
        fetch_hub_model(REPO, COMMIT, tmp_path / "base")
    huggingface_hub.close_session()
    assert licence_in(tmp_path / "before") is None and licence_in(tmp_path / "base") == "mit"
    assert (tmp_path / "before/config.json").is_file()


def test_a_shard_that_is_not_there_is_named(tmp_path: Path) -> None:
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    for name in ("config.json", "tokenizer_config.json", "model-1.safetensors"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert missing_files(tmp_path) == ["model-2.safetensors"]


def test_an_empty_cache_without_network_names_the_way_out(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"owner/model at 0123.*make use PROFILE=embedded"):
        fetch_hub_model(REPO, COMMIT, tmp_path / "base")


def test_another_commit_in_the_cache_does_not_serve(cache: Path, tmp_path: Path) -> None:
    lay_snapshot(cache, FILES)
    with pytest.raises(UserError, match=r"model at ffff.*not in the local cache"):
        fetch_hub_model(REPO, "f" * 40, tmp_path / "base")


def test_a_partial_download_does_not_pass_for_a_model(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "old").write_text("old")
    before = hash_path(tmp_path / "base")
    lay_snapshot(cache, {"config.json": "{}"})
    with pytest.raises(UserError, match=r"has no tokenizer_config\.json, model\.safetensors"):
        fetch_hub_model(REPO, COMMIT, tmp_path / "base")
    assert hash_path(tmp_path / "base") == before


def test_a_model_without_safetensors_is_refused(cache: Path, tmp_path: Path) -> None:
    lay_snapshot(cache, {k: v for k, v in FILES.items() if k != "model.safetensors"})
    with pytest.raises(UserError, match=r"has no model\.safetensors"):
        fetch_hub_model(REPO, COMMIT, tmp_path / "base")


def test_a_name_that_the_hub_cannot_have_is_refused(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"fetch_model\.hub_model"):
        fetch_hub_model("a/b/c", COMMIT, tmp_path / "base")


def test_a_full_disk_is_named_by_the_cache(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(hub, "_require_listing", lambda *_: None)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", full)
    with pytest.raises(OSError, match="No space left on device") as error:
        fetch_hub_model(REPO, COMMIT, tmp_path / "base")
    assert error.value.filename == str(cache)
