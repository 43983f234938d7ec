"""Which model is asked, and how: as the caller says, or as an arm of the pipeline in this folder is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import cast

from text2sql.cpu import allowed_cores
from text2sql.endpoint_settings import EndpointSettings
from text2sql.errors import UserError
from text2sql.inference.engine import Engine
from text2sql.inference.engines import engine_for
from text2sql.inference.settings import Predict, ServedModels
from text2sql.schema.settings import Prompt, Values
from text2sql.settings import checked

ENTRY_POINTS = "text2sql.arms"
"""The group with the function that finds an arm: `find_arm(name | None) -> ModelPlan`, None: the best one."""

_ANSWER_TOKENS = 256
_RETRIES = 2  # a person waits
_SAMPLING_TEMPERATURE = 0.8  # where samples are wanted and the plan takes the likeliest token only


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """A model and the prompts that it was trained on.

    `weights` is the folder of a model or adapter, with an endpoint the model's name there. `values` and
    `examples` are the example values of a column in the schema, see `text2sql.schema.ddl.write_ddl`. `about`
    is a short description for people.
    """

    weights: Path | str
    predict: Predict
    prompt: Prompt
    values: Values = "none"
    examples: int = 0
    about: str = ""

    def with_samples(self, samples: int) -> ModelPlan:
        """The plan for drawing several answers to a question."""
        temperature = self.predict.temperature or _SAMPLING_TEMPERATURE
        changes: dict[str, object] = {"samples": samples}
        if samples > 1:
            changes["temperature"] = temperature
        return replace(self, predict=self.predict.replace(**changes))


def folder_plan(folder: Path, prompt: Prompt) -> ModelPlan:
    """A model folder, computed on all cores."""
    predict = Predict(
        engine="transformers", threads=allowed_cores(), max_new_tokens=_ANSWER_TOKENS, max_batch=8
    )
    return ModelPlan(folder, predict, prompt, about=str(folder))


def server_plan(base_url: str, model: str, prompt: Prompt) -> ModelPlan:
    """A model on a server that speaks OpenAI's protocol.

    Raises:
        UserError: `base_url` is not an address.
    """
    checked(EndpointSettings, {"base_url": base_url}, "--base-url")
    endpoint = ServedModels(base_url=base_url, models={model: model}, max_retries=_RETRIES)
    predict = Predict(engine="openai", threads=1, max_new_tokens=_ANSWER_TOKENS, endpoint=endpoint)
    return ModelPlan(model, predict, prompt, about=f"{model} at {base_url}")


def arm_plan(name: str | None) -> ModelPlan:
    """An arm of the pipeline in this folder; None is the best of those that are trained and scored.

    Raises:
        UserError: there is no pipeline, no such arm, or it is not trained.
    """
    for point in entry_points(group=ENTRY_POINTS):
        if find_spec(point.module.partition(".")[0]):
            return cast(Callable[[str | None], ModelPlan], point.load())(name)
    raise UserError(
        "--arm needs the pipeline's checkout; name a model: --model FOLDER, or --base-url ADDRESS"
    )


def open_engine(plan: ModelPlan) -> Engine:
    """The engine of a plan. Raises: UserError, see `engine_for`."""
    return engine_for(plan.weights, plan.predict)
