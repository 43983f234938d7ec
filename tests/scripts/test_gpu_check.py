"""scripts/gpu_check.py: parts that fail alone and are not repeated, and what it says without a GPU."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from scripts import gpu_check, gpu_parts
from scripts.gpu_check import PARTS, Part, main, passed, read_result
from scripts.gpu_parts import Place, Report
from tests.tiny import tiny_qwen3, tiny_tokenizer
from text2sql.evaluation.scores_by_set import ScoresBySet
from text2sql.training.dataset import SAMPLE, write_dataset
from text2sql.training.lengths import measure
from text2sql.training.memory import estimate, read_model
from text2sql.training.settings import Recipe

ROOT = Path(__file__).parents[2]


def good(place: Place, report: Report) -> None:
    report("good: 1.00, limit 2", True)


def worse(place: Place, report: Report) -> None:
    report("worse: 3.00, limit 2", False)
    report("worse: but this is measured too", True)


def raising(place: Place, report: Report) -> None:
    raise RuntimeError("no kernel image")


def dying(place: Place, report: Report) -> None:
    os._exit(11)


def hanging(place: Place, report: Report) -> None:
    time.sleep(60)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "tiny").mkdir()
    return Place(tmp_path / "tiny", tiny=True)


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_parts, "visible_gpus", list)


def parts(monkeypatch: pytest.MonkeyPatch, **runs: object) -> None:
    known = {name: Part("a test", run, seconds=20) for name, run in runs.items()}  # type: ignore[arg-type]
    monkeypatch.setattr(gpu_check, "PARTS", known)


def test_a_part_prints_its_figure_with_its_limit_and_passes(
    place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    parts(monkeypatch, good=good)
    assert passed("good", place, again=False)
    assert capfd.readouterr().out.startswith("good: 1.00, limit 2\ngood: took ")


def test_a_part_that_has_passed_is_not_run_again_unless_asked(
    place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    parts(monkeypatch, good=good)
    passed("good", place, again=False)
    parts(monkeypatch, good=raising)
    capfd.readouterr()
    assert passed("good", place, again=False)
    assert capfd.readouterr().out == "good: 1.00, limit 2 (earlier run)\n"
    assert not passed("good", place, again=True)


@pytest.mark.parametrize(
    ("run", "says"),
    [
        (worse, "worse: 3.00, limit 2: FAILED\nworse: but this is measured too\n"),
        (raising, "part: RuntimeError: no kernel image: FAILED\n"),
        (dying, "part: FAILED: status 11; read "),
    ],
)
def test_a_part_fails_alone_with_its_reason_and_is_run_again(
    run: object,
    says: str,
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    parts(monkeypatch, part=run, good=good)
    assert [passed(name, place, again=False) for name in ("part", "good")] == [False, True]
    assert capfd.readouterr().out.startswith(says)
    assert read_result(place.folder / "part.jsonl") == []
    assert len(read_result(place.folder / "good.jsonl")) == 1


def test_a_part_that_hangs_is_stopped_at_its_limit(
    place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    parts(monkeypatch, part=hanging)
    monkeypatch.setattr(Part, "limit", 0.5)
    started = time.monotonic()
    assert not passed("part", place, again=False)
    assert time.monotonic() - started < 10
    assert "part: FAILED: stopped after 0.5 s; read " in capfd.readouterr().out


def test_the_exit_status_is_1_if_one_part_failed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    parts(monkeypatch, one=raising, two=good)
    options = ["--tiny", "--results", str(place.folder.parent)]
    result = CliRunner().invoke(main, options)
    assert result.exit_code == 1
    assert (place.folder / "two.jsonl").is_file()
    parts(monkeypatch, two=good)
    assert CliRunner().invoke(main, options).exit_code == 0


def test_a_part_without_its_package_is_skipped_with_the_way_to_install_it(
    place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu_check, "installed", lambda package: False)
    assert passed("flash", place, again=False)
    assert capfd.readouterr().out == (
        "flash: skipped: flash-attn is not installed; configs/requirements-gpu.txt says how to install it\n"
    )


def test_the_dry_run_lists_every_part_and_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_check, "installed", lambda package: package != "vllm")
    result = CliRunner().invoke(main, ["--dry-run"])
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert [line.split()[0] for line in lines if "about" in line] == list(PARTS)
    assert any("lacks: vllm is not installed" in line for line in lines)
    assert lines[-1] == "no GPU is visible (see nvidia-smi), so none of them runs here"


def test_without_a_gpu_the_script_says_so_in_one_line() -> None:
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [ROOT / "scripts" / "gpu_check.sh"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == (
        "no GPU is visible (see nvidia-smi); `scripts/gpu_check.sh --dry-run` lists the parts\n"
    )


def test_the_rows_of_memory_differ_from_the_plain_recipe_in_what_their_name_says(tmp_path: Path) -> None:
    for name, recipe in gpu_parts.memory_rows(Place(tmp_path, tiny=False)).items():
        assert (recipe.lora is not None) == name.startswith("LoRA")
        assert bool(recipe.packing) == ("packed" in name)
        assert recipe.gradient_checkpointing == ("checkpointing" in name)
        assert (recipe.deepspeed is not None) == ("ZeRO" in name)


@pytest.mark.parametrize(("accuracy", "good"), [(29.9, False), (30.0, True)])
def test_every_test_set_is_reported_and_spider_dev_has_a_limit(accuracy: float, good: bool) -> None:
    tables = {"spider_dev": {"ex": {"all": accuracy}}, "geoquery": {"ex": {"all": 5.0}}}
    scores = ScoresBySet(tables)
    metrics = scores.metrics({}) | {"ex": tables["spider_dev"]["ex"]}
    metrics["other_sets"]["geoquery"] |= tables["geoquery"]
    lines: list[tuple[str, bool]] = []
    gpu_parts.report_scores(metrics, lambda *line: lines.append(line), tiny=False)
    assert lines == [
        (f"spider: spider_dev EX {accuracy}, limit 30", good),
        ("spider: geoquery EX 5.0", True),
    ]


@pytest.mark.parametrize(("peak", "good"), [(0.5, False), (1.0, True), (1.5, False)])
def test_a_peak_far_from_the_estimate_fails(
    peak: float, good: bool, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_tokenizer(tiny_qwen3(place.folder / "inputs" / "base"))
    write_dataset([dict(SAMPLE)] * 3, place.folder / "inputs" / "dataset")
    (place.folder / "inputs" / "complete").touch()
    recipe = gpu_parts.plain(place)
    longest = measure(folder, place.dataset, gpu_parts.UNPACKED, 2).longest
    expected = estimate(recipe, read_model(folder), longest, 1).total
    lines: list[tuple[str, bool]] = []
    gpu_parts.report_memory(place, lambda *line: lines.append(line), "it", recipe, int(peak * expected))
    assert [is_good for _, is_good in lines] == [good]
    assert f"{peak:.2f} times, limits 0.75 and 1.25" in lines[0][0]


@pytest.mark.slow
def test_equal_trainings_have_equal_losses_and_others_are_refused(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_parts, "STEPS", 3)
    lines: list[tuple[str, bool]] = []

    def compare(second: Recipe) -> None:
        recipe = gpu_parts.plain(place)
        gpu_parts.same_losses(
            place, lambda *line: lines.append(line), "it", recipe, second, "plain", gpu_parts.KERNEL_LIMIT
        )

    compare(gpu_parts.plain(place))
    compare(gpu_parts.plain(place).replace(learning_rate=0.1))
    assert [is_good for _, is_good in lines] == [True, False]
    assert "3 steps" in lines[0][0] and "largest relative difference 0.0e+00" in lines[0][0]
    assert read_model(place.base).layers == 2
