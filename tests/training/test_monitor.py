"""Weights that are kept for a learning curve, and kills while they are copied."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from text2sql.training import monitor as monitoring
from text2sql.training.monitor import TrainingMonitor


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A work folder whose run has a checkpoint of step 4."""
    folder = tmp_path / "run/checkpoint-4"
    folder.mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "optimizer.pt"):
        (folder / name).write_text(name)
    return tmp_path


def _call(name: str, work: Path, step: int, keep_steps: int | None = 4) -> None:
    monitor = TrainingMonitor(work, None, 1, hook_model=False, keep_steps=keep_steps)
    arguments: Any = SimpleNamespace(output_dir=str(work / "run"))
    state: Any = SimpleNamespace(global_step=step, is_world_process_zero=True)
    getattr(monitor, name)(arguments, state, SimpleNamespace())


def _kept(work: Path) -> list[str]:
    return sorted(str(path.relative_to(work / "steps")) for path in (work / "steps").rglob("*"))


def test_a_kill_while_weights_are_copied_leaves_none_and_the_resumed_training_copies_them(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half_copied(run: Path, folder: Path) -> None:
        (folder / "model.safetensors").write_text("mod")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(monitoring, "copy_weights", half_copied)
        _call("on_save", saved, 4)
    assert _kept(saved) == []
    _call("on_train_begin", saved, 4)
    assert _kept(saved) == ["4", "4/config.json", "4/model.safetensors"]


def test_a_kept_adapter_says_what_it_was_trained_on(saved: Path) -> None:
    (saved / "base.json").write_text("{}")
    (saved / "run/checkpoint-4/adapter_config.json").write_text("{}")
    _call("on_save", saved, 4)
    assert "4/base.json" in _kept(saved)


@pytest.mark.parametrize(("step", "keep_steps"), [(0, 4), (4, 8), (4, None)])
def test_a_training_that_begins_elsewhere_copies_none(saved: Path, step: int, keep_steps: int | None) -> None:
    _call("on_train_begin", saved, step, keep_steps)
    assert not (saved / "steps").exists()
