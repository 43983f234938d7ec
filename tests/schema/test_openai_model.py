"""A real model, served by LLaMA-Factory on this machine, is asked to convert schemas."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.tiny import tiny_qwen3, tiny_tokenizer
from text2sql.errors import UserError
from text2sql.schema.convert import Source
from text2sql.schema.openai_backend import JOURNAL, OpenAIBackend
from text2sql.schema.settings import OpenAI

pytestmark = pytest.mark.slow

START_S = 120.0  # LLaMA-Factory imports for 8 to 10 s on an idle machine
KEY = "sk-of-the-tiny-server"
PROSE = (
    "shop contains tables such as item. Table item has columns such as id, name. id is the primary key. "
    "The name contains values such as Tea."
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(folder: Path, log: Path) -> Iterator[str]:
    """Serve the model in `folder`; yields its base_url."""
    port = free_port()
    settings = {"API_HOST": "127.0.0.1", "API_PORT": str(port), "API_KEY": KEY, "HF_HUB_OFFLINE": "1"}
    command = [str(Path(sys.executable).with_name("llamafactory-cli")), "api"]
    arguments = ["--model_name_or_path", str(folder), "--template", "qwen3", "--infer_backend", "huggingface"]
    with open(log, "w") as file:
        process = subprocess.Popen(
            [*command, *arguments],
            env={**os.environ, **settings, "OMP_NUM_THREADS": "1"},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        base_url = f"http://127.0.0.1:{port}/v1"
        wait_for(base_url, process, log)
        yield base_url
    finally:
        process.terminate()
        process.wait()


def wait_for(base_url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    request = urllib.request.Request(f"{base_url}/models", headers={"Authorization": f"Bearer {KEY}"})
    end = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < end:
        try:
            urllib.request.urlopen(request, timeout=5).close()
            return
        except urllib.error.URLError:
            time.sleep(0.2)
    pytest.fail(f"llamafactory-cli api does not answer:\n{log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("tiny")
    tiny_tokenizer(tiny_qwen3(folder, context=4096))
    with served(folder, folder.parent / "api.log") as address:
        yield address


def backend(base_url: str, work: Path) -> OpenAIBackend:
    settings = OpenAI(
        base_url=base_url,
        model="tiny",
        temperature=0.0,
        max_tokens=16,
        max_tokens_name="max_tokens",
        concurrency=2,
        requests_per_minute=6000,
        timeout_s=60.0,
        max_retries=2,
        usd_per_million_in=1.0,
        usd_per_million_out=1.0,
        max_repairs=1,
        cap_usd=None,
    )
    return OpenAIBackend(settings, "comment", work)


def test_a_model_that_knows_nothing_is_asked_twice_and_then_the_rules_take_over(
    base_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    made = backend(base_url, tmp_path)
    ((_, conversion),) = made.convert_all([Source(0, "shop", PROSE)])
    assert (conversion.backend, conversion.attempts) == ("rules", 3)
    assert "CREATE TABLE item" in conversion.ddl and "'Tea'" in conversion.ddl
    assert "converted by rules, not by tiny: answer 2 falls short" in conversion.problems[0]
    answers = [json.loads(line)["answer"] for line in (tmp_path / JOURNAL).read_text().splitlines()]
    assert len(answers) == 2 and answers[1]["tokens_in"] > answers[0]["tokens_in"] > 100
    assert all(answer["text"] and 0 < answer["tokens_out"] <= 16 for answer in answers)
    assert made.spending.tokens_in == sum(answer["tokens_in"] for answer in answers)


def test_a_wrong_key_is_refused_by_name(
    base_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody-else")
    with pytest.raises(UserError, match=r"refuses the key .*Invalid API key") as error:
        list(backend(base_url, tmp_path).convert_all([Source(0, "shop", PROSE)]))
    assert "somebody" not in str(error.value)
