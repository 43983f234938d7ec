"""A training configuration as LLaMA-Factory's own parser reads it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import yaml

STANDINS = Path(__file__).parent / "training" / "standins"  # replaces mcore_adapter, which needs Megatron
# Parses each file that it gets in a process of its own, and prints the arguments; imports LLaMA-Factory once.
PARSE = """
import json, os, sys
from llamafactory.hparams import get_train_args

def parse(file, environment):
    os.environ.update(environment)
    sys.argv[1:] = [file]
    parsed = {}
    model, data, training, finetuning, _ = get_train_args()
    for part in (finetuning, data, model, training):
        parsed |= {key: value for key, value in vars(part).items() if not key.startswith("_")}
    print("PARSED" + json.dumps(parsed, default=str), flush=True)

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            parse(*json.loads(line))
            status = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        os._exit(status)
    print("ENDED", os.waitpid(child, 0)[1], flush=True)
"""


def parsed_by_llamafactory(config: dict[str, object], folder: Path, megatron: bool) -> dict[str, Any]:
    """`config` as LLaMA-Factory reads it from YAML, in the environment of a rank.

    Only the key `use_cpu` is added: without a GPU, transformers allows bf16 only with it.
    """
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(config | {"use_cpu": True}, sort_keys=False))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    rank = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
    lines = _reply(_parser(megatron), json.dumps([str(file), rank | {"MASTER_PORT": str(port)}]))
    assert lines[-1] == "ENDED 0", "\n".join(lines)[-2000:]
    (line,) = [line for line in lines if line.startswith("PARSED")]
    parsed: dict[str, Any] = json.loads(line.removeprefix("PARSED"))
    return parsed


@cache
def _parser(megatron: bool) -> subprocess.Popen[str]:
    """It ends when the tests end, because that closes its input."""
    environment = os.environ | {"USE_MCA": str(int(megatron))}
    environment |= {"PYTHONPATH": str(STANDINS)} if megatron else {}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", PARSE],
        env=environment,
        stdin=pipe,
        stdout=pipe,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _reply(parser: subprocess.Popen[str], request: str) -> list[str]:
    """The lines that the parser prints for one request; the last one has the status."""
    assert parser.stdin is not None and parser.stdout is not None
    print(request, file=parser.stdin, flush=True)
    lines = []
    for line in parser.stdout:
        lines.append(line.rstrip("\n"))
        if lines[-1].startswith("ENDED"):
            return lines
    raise AssertionError("the parser ended: " + "\n".join(lines)[-2000:])
