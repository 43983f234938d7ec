"""params.yaml as one typed model; unknown keys, wrong types and bad values are errors that name the key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, ValidationError, model_validator
from ruamel.yaml import YAML, YAMLError

from text2sql.base_models.settings import FetchModel
from text2sql.contamination.settings import DedupeTest
from text2sql.errors import UserError
from text2sql.evaluation.settings import EvaluationSettings
from text2sql.inference.settings import Predict
from text2sql.preparation.settings import FetchData, Prepare
from text2sql.retrieval.settings import IndexExamples, RetrieveExamples
from text2sql.schema.settings import ConvertSchema, Prompt
from text2sql.settings import Settings, checked, sentences
from text2sql.training.settings import FullArm, LoraArm, Recipe, Training, recipe_of

WeightsFolder = Literal["models/base", "models/lora32", "models/lora128", "models/full", "models/lora"]


def _arm_name(name: str) -> str:
    """The name is part of commands and file names; those in `taken` are other files of metrics/."""
    taken = ("summary", "pairs", "prepare", "dedupe_test", "convert_schema")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name) or name in taken:
        raise ValueError(
            f"the name of an arm has letters, digits, _ and -, and is none of {', '.join(taken)}"
        )
    return name


class Arm(Settings):
    """One arm of the comparison: weights, and questions with or without retrieved examples."""

    weights: WeightsFolder
    questions: Literal["data/test", "data/examples/embedding", "data/examples/rerank"]


class Params(Settings):
    """All of params.yaml; the settings of each section are declared in the package that uses them."""

    profile: str
    fetch_data: FetchData
    fetch_model: FetchModel
    prepare: Prepare
    dedupe_test: DedupeTest
    convert_schema: ConvertSchema
    index_examples: IndexExamples
    retrieve_examples: RetrieveExamples
    prompt: Prompt
    training: Training
    train_lora32: LoraArm
    train_lora128: LoraArm
    train_full: FullArm
    lora: LoraArm
    predict: Predict
    evaluate: EvaluationSettings
    arms: Annotated[dict[Annotated[str, AfterValidator(_arm_name)], Arm], Field(min_length=1)]

    def trained(self) -> dict[str, LoraArm | FullArm]:
        """The settings of the trained arms, by the name of their section."""
        names = ("train_lora32", "train_lora128", "train_full", "lora")
        return {name: getattr(self, name) for name in names}

    def recipe(self, section: str) -> Recipe:
        """The recipe of the trained arm with the settings in `section`."""
        return recipe_of(self.training, self.trained()[section])

    @model_validator(mode="after")
    def _has_recorded_schemas(self) -> Params:
        if self.convert_schema.backend == "recorded" and not self.fetch_data.recorded_schemas:
            raise ValueError("fetch_data.recorded_schemas is needed with convert_schema.backend: recorded")
        return self

    @model_validator(mode="after")
    def _unchecked_schemas_keep_their_types(self) -> Params:
        if self.prepare.as_written and not self.prompt.schema_types:
            raise ValueError(
                "prepare.as_written needs prompt.schema_types: true, because types can be left out only of a "
                "schema that was checked"
            )
        return self

    @model_validator(mode="after")
    def _engine_begins_the_answer(self) -> Params:
        if self.predict.engine == "openai" and self.prompt.form == "reference":
            raise ValueError(
                "prompt.form: reference begins the answer, which predict.engine: openai cannot send; set "
                "predict.engine: vllm or transformers, or prompt.form: compact"
            )
        return self

    @model_validator(mode="after")
    def _names_have_the_rank(self) -> Params:
        for rank, arm in ((32, self.train_lora32), (128, self.train_lora128)):
            if arm.rank != rank:
                raise ValueError(f"train_lora{rank}.rank must be {rank}; set lora.rank for another rank")
        return self

    @model_validator(mode="after")
    def _recipes_have_no_conflicts(self) -> Params:
        if self.fetch_model.source == "builtin":
            with _naming("fetch_model.tiny"):
                self.fetch_model.tiny.recipe(self.training)
        for section, arm in self.trained().items():
            if arm.enabled:
                with _naming(section):
                    self.recipe(section)
        return self

    @model_validator(mode="after")
    def _arms_are_trained(self) -> Params:
        folders = {f"models/{name.removeprefix('train_')}": arm for name, arm in self.trained().items()}
        for name, arm in self.arms.items():
            if arm.weights in folders and not folders[arm.weights].enabled:
                raise ValueError(f"arms.{name} uses {arm.weights}, whose training has enabled: false")
        return self

    @model_validator(mode="after")
    def _endpoint_serves_the_arms(self) -> Params:
        endpoint = self.predict.endpoint
        unknown = sorted(set(endpoint.models) - set(get_args(WeightsFolder)))
        if unknown:
            known = ", ".join(get_args(WeightsFolder))
            raise ValueError(f"predict.endpoint.models: no weights {unknown[0]!r}; choose from {known}")
        for name, arm in self.arms.items():
            if self.predict.engine == "openai" and arm.weights not in endpoint.models:
                missing = f"{arm.weights} (arms.{name})"
                raise ValueError(f"predict.endpoint.models has no {missing}: name the model that serves it")
        return self


@contextmanager
def _naming(section: str) -> Iterator[None]:
    """Add the section to the message of an invalid recipe."""
    try:
        yield
    except ValidationError as error:
        raise ValueError(f"{section}, with training: {sentences(Recipe, error)}") from error


def load_params(path: str | Path = "params.yaml") -> Params:
    """Read and check params.yaml, with DVC's YAML parser: DVC writes 2e-05 for `-S ...=2.0e-5`.

    Raises:
        UserError: the file is missing or not YAML, or values are not allowed (all of them are listed).
    """
    try:
        values = YAML(typ="safe", pure=True).load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; `make use PROFILE=embedded` writes it") from error
    except (YAMLError, ValueError, RecursionError) as error:
        raise UserError(
            f"{path}: not YAML in UTF-8: {error}; fix it, or `make use PROFILE=embedded`"
        ) from error
    return checked(Params, values, str(path), next_step="\nfix it, or `make use PROFILE=embedded`")
