"""Muon in float32, against LLaMA-Factory's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from click.testing import CliRunner

from text2sql.training import worker
from text2sql.training.muon import orthogonalise, use_float32

muon = pytest.importorskip("llamafactory.third_party.muon.muon")
SHAPES = [(16, 16), (8, 24), (24, 8), (384, 128)]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(1)


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """LLaMA-Factory's function is put back after the test."""
    monkeypatch.setattr(muon, "zeropower_via_newtonschulz5", muon.zeropower_via_newtonschulz5)


@pytest.mark.parametrize("shape", SHAPES)
def test_singular_values_come_near_one_and_vectors_stay(shape: tuple[int, int]) -> None:
    left, _, right = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    values = torch.linspace(1, 8, len(right))
    found = orthogonalise(left * values @ right, steps=5)
    turned = left.mT @ found @ right.mT
    assert found.dtype == torch.float32
    assert turned.diagonal().min() > 0.6 and turned.diagonal().max() < 1.3
    torch.testing.assert_close(turned, turned.diagonal().diag(), atol=1e-3, rtol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_llamafactorys_but_for_the_rounding_of_bfloat16(shape: tuple[int, int]) -> None:
    gradient = torch.randn(shape)
    theirs = muon.zeropower_via_newtonschulz5(gradient, 5)
    ours = orthogonalise(gradient, 5)
    assert theirs.dtype == torch.bfloat16
    assert (ours - theirs.float()).norm() < 0.1 * ours.norm()


@pytest.mark.usefixtures("replaced")
def test_llamafactorys_optimizer_steps_in_float32_then() -> None:
    weights = torch.nn.Parameter(torch.randn(12, 20))
    before = weights.detach().clone()
    weights.grad = torch.randn(12, 20)
    use_float32()
    muon.Muon(lr=0.1, wd=0.0, momentum=0.0, nesterov=False, muon_params=[weights]).step()
    step = -0.1 * 0.2 * 20**0.5 * orthogonalise(weights.grad, 5)
    torch.testing.assert_close(weights.detach() - before, step)


@pytest.mark.parametrize("change", ["name", "caller"])
def test_another_muon_is_refused(monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    if change == "name":
        monkeypatch.delattr(muon, "zeropower_via_newtonschulz5")
    else:
        monkeypatch.setattr(muon.Muon, "step", lambda self: None)
    with pytest.raises(RuntimeError, match="its Muon does not call zeropower_via_newtonschulz5"):
        use_float32()


@pytest.mark.usefixtures("replaced")
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_worker_replaces_it_on_cpus_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    seen = []
    monkeypatch.setattr("llamafactory.train.tuner.run_exp", lambda *_, **__: seen.append(_function()))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: device == "cuda")
    monkeypatch.setattr(worker, "die_with_parent", lambda: None)
    (tmp_path / "config.yaml").write_text(
        yaml.safe_dump({"use_muon": True, "bf16": False, "logging_steps": 1})
    )
    result = CliRunner().invoke(worker.main, [str(tmp_path / "config.yaml")], catch_exceptions=False)
    assert result.exit_code == 0
    assert [function is orthogonalise for function in seen] == [device == "cpu"]


def _function() -> object:
    return muon.zeropower_via_newtonschulz5
