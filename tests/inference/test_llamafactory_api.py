"""The openai engine with a real server: LLaMA-Factory's, serving the tiny model."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import torch

from tests.tiny import tiny_qwen3, tiny_tokenizer
from text2sql.endpoint_settings import Endpoint
from text2sql.inference.engine import Engine, Request
from text2sql.inference.journal import generate_all
from text2sql.inference.openai_engine import OpenAIEngine
from text2sql.inference.settings import Batching, Decoding
from text2sql.inference.transformers_engine import TransformersEngine
from text2sql.inference.weights import resolve_weights
from text2sql.prompts import messages

pytestmark = pytest.mark.slow

CLI = Path(sys.executable).with_name("llamafactory-cli")
REQUESTS = [
    Request(messages("CREATE TABLE singer (name, age);", f"Which singers are older than {n}?"), n)
    for n in range(5)
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_tokenizer(tiny_qwen3(tmp_path_factory.mktemp("models") / "base"))


@pytest.fixture(scope="module")
def url(base: Path) -> Iterator[str]:
    """The address of LLaMA-Factory's server, which is stopped after the tests of this file."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--model_name_or_path", str(base), "--template", "qwen3", "--enable_thinking", "false"]
    dtype = ["--infer_dtype", "float32"]
    environment = os.environ | {"API_HOST": "127.0.0.1", "API_PORT": str(port), "OMP_NUM_THREADS": "1"}
    log = base.parent / "api.log"
    with (
        open(log, "wb") as out,
        subprocess.Popen(
            [str(CLI), "api", *options, *dtype], env=environment, stdout=out, stderr=out
        ) as server,
    ):
        while not listens(port):
            assert server.poll() is None, log.read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1"
        server.kill()


def listens(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_server_has_no_log_probabilities_and_says_that_an_answer_reached_its_limit(
    url: str, tmp_path: Path
) -> None:
    endpoint = Endpoint(base_url=url, model="tiny", concurrency=2, timeout_s=60.0, max_retries=1)
    decoding = Decoding(max_new_tokens=1, temperature=0.8, likelihood=True)
    found = generate_all(OpenAIEngine(endpoint, decoding, {}), REQUESTS, tmp_path / "journal", "test")
    assert [(answer.logprob, answer.problem) for answer in found if answer] == [(None, "truncated")] * 5


def texts(engine: Engine, folder: Path) -> list[str]:
    return [answer.text for answer in generate_all(engine, REQUESTS, folder / "journal", "test") if answer]


@pytest.mark.skipif(torch.cuda.is_available(), reason="compares float32 answers of the CPU")
def test_the_server_gives_the_same_answers_as_the_transformers_engine(
    base: Path, url: str, tmp_path: Path
) -> None:
    decoding = Decoding(max_new_tokens=16)
    endpoint = Endpoint(base_url=url, model="tiny", concurrency=2, timeout_s=60.0, max_retries=1)
    served = OpenAIEngine(endpoint, decoding, {})
    local = TransformersEngine(
        resolve_weights(base), decoding, Batching(batch_tokens=4096, max_batch=8), threads=1
    )
    (tmp_path / "local").mkdir()
    found = texts(served, tmp_path)
    assert len(found) == len(REQUESTS)
    assert found == texts(local, tmp_path / "local")
