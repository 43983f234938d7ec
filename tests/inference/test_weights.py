"""Complete models, adapters, and folders that are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from text2sql.errors import UserError
from text2sql.inference.weights import resolve_weights
from text2sql.workstore import hash_path


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """models/base, relative to the working directory, with placeholder files for the weights."""
    monkeypatch.chdir(tmp_path)
    folder = Path("models/base")
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_text("weights")
    return folder


@pytest.fixture
def adapter(base: Path) -> Path:
    folder = Path("models/lora32")
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_text("adapter")
    write(folder / "adapter_config.json", {"base_model_name_or_path": str(base)})
    write(folder / "base.json", {"path": str(base), "sha256": hash_path(base)})
    return folder


def write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value))


def test_a_complete_model_has_no_base(base: Path) -> None:
    weights = resolve_weights(base)
    assert (weights.base, weights.model, weights.sha256) == (None, base, hash_path(base))


def test_an_adapter_is_found_with_its_base(base: Path, adapter: Path) -> None:
    weights = resolve_weights(adapter)
    assert (weights.model, weights.base_sha256) == (base, hash_path(base))
    assert weights.sha256 == hash_path(adapter)


def test_an_adapter_of_another_base_is_refused_and_both_are_named(base: Path, adapter: Path) -> None:
    trained_on = hash_path(base)
    (base / "model.safetensors").write_text("other weights")
    with pytest.raises(UserError) as refusal:
        resolve_weights(adapter)
    for name in ("models/lora32", "models/base", trained_on, hash_path(base), "dvc repro"):
        assert name in str(refusal.value)


def test_an_adapter_without_base_json_is_refused(adapter: Path) -> None:
    (adapter / "base.json").unlink()
    with pytest.raises(UserError, match=r"base\.json: no such file"):
        resolve_weights(adapter)


def test_the_error_has_the_base_json_that_confirms_the_base(base: Path, adapter: Path) -> None:
    before = (adapter / "base.json").read_text()
    (adapter / "base.json").unlink()
    with pytest.raises(UserError) as refusal:
        resolve_weights(adapter)
    assert before in str(refusal.value) and str(adapter) in str(refusal.value)


@pytest.mark.parametrize("named", ["Qwen/Qwen3-1.7B", "/elsewhere/model"])
def test_a_base_that_is_no_folder_here_is_refused_with_the_line_to_change(adapter: Path, named: str) -> None:
    write(adapter / "adapter_config.json", {"base_model_name_or_path": named})
    with pytest.raises(UserError, match=f"{named}.*no such folder.*models/base as base_model_name_or_path"):
        resolve_weights(adapter)


@pytest.mark.parametrize("text", ["{", "[]", '{"path": "models/base"}', '{"path": 1, "sha256": 2}'])
def test_an_invalid_base_json_is_named(adapter: Path, text: str) -> None:
    (adapter / "base.json").write_text(text)
    with pytest.raises(UserError, match=r"base\.json: "):
        resolve_weights(adapter)


def test_an_adapter_without_its_base_folder_is_refused(base: Path, adapter: Path) -> None:
    base.rename("models/elsewhere")
    with pytest.raises(UserError, match="models/base: no such folder"):
        resolve_weights(adapter)


def test_a_missing_folder_is_refused() -> None:
    with pytest.raises(UserError, match="models/none: no such folder; `dvc repro`"):
        resolve_weights(Path("models/none"))


def test_dvc_repro_is_the_next_step_for_the_pipelines_folders_only(base: Path, tmp_path: Path) -> None:
    (base / "config.json").unlink()
    for folder, said in (
        (base, "`dvc repro`"),
        (base.absolute(), "`dvc repro`"),
        (tmp_path, "fix the folder"),
    ):
        with pytest.raises(UserError, match=said):
            resolve_weights(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_folder_without_an_essential_file_is_refused(base: Path, name: str) -> None:
    (base / name).unlink()
    with pytest.raises(UserError, match="models/base: no "):
        resolve_weights(base)
