"""Trainings that this machine cannot run are refused with one message, before anything starts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.tiny import tiny_qwen3
from tests.training.test_memory import MEGATRON, RECIPE
from text2sql.errors import UserError
from text2sql.gpus import Gpu
from text2sql.training import preflight
from text2sql.training.memory import estimate, read_model
from text2sql.training.nodes import Nodes
from text2sql.training.preflight import check_feasible, cpp_compiler, lacks_flash_attention, missing_parts
from text2sql.training.settings import Megatron, Recipe

ROOT = Path(__file__).parents[2]
GIB = 1 << 30


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_qwen3(tmp_path_factory.mktemp("base"))


def _gpus(monkeypatch: pytest.MonkeyPatch, *gibibytes: float) -> None:
    gpus = [Gpu("NVIDIA H200", int(size * GIB)) for size in gibibytes]
    monkeypatch.setattr(preflight, "visible_gpus", lambda: gpus)


def _packages(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr(preflight, "installed", lambda package: package in names)


def _refusal(recipe: Recipe, base: Path) -> str:
    """The error message for a recipe, "" if the machine can run it."""
    try:
        check_feasible(recipe, base, 100, Nodes())
    except UserError as error:
        return str(error)
    return ""


def test_a_training_that_fits_is_not_refused(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _gpus(monkeypatch)
    assert _refusal(RECIPE, base) == ""
    _gpus(monkeypatch, 8)
    assert _refusal(RECIPE, base) == ""


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"optimizer": "adamw_8bit"}, "optimizer: adamw_8bit"),
        ({"attention": "fa2"}, "attention: fa2"),
        ({"liger": True}, "liger: true"),
        ({"megatron": MEGATRON, "ranks": 2}, "megatron"),
    ],
)
def test_a_setting_that_needs_a_gpu_is_refused_without_one(
    base: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], name: str
) -> None:
    _gpus(monkeypatch)
    with pytest.raises(
        UserError, match=rf"{name} needs (a GPU|2 GPUs \(ranks\)), .*make use PROFILE=embedded"
    ):
        check_feasible(RECIPE.replace(**changes), base, 100, Nodes())


def test_more_ranks_than_gpus_are_refused_with_the_number_that_fits(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _gpus(monkeypatch, 24, 24)
    with pytest.raises(
        UserError, match=r"ranks is 4 .*only 2 GPUs .*set ranks to 2: the global batch stays 8"
    ):
        check_feasible(RECIPE.replace(ranks=4), base, 100, Nodes())


@pytest.mark.parametrize(
    ("memories", "advice"),
    [
        ((24, 24, 24), r"only 3 GPUs are visible; set ranks to 2:"),
        ((24,), r"only 1 GPU is .*set megatron: null"),
    ],
)
def test_fewer_ranks_with_megatron_are_still_groups(
    monkeypatch: pytest.MonkeyPatch, memories: tuple[int, ...], advice: str
) -> None:
    _gpus(monkeypatch, *memories)
    _packages(monkeypatch)
    recipe = RECIPE.replace(ranks=4, megatron=Megatron(tensor_parallel=2))
    assert any(re.search(advice, problem) for problem in missing_parts(recipe))


@pytest.mark.parametrize(
    ("changes", "package"),
    [
        ({"optimizer": "adamw_8bit"}, "bitsandbytes"),
        ({"liger": True}, "liger-kernel"),
        ({"deepspeed": "z2"}, "deepspeed"),
        ({"megatron": MEGATRON, "ranks": 2}, "megatron-core"),
        ({"megatron": MEGATRON, "ranks": 2}, "transformer-engine"),
    ],
)
def test_a_missing_package_is_named_with_the_file_that_lists_it(
    base: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], package: str
) -> None:
    _gpus(monkeypatch, 80, 80)
    _packages(monkeypatch)
    with pytest.raises(UserError, match=f"package {package}, .*configs/requirements-gpu.txt"):
        check_feasible(RECIPE.replace(**changes), base, 100, Nodes())


@pytest.mark.parametrize(
    ("gpus", "packages", "lacks"),
    [((80,), (), True), ((80,), ("flash-attn",), False), ((), (), False)],
    ids=["GPU only", "both", "no GPU"],
)
def test_flash_attention_is_replaced_only_where_a_gpu_lacks_the_package(
    monkeypatch: pytest.MonkeyPatch, gpus: tuple[int, ...], packages: tuple[str, ...], lacks: bool
) -> None:
    _gpus(monkeypatch, *gpus)
    _packages(monkeypatch, *packages)
    recipe = RECIPE.replace(attention="fa2")
    assert lacks_flash_attention(recipe) is lacks
    assert not lacks_flash_attention(recipe.replace(attention="sdpa"))
    assert not any("flash-attn" in problem for problem in missing_parts(recipe))


@pytest.mark.parametrize(
    ("gpus", "compiler", "refused"),
    [((), "c++", False), ((), "none", True), ((80,), "none", False)],
    ids=["compiler", "neither", "GPU"],
)
def test_deepspeed_without_gpu_and_compiler_is_refused_with_the_package_to_install(
    base: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    gpus: tuple[int, ...],
    compiler: str,
    refused: bool,
) -> None:
    _program(tmp_path / "c++")
    monkeypatch.setenv("CXX", str(tmp_path / compiler))
    _gpus(monkeypatch, *gpus)
    message = _refusal(RECIPE.replace(deepspeed="z2"), base)
    if refused:
        assert re.search(r"no C\+\+ compiler was found; `apt-get install g\+\+`.* CXX=", message)
    else:
        assert message == ""


def _program(path: Path) -> None:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)


def test_the_compiler_is_the_one_that_torch_uses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ccache", "c++"):
        _program(tmp_path / name)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", "ccache c++ -O1")
    assert cpp_compiler() == str(tmp_path / "ccache")
    monkeypatch.delenv("CXX")
    assert cpp_compiler() == str(tmp_path / "c++")
    monkeypatch.setenv("CXX", "g++-99")
    assert cpp_compiler() is None


def test_megatron_without_mcore_adapter_is_refused(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _gpus(monkeypatch, 80, 80)
    _packages(monkeypatch, "megatron-core")
    with pytest.raises(UserError, match=r"needs ROLL's mcore_adapter, which is not installed"):
        check_feasible(RECIPE.replace(megatron=MEGATRON, ranks=2), base, 100, Nodes())


def test_the_unrelated_package_of_the_same_name_is_recognised_without_importing_it(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mcore_adapter").mkdir()
    (tmp_path / "mcore_adapter" / "__init__.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    _gpus(monkeypatch, 80, 80)
    _packages(monkeypatch, "megatron-core")
    recipe = RECIPE.replace(megatron=Megatron(tensor_parallel=2, transformer_impl="local"), ranks=2)
    with pytest.raises(UserError, match=r"is not ROLL's .*pip uninstall mcore-adapter"):
        check_feasible(recipe, base, 100, Nodes())
    (tmp_path / "mcore_adapter" / "training_args.py").touch()
    check_feasible(recipe, base, 100, Nodes())


def test_eight_bit_moments_cannot_be_offloaded(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _gpus(monkeypatch, 80)
    _packages(monkeypatch, "bitsandbytes", "deepspeed")
    with pytest.raises(UserError, match="adamw_8bit works on the GPU only"):
        check_feasible(RECIPE.replace(optimizer="adamw_8bit", deepspeed="z2_offload"), base, 100, Nodes())


def test_the_lock_of_a_killed_compilation_is_named(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = tmp_path / "cpu_adam" / "lock"
    lock.parent.mkdir()
    lock.touch()
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    monkeypatch.setattr(preflight, "cpp_compiler", lambda: "c++")
    _gpus(monkeypatch)
    zero = RECIPE.replace(deepspeed="z2")
    check_feasible(zero, base, 100, Nodes())
    assert f"{lock}: the run waits until this file is removed" in capsys.readouterr().err


def test_too_little_memory_is_refused_with_the_estimate_and_settings_that_need_less(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _gpus(monkeypatch, 80, 0.001)
    with pytest.raises(
        UserError,
        match=r"a rank needs about .* GiB \(weights .*logits .*a GPU here has 0\.0 GiB.*z3",
    ):
        check_feasible(RECIPE, base, 100, Nodes())


@pytest.mark.parametrize(
    ("share", "check", "outcome"),
    [
        (1.1, "refuse", "fits"),
        (0.8, "refuse", "warning: memory may not suffice: a rank needs about"),
        (0.6, "refuse", "not enough memory: .*memory_check: warn tries it all the same"),
        (0.6, "warn", "warning: memory may not suffice"),
    ],
)
def test_memory_is_refused_only_where_one_and_a_half_times_what_is_there_is_needed(
    base: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    share: float,
    check: str,
    outcome: str,
) -> None:
    recipe = RECIPE.replace(memory_check=check)
    _gpus(monkeypatch, share * estimate(recipe, read_model(base), 100, 1).total / GIB)
    refusal = _refusal(recipe, base)
    assert bool(refusal) == outcome.startswith("not enough")
    assert re.search(outcome, refusal + capsys.readouterr().err + ("fits" if share > 1 else ""))


def test_on_a_cpu_all_ranks_share_the_machines_memory(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _gpus(monkeypatch)
    memory = 2 * estimate(RECIPE, read_model(base), 10, 1).total
    monkeypatch.setattr(preflight, "_physical_memory", lambda: memory)
    check_feasible(RECIPE, base, 10, Nodes())
    with pytest.raises(UserError, match=r"this machine has 0\.0 GiB for 4 ranks"):
        check_feasible(RECIPE.replace(ranks=4), base, 10, Nodes())


def test_all_that_is_missing_is_listed_at_once(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _gpus(monkeypatch)
    _packages(monkeypatch)
    monkeypatch.setattr(preflight, "_physical_memory", lambda: 1 << 20)
    message = _refusal(RECIPE.replace(attention="fa2", optimizer="adamw_8bit", deepspeed="z2_offload"), base)
    lines = message.splitlines()
    assert lines[0] == "5 problems:" and all(line.startswith("  - ") for line in lines[1:])
    assert [
        re.search(word, line) is not None
        for word, line in zip(
            [
                "adamw_8bit, attention: fa2 need a GPU",
                "package deepspeed",
                "bitsandbytes",
                "works on the GPU only",
                "not enough memory",
            ],
            lines[1:],
            strict=True,
        )
    ] == [True] * 5
