"""Settings of the base model: where it comes from, and the shape of the tiny one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import StringConstraints, model_validator

from text2sql.files import folder_above
from text2sql.settings import Positive, Rate, Settings
from text2sql.training.settings import Recipe

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class TinyModel(Settings):
    """The built-in base model: its shape, and the training that it gets on simple questions.

    `seed` decides its rows, its first weights and their order in training; `rows` are simple questions on
    random schemas, none of which the test asks. The intermediate size is three times `hidden_size`, each of
    the `heads` has hidden_size / heads dimensions. Batches are in rows, `cutoff_len` is in tokens.
    """

    seed: int = 5
    rows: Positive = 12_000
    vocab_size: Positive = 2_000
    hidden_size: Positive = 128
    layers: Positive = 2
    heads: Positive = 4
    kv_heads: Positive = 2
    learning_rate: Rate = 1.0e-2
    max_steps: Positive = 700
    global_batch: Positive = 16
    device_batch: Positive = 16

    cutoff_len: Positive = 512
    threads: Positive = 1

    def recipe(self) -> Recipe:
        """How the model is trained. Section training has no part in it, so that it stays when that changes.

        Raises:
            pydantic.ValidationError: settings exclude each other.
        """
        keys = ("seed", "learning_rate", "max_steps", "global_batch", "device_batch", "cutoff_len", "threads")
        return Recipe(
            **{key: getattr(self, key) for key in keys},
            optimizer="muon",
            scheduler="cosine",
            warmup_ratio=0.05,
            weight_decay=0.01,
            precision="fp32",
            group_by_length=True,
            logging_steps=10,
            save_steps=100,
        )


class FetchModel(Settings):
    """Where the base model comes from: trained here, a folder, a repository of the hub, or a Python package.

    `hub_revision` is a branch, a tag or a commit. What it stood for is in metrics/fetch_model.json, and is
    used as long as model and revision stay the same.
    """

    source: Literal["builtin", "folder", "hub", "package"]
    folder: Name | None = None
    package: Name | None = None
    hub_model: Name | None = None
    hub_revision: Name | None = None
    tiny: TinyModel

    @property
    def name(self) -> str:
        """The folder, package or repository; "builtin" for the model that is trained here."""
        return {"folder": self.folder, "package": self.package, "hub": self.hub_model}.get(
            self.source
        ) or "builtin"

    @model_validator(mode="after")
    def _source_is_named(self) -> FetchModel:
        needed = {"folder": ["folder"], "package": ["package"], "hub": ["hub_model", "hub_revision"]}
        for key in needed.get(self.source, []):
            if getattr(self, key) is None:
                raise ValueError(f"{key} is needed with source: {self.source}")
        return self

    @model_validator(mode="after")
    def _folder_is_kept(self) -> FetchModel:
        """DVC removes the outputs of a stage before its command, so that the model would be lost."""
        above = folder_above(Path(self.folder).expanduser(), "models", "data") if self.folder else None
        if above and self.source == "folder":
            raise ValueError(
                f"folder is below {above}/, whose folders the pipeline replaces; move the model elsewhere"
            )
        return self
