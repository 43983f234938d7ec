"""Checks `training.extra` with LLaMA-Factory's own parser, in a process of its own."""

from __future__ import annotations

import difflib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

from text2sql.errors import UserError
from text2sql.training.recipe import llamafactory_config
from text2sql.training.settings import Recipe

# Checked elsewhere, and not parsed here: their parsers need packages, a GPU or torchrun.
_LEFT_OUT = ("deepspeed", "enable_liger_kernel", "flash_attn", "optim", "report_to")


def extra_problems(recipes: Sequence[Recipe]) -> list[list[str]]:
    """For each of `recipes` the faults that LLaMA-Factory finds in its `extra`, which takes ten seconds.

    Not covered: Megatron, whose parser needs its package, and what only a GPU or several ranks show. The
    trainer parses all of it again when it starts.

    Raises:
        UserError: LLaMA-Factory cannot be loaded.
    """
    requests = [_request(recipe) for recipe in recipes]
    if not any(request["extra"] for request in requests):
        return [[] for _ in recipes]
    done = subprocess.run(
        [sys.executable, "-m", "text2sql.training.extra"],
        input=json.dumps(requests),
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "USE_MCA": "0"},
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode != 0:
        raise UserError(f"LLaMA-Factory could not check training.extra\n{done.stderr[-2000:]}")
    found: list[list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found


def _request(recipe: Recipe) -> dict[str, Any]:
    if recipe.megatron is not None or not recipe.extra:
        return {"arguments": {}, "extra": {}}
    here = Path("none")
    configuration = llamafactory_config(recipe.replace(ranks=1), here, here, here)
    arguments = {key: value for key, value in configuration.items() if key not in _LEFT_OUT}
    return {"arguments": arguments | {"use_cpu": True}, "extra": recipe.extra}


def _faults(arguments: dict[str, Any], extra: Mapping[str, Any]) -> Iterator[str]:
    """Unknown keys and wrong types, or, without those, what LLaMA-Factory says against all together."""
    kinds = _kinds()
    wrong = [fault for key, value in extra.items() if (fault := _fault(key, value, kinds))]
    yield from wrong
    if wrong or not extra:
        return
    from llamafactory.hparams import get_train_args

    try:
        get_train_args(arguments)
    except (ValueError, ImportError, AssertionError, TypeError) as error:
        named = ", ".join(f"training.extra.{key}" for key in extra)
        yield f"{named}: LLaMA-Factory refuses this: {' '.join(str(error).split())}"


def _kinds() -> dict[str, Any]:
    """The types of the arguments of training, by name."""
    from llamafactory.hparams.parser import _TRAIN_ARGS

    return {name: kind for group in _TRAIN_ARGS for name, kind in get_type_hints(group).items()}


def _fault(key: str, value: object, kinds: Mapping[str, Any]) -> str | None:
    from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError

    if key not in kinds:
        close = difflib.get_close_matches(key, kinds, n=3)
        advice = f"; did you mean {' or '.join(close)}?" if close else ""
        return f"training.extra.{key}: LLaMA-Factory has no such argument{advice}"
    try:
        read = TypeAdapter(kinds[key]).validate_python(value)
    except ValidationError as error:
        return f"training.extra.{key}: {error.errors()[0]['msg']} (found {value!r})"
    except PydanticSchemaGenerationError:
        return f"training.extra.{key}: not a number, text, list or table, so params.yaml cannot hold it"
    if read != value:  # LLaMA-Factory uses the value as it is: the text "false" would count as true
        return f"training.extra.{key}: {value!r} is text; write it without quotation marks, as {read!r}"
    return None


if __name__ == "__main__":
    out = os.dup(1)
    os.dup2(2, 1)  # what the libraries print is no part of the answer
    answer = [list(_faults(request["arguments"], request["extra"])) for request in json.load(sys.stdin)]
    os.write(out, json.dumps(answer).encode())
