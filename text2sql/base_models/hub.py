"""A model from the Hugging Face hub at one commit."""

from __future__ import annotations

import tempfile
from pathlib import Path

from text2sql.errors import DISK_FULL, UserError
from text2sql.files import publish, read_json

# Weights, configuration, tokenizer and licence, without copies of the weights in other formats.
PATTERNS = ["*.safetensors", "*.json", "*.txt", "*.jinja", "LICENSE*"]


def fetch_hub_model(repo: str, revision: str, output: Path) -> None:
    """Put the model `repo` ("owner/name") at commit `revision` (40 hex digits) into `output`.

    A complete snapshot in the local cache is used without the network, because a commit never changes.

    Raises:
        UserError: neither the cache nor the hub has it, or weights, configuration or tokenizer are missing.
    """
    snapshot = _cached(repo, revision) or _downloaded(repo, revision)
    missing = missing_files(snapshot)
    if missing:
        raise UserError(
            f"fetch_model.hub_model: {repo} at {revision} has no {', '.join(missing)}; "
            "name a model with safetensors weights and a tokenizer"
        )
    with tempfile.TemporaryDirectory() as links:
        for file in sorted(file for pattern in PATTERNS for file in snapshot.glob(pattern)):
            (Path(links) / file.name).symlink_to(file.resolve())
        publish(Path(links), output)  # copies the files that the links refer to


def missing_files(folder: Path) -> list[str]:
    """The files of a model that `folder` does not have: configuration, tokenizer or shards of the weights."""
    index = folder / "model.safetensors.index.json"
    sharded = index.is_file()
    shards = sorted(set(read_json(index)["weight_map"].values())) if sharded else ["model.safetensors"]
    wanted = ["config.json", "tokenizer_config.json", *shards]
    return [name for name in wanted if not (folder / name).is_file()]


def _cached(repo: str, revision: str) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(repo, revision=revision, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    except HFValidationError as error:
        raise UserError(f"fetch_model.hub_model: {error}") from error
    # an interrupted download leaves some of the files
    return None if missing_files(folder) else folder


def _downloaded(repo: str, revision: str) -> Path:
    import httpx
    from huggingface_hub import snapshot_download
    from huggingface_hub.constants import HF_HUB_CACHE

    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=PATTERNS))
    except (OSError, httpx.HTTPError) as error:
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            raise OSError(error.errno, error.strerror, error.filename or HF_HUB_CACHE) from error
        raise UserError(
            f"fetch_model.hub_model: {repo} at {revision} is not in the local cache and not available "
            f"from the hub ({type(error).__name__}: {str(error).splitlines()[0]}); fix fetch_model in "
            "params.yaml, or work without a network: `make use PROFILE=embedded`"
        ) from error
