"""Finds out whether a folder has a complete model, or an adapter with the base it was trained on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from text2sql.errors import UserError
from text2sql.files import folder_above
from text2sql.workstore import hash_path

_WEIGHT_FILES = ("*.safetensors", "*.bin")


@dataclass(frozen=True)
class Weights:
    """A model folder (`base` is None), or a PEFT adapter folder and its base, with their SHA-256."""

    folder: Path
    sha256: str
    base: Path | None = None
    base_sha256: str | None = None

    @property
    def model(self) -> Path:
        """The folder with the configuration and the tokenizer of the complete model."""
        return self.base or self.folder


def resolve_weights(folder: Path) -> Weights:
    """Read a model or adapter folder; an adapter's path to its base is relative to the working directory.

    Raises:
        UserError: the folder or its weights are missing, or the base is not the one in the adapter's
            `base.json` ({"path", "sha256"}, written by training).
    """
    _require_file(folder, *_WEIGHT_FILES)
    if not (folder / "adapter_config.json").is_file():
        _require_file(folder, "config.json")
        return Weights(folder, hash_path(folder))
    base = _named_base(folder)
    _require_file(base, *_WEIGHT_FILES)
    _require_file(base, "config.json")
    return Weights(folder, hash_path(folder), base, _checked_base(folder, base))


def _named_base(adapter: Path) -> Path:
    """The base that the adapter names; one from elsewhere may name a model on the hub."""
    file = adapter / "adapter_config.json"
    base = Path(_field(file, "base_model_name_or_path"))
    if not base.is_dir():
        raise UserError(
            f"{adapter} was trained on {base}: no such folder; `dvc repro` creates the pipeline's models. "
            "For an adapter from elsewhere bring its base (fetch_model in params.yaml), and write "
            f"models/base as base_model_name_or_path in {file}"
        )
    return base


def _checked_base(adapter: Path, base: Path) -> str:
    found = hash_path(base)
    _require_base_json(adapter, base, found)
    trained_on, expected = (_field(adapter / "base.json", key) for key in ("path", "sha256"))
    if found != expected:
        raise UserError(
            f"{adapter} was trained on {trained_on} with sha256 {expected}, but {base} has sha256 "
            f"{found}: another base model; restore the first, or train the adapter again (`dvc repro`)"
        )
    return found


def _require_base_json(adapter: Path, base: Path, sha256: str) -> None:
    """An adapter from elsewhere has no base.json; only its owner knows the weights that it was trained on."""
    file = adapter / "base.json"
    if not file.is_file():
        line = json.dumps({"path": str(base), "sha256": sha256})
        raise UserError(
            f"{file}: no such file, which says on what {adapter} was trained; training writes it "
            f"(`dvc repro`). If {adapter} is from elsewhere and was trained on the weights in {base}, write "
            f"this line to it: {line}"
        )


def _require_file(folder: Path, *patterns: str) -> None:
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; {remedy(folder)}")
    if not any(file for pattern in patterns for file in folder.glob(pattern)):
        wanted = " or ".join(patterns)
        raise UserError(f"{folder}: no {wanted} in it; {remedy(folder)}")


def remedy(folder: Path) -> str:
    """The next step for a model folder that cannot be used: the pipeline makes those below models/."""
    if folder_above(folder, "models"):
        return "`dvc repro` creates the pipeline's files"
    return "fix the folder, or name another one"


def _field(path: Path, key: str) -> str:
    try:
        value: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; training writes it (`dvc repro`)") from error
    except ValueError as error:
        raise UserError(f"{path}: not JSON; training writes it again (`dvc repro`)") from error
    if not isinstance(value, dict) or not isinstance(value.get(key), str):
        raise UserError(f"{path}: no text under {key!r}; training writes it again (`dvc repro`)")
    return value[key]
