"""The licence that a model's own card, or the package that brings it, states. A licence is never guessed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

from yaml import YAMLError

BUILTIN = "apache-2.0"
"""The licence of the tiny model, which is the project's."""

CARD = "README.md"
_LONGEST = 60  # characters; some packages have the whole text in the field that names the licence


def licence_in(folder: Path) -> str | None:
    """The licence in the metadata of a folder's model card, as the hub names it; None if there is none."""
    from huggingface_hub import ModelCard

    if not (folder / CARD).is_file():
        return None
    try:
        data = ModelCard.load(folder / CARD, ignore_metadata_errors=True).data.to_dict()
    except (ValueError, YAMLError):  # the file is not UTF-8, or its metadata are no YAML, or no mapping
        return None
    named = data.get("license_name") if data.get("license") == "other" else data.get("license")
    return _stated(named)


def packaged_licence(package: str) -> str | None:
    """The licence that an installed package states; None if it states none."""
    try:
        found = metadata(package).json
    except PackageNotFoundError:
        return None
    return _stated(found.get("license_expression") or found.get("license"))


def _stated(value: object) -> str | None:
    text = value.strip() if isinstance(value, str) else ""
    return text.lower() if 0 < len(text) <= _LONGEST and text.upper() != "UNKNOWN" else None
