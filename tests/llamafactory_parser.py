"""A training configuration as LLaMA-Factory's own parser reads it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

STANDINS = Path(__file__).parent / "training" / "standins"  # replaces mcore_adapter, which needs Megatron
# Prints the parsed arguments.
PARSE = """
import json, sys
from llamafactory.hparams import get_train_args
parsed = {}
model, data, training, finetuning, _ = get_train_args()
for part in (finetuning, data, model, training):
    parsed |= {key: value for key, value in vars(part).items() if not key.startswith("_")}
print("PARSED" + json.dumps(parsed, default=str))
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
    environment = os.environ | rank | {"MASTER_PORT": str(port), "USE_MCA": str(int(megatron))}
    environment |= {"PYTHONPATH": str(STANDINS)} if megatron else {}
    done = subprocess.run(
        [sys.executable, "-c", PARSE, str(file)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("PARSED")]
    parsed: dict[str, Any] = json.loads(line.removeprefix("PARSED"))
    return parsed
