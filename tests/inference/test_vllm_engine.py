"""The vLLM engine with the tiny model; needs vLLM: `make test-vllm`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT
from tests.tiny import tiny_adapter, tiny_qwen3, tiny_tokenizer
from text2sql.errors import UserError
from text2sql.inference.engine import Answer, Engine, Request
from text2sql.inference.settings import Batching, Decoding, Vllm
from text2sql.inference.transformers_engine import TransformersEngine
from text2sql.inference.vllm_engine import VllmEngine, _engine_settings
from text2sql.inference.weights import resolve_weights
from text2sql.prompts import messages

pytest.importorskip("vllm")
pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="compares float32 answers of the CPU")

NEW_TOKENS = 12
REQUESTS = [
    Request(messages("CREATE TABLE singer (name, age);", f"Which singers are older than {n}?"), n)
    for n in range(6)
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # vLLM's attention on the CPU needs heads of at least 32 dimensions
    return tiny_tokenizer(tiny_qwen3(tmp_path_factory.mktemp("models") / "base", hidden_size=64))


@pytest.fixture(scope="module")
def adapter(base: Path) -> Path:
    return tiny_adapter(base.parent / "lora", base)


def ask(engine: Engine, requests: Sequence[Request]) -> list[Answer]:
    """The answers in the order of the requests."""
    batches = engine.plan(requests)
    found = dict(engine.generate([(n, [requests[i] for i in batch]) for n, batch in enumerate(batches)]))
    answers = {i: a for n, batch in enumerate(batches) for i, a in zip(batch, found[n], strict=True)}
    return [answers[number] for number in range(len(requests))]


def with_vllm(folder: Path, decoding: Decoding, requests: Sequence[Request] = REQUESTS) -> list[Answer]:
    with closing(VllmEngine(resolve_weights(folder), decoding)) as engine:
        return ask(engine, requests)


def with_transformers(folder: Path, decoding: Decoding) -> list[Answer]:
    engine = TransformersEngine(
        resolve_weights(folder), decoding, Batching(batch_tokens=4096, max_batch=8), threads=1
    )
    return ask(engine, REQUESTS)


def test_answers_and_logprobs_are_those_of_transformers(base: Path) -> None:
    decoding = Decoding(max_new_tokens=NEW_TOKENS, likelihood=True)
    found = with_vllm(base, decoding)
    expected = with_transformers(base, decoding)
    assert [a.text for a in found] == [a.text for a in expected]
    assert [a.logprob for a in found] == pytest.approx([a.logprob for a in expected], abs=1e-3)


def test_an_adapter_gives_the_same_answers_as_merged(base: Path, adapter: Path) -> None:
    found = with_vllm(adapter, Decoding(max_new_tokens=NEW_TOKENS))
    assert found == with_transformers(adapter, Decoding(max_new_tokens=NEW_TOKENS))
    assert found != with_transformers(base, Decoding(max_new_tokens=NEW_TOKENS))


def test_a_drawn_answer_depends_on_the_seed_of_the_request(base: Path) -> None:
    same = [Request(REQUESTS[0].messages, seed) for seed in (1, 2, 1)]
    first, other, again = with_vllm(base, Decoding(max_new_tokens=NEW_TOKENS, temperature=1.5), same)
    assert first == again != other


def test_a_prompt_that_is_too_long_is_in_no_batch(base: Path) -> None:
    long = Request(messages("CREATE TABLE singer (name);", "Names? " * 300), 0)
    engine = VllmEngine(resolve_weights(base), Decoding(max_new_tokens=NEW_TOKENS))
    assert engine.plan([REQUESTS[0], long, REQUESTS[1]]) == [[0], [2]]


def test_several_processes_give_the_same_answers(base: Path) -> None:
    decoding = Decoding(max_new_tokens=NEW_TOKENS)
    settings = Vllm(data_parallel=2)
    with closing(VllmEngine(resolve_weights(base), decoding, settings)) as engine:
        assert ask(engine, REQUESTS) == with_vllm(base, decoding)
        assert engine.identity == VllmEngine(resolve_weights(base), decoding).identity


# Answers with a model that is split over two processes, prints the answers, and stays.
_SPLIT = """
import json, sys, time
from pathlib import Path
from tests.inference.test_vllm_engine import NEW_TOKENS, REQUESTS, ask
from text2sql.inference.settings import Decoding, Vllm
from text2sql.inference.vllm_engine import VllmEngine
from text2sql.inference.weights import resolve_weights
if __name__ == "__main__":
    settings = Vllm(tensor_parallel=2)
    engine = VllmEngine(resolve_weights(Path(sys.argv[1])), Decoding(max_new_tokens=NEW_TOKENS), settings)
    texts = [answer.text for answer in ask(engine, REQUESTS)]
    print("answers", json.dumps([engine.identity["tensor_parallel"], texts]), flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="each process needs a core of its own")
def test_a_model_split_over_two_processes_answers_the_same_and_they_end_when_it_is_killed(
    base: Path, tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(_SPLIT)
    first, second, *_ = sorted(os.sched_getaffinity(0))
    cores = {"VLLM_CPU_OMP_THREADS_BIND": f"{first}|{second}", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(program), str(base)]
    with subprocess.Popen(command, env=os.environ | cores, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            line = next(line for line in process.stdout if line.startswith("answers "))
            started = descendants(process.pid)
        finally:
            process.kill()
    expected = [answer.text for answer in with_vllm(base, Decoding(max_new_tokens=NEW_TOKENS))]
    assert json.loads(line.removeprefix("answers ")) == [2, expected]
    assert len(started) >= 2
    deadline = time.monotonic() + 10
    while any(map(runs, started)):
        assert time.monotonic() < deadline, "a process outlives its parent"
        time.sleep(0.1)


def descendants(pid: int) -> list[int]:
    """The processes that `pid` started, and those that they started."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    children = [int(child) for child in text.split()]
    return children + [found for child in children for found in descendants(child)]


def runs(pid: int) -> bool:
    """Whether a process is there, and not only its entry in the table of processes."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_vllm_knows_every_argument_that_it_gets() -> None:
    from vllm.engine.arg_utils import EngineArgs

    settings = Vllm(tensor_parallel=2, max_model_len=100, max_num_seqs=8)
    assert set(_engine_settings(settings)) <= set(EngineArgs.__dataclass_fields__)


def test_the_longest_prompt_is_that_of_max_model_len(base: Path) -> None:
    decoding = Decoding(max_new_tokens=NEW_TOKENS)
    engine = VllmEngine(resolve_weights(base), decoding, Vllm(max_model_len=100))
    assert engine.max_prompt_tokens == 100 - NEW_TOKENS
    assert engine.identity["max_model_len"] == 100
    with pytest.raises(UserError, match="max_model_len is 1000, but its limit is 512"):
        VllmEngine(resolve_weights(base), decoding, Vllm(max_model_len=1000))


def test_a_rank_too_high_for_vllm_is_refused(adapter: Path) -> None:
    config = adapter / "adapter_config.json"
    text = config.read_text()
    try:
        config.write_text(text.replace('"r": 4', '"r": 1024'))
        with pytest.raises(UserError, match="rank 1024, but vLLM supports at most 512"):
            VllmEngine(resolve_weights(adapter), Decoding(max_new_tokens=NEW_TOKENS))
    finally:
        config.write_text(text)
