"""How vLLM is started on GPUs, with stand-ins for vLLM and nvidia-smi."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.gpu_machine import gpu_machine
from tests.tiny import tiny_qwen3, tiny_tokenizer
from text2sql.errors import UserError
from text2sql.inference import vllm_engine
from text2sql.inference.engine import Request
from text2sql.inference.settings import Decoding, Predict, Vllm
from text2sql.inference.vllm_engine import VllmEngine
from text2sql.inference.weights import resolve_weights

DECODING = Decoding(max_new_tokens=8)
BATCH = (0, [Request([{"role": "user", "content": "Names?"}], 0)])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_tokenizer(tiny_qwen3(tmp_path_factory.mktemp("models") / "base"))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """On a machine with four GPUs: the arguments of each vllm.LLM, with the GPUs that it sees."""
    gpu_machine(monkeypatch, tmp_path, 80, 80, 80, 80)
    monkeypatch.setattr(vllm_engine, "torch_device", lambda: "cuda")
    calls: list[dict[str, Any]] = []

    def llm(**arguments: Any) -> SimpleNamespace:
        calls.append(arguments | {"gpus": os.environ["CUDA_VISIBLE_DEVICES"]})
        core = SimpleNamespace(shutdown=lambda: None)
        return SimpleNamespace(llm_engine=SimpleNamespace(engine_core=core))

    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(LLM=llm, __version__="0"))
    return calls


@pytest.mark.slow
def test_a_model_on_one_gpu(model: Path, started: list[dict[str, Any]]) -> None:
    engine = VllmEngine(resolve_weights(model), DECODING)
    assert engine._engine
    (call,) = started
    assert call["gpus"] == "0" and call["gpu_memory_utilization"] == 0.9
    assert not {"tensor_parallel_size", "max_model_len", "max_num_seqs"} & set(call)
    engine.close()
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_a_model_split_over_gpus(model: Path, started: list[dict[str, Any]]) -> None:
    settings = Vllm(tensor_parallel=4, gpu_memory_utilization=0.5, max_model_len=64, max_num_seqs=3)
    engine = VllmEngine(resolve_weights(model), DECODING, settings)
    assert engine._engine
    (call,) = started
    assert call["gpus"] == "0,1,2,3" and call["tensor_parallel_size"] == 4
    assert call["distributed_executor_backend"] == "mp"
    assert (call["gpu_memory_utilization"], call["max_model_len"], call["max_num_seqs"]) == (0.5, 64, 3)
    assert engine.max_prompt_tokens == 64 - 8
    engine.close()


def test_each_of_several_processes_has_gpus_of_its_own(
    model: Path, started: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Mapping[str, str]] = []

    class Processes:
        def __init__(self, make: Any, environments: Sequence[Mapping[str, str]]) -> None:
            assert make.args[2] == Vllm(tensor_parallel=2, data_parallel=1)
            given.extend(environments)

        def generate(self, batches: object) -> list[object]:
            return []

        def close(self) -> None:
            pass

    monkeypatch.setattr(vllm_engine, "EngineProcesses", Processes)
    engine = VllmEngine(resolve_weights(model), DECODING, Vllm(tensor_parallel=2, data_parallel=2))
    assert list(engine.generate([BATCH])) == [] and started == []
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment in given] == ["0,1", "2,3"]
    engine.close()


def test_only_settings_that_change_answers_are_part_of_the_identity(
    model: Path, started: list[dict[str, Any]]
) -> None:
    def identity(**settings: Any) -> dict[str, object]:
        return dict(VllmEngine(resolve_weights(model), DECODING, Vllm(**settings)).identity)

    plain = identity()
    assert identity(data_parallel=2, gpu_memory_utilization=0.5, max_num_seqs=4) == plain
    assert identity(tensor_parallel=2) == plain | {"tensor_parallel": 2}
    assert identity(max_model_len=64) == plain | {"max_model_len": 64}


def test_a_longest_prompt_above_the_models_or_too_short_for_an_answer_is_refused(
    model: Path, started: list[dict[str, Any]]
) -> None:
    with pytest.raises(UserError, match=r"max_model_len is 1000, but its limit is 512; set .* at most 512"):
        VllmEngine(resolve_weights(model), DECODING, Vllm(max_model_len=1000))
    with pytest.raises(ValueError, match=r"vllm.max_model_len must be above max_new_tokens \(80\)"):
        Predict(engine="vllm", threads=1, max_new_tokens=80, vllm=Vllm(max_model_len=80))


def test_a_worker_process_that_fails_is_one_line(
    model: Path, started: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        raise Exception("WorkerProc initialization failed")

    monkeypatch.setattr(sys.modules["vllm"], "LLM", fail)
    engine = VllmEngine(resolve_weights(model), DECODING, Vllm(tensor_parallel=2))
    with pytest.raises(UserError, match="vLLM cannot run it: WorkerProc initialization failed; fix that"):
        list(engine.generate([BATCH]))
    engine.close()
