"""The folder that is published: complete weights, tokenizer, the base model's licence files, and the card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from text2sql.errors import UserError
from text2sql.files import replacing_folder
from text2sql.inference.weights import Weights
from text2sql.publishing.snippet import model_line
from text2sql.workstore import WorkStore, locked

CARD = "README.md"
_LICENCES = ("LICENSE*", "NOTICE*")


def complete_weights(
    weights: Weights, chats: Sequence[Sequence[Mapping[str, str]]], store: WorkStore
) -> Path:
    """The folder of a complete model: that of `weights`, or its adapter merged into the base.

    The merged model is kept in the work store, so that it is made once. `chats` are those whose logits are
    compared before and after merging.

    Raises:
        UserError: see `training.merge.merge_adapter`.
    """
    if weights.base is None:
        return weights.folder
    key = {
        "adapter": weights.sha256,
        "base": weights.base_sha256,
        "packages": {name: version(name) for name in ("torch", "transformers", "peft")},
    }
    work = store.open("publish", key)
    with locked(work):
        merged = work / "model"
        if not merged.is_dir():
            from text2sql.training.merge import merge_adapter  # loads torch

            merge_adapter(weights.folder, merged, chats)
    return merged


def assemble(model: Path, base: Path, card: str, output: Path) -> None:
    """Replace the folder `output`: links to the files of `model` and the base's licence, and the card."""
    files = {file.name: file for file in sorted(model.iterdir()) if file.is_file()}
    files |= {file.name: file for pattern in _LICENCES for file in sorted(base.glob(pattern))}
    files.pop(CARD, None)
    with replacing_folder(output) as folder:
        for name, file in files.items():
            (folder / name).symlink_to(file.resolve())
        (folder / CARD).write_text(card, encoding="utf-8")


def card_for(card: Path, model: str, repo: str, commit: str) -> str:
    """The text of a card whose code names the repository `repo` in place of the folder `model`.

    `commit` says from what the model was made.

    Raises:
        UserError: there is no card, or its code does not name the model.
    """
    if not card.is_file():
        raise UserError(f"{card}: no such file; `dvc repro report` writes the cards")
    text = card.read_text(encoding="utf-8")
    if model_line(model) not in text:
        raise UserError(
            f"{card}: its code has no line {model_line(model)}; `dvc repro report` writes it again"
        )
    made = f"## Provenance\n\nMade at {commit} of the project's repository, whose dvc.lock has the hashes."
    return f"{text.replace(model_line(model), model_line(repo), 1).rstrip()}\n\n{made}\n"


def sizes(folder: Path) -> dict[str, int]:
    """The bytes of every file in the folder, by name."""
    return {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
