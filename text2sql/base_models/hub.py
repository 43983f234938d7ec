"""A model from the Hugging Face hub at one commit."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from text2sql.base_models.licence import CARD
from text2sql.errors import UserError
from text2sql.files import publish
from text2sql.hub import Hub, is_commit, not_a_record, pin, read_record_file
from text2sql.training.memory import shards

# Weights, configuration, tokenizer and licence, without copies of the weights in other formats.
PATTERNS = ["*.safetensors", "*.json", "*.txt", "*.jinja", "LICENSE*"]


def fetch_hub_model(repo: str, revision: str, output: Path, hub: Hub | None = None) -> str:
    """Put the model `repo` ("owner/name") at `revision` (branch, tag or commit) into `output`.

    Returns the commit (40 hex digits). A complete snapshot of it in the local cache needs no network.

    Raises:
        UserError: neither the cache nor the hub has it, or weights, configuration or tokenizer are missing.
    """
    hub = hub or Hub()
    try:
        commit = hub.resolve(repo, revision, "model")
        snapshot = hub.snapshot(repo, commit, "model", PATTERNS)
    except UserError as error:
        raise UserError(f"fetch_model.hub_model: {error}") from error
    _bring_card(hub, repo, commit)
    missing = missing_files(snapshot)
    if missing:
        raise UserError(
            f"fetch_model.hub_model: {repo} at {commit} has no {', '.join(missing)}; "
            "name a model with safetensors weights and a tokenizer"
        )
    with tempfile.TemporaryDirectory() as links:
        for file in sorted(file for pattern in (*PATTERNS, CARD) for file in snapshot.glob(pattern)):
            (Path(links) / file.name).symlink_to(file.resolve())
        publish(Path(links), output)  # copies the files that the links refer to
    return commit


def _bring_card(hub: Hub, repo: str, commit: str) -> None:
    """Bring the model's card, which states its licence; a cache without it is used as it is."""
    try:
        hub.snapshot(repo, commit, "model", [CARD])
    except UserError as error:
        print(f"warning: without its card the model's licence is unknown: {error}", file=sys.stderr)


def read_pins(path: Path) -> dict[str, str]:
    """The commit that an earlier run kept in metrics/fetch_model.json, as text2sql/hub.py names it.

    {} if there is no such file, or the model was not from the hub.

    Raises:
        UserError: the file is not as fetch_model writes it.
    """
    found = read_record_file(path)
    if found.get("source") != "hub":
        return {}
    name, revision, commit = (found.get(key) for key in ("name", "revision", "commit"))
    if not isinstance(name, str) or not isinstance(revision, str) or not is_commit(commit):
        raise not_a_record(path)
    return {pin("model", name, revision): str(commit)}


def missing_files(folder: Path) -> list[str]:
    """The files of a model that `folder` does not have: configuration, tokenizer or shards of the weights."""
    index = folder / "model.safetensors.index.json"
    weights = shards(index) if index.is_file() else ["model.safetensors"]
    wanted = ["config.json", "tokenizer_config.json", *weights]
    return [name for name in wanted if not (folder / name).is_file()]
