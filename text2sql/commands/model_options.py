"""Options that choose the model of `text2sql ask` and `text2sql serve`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from text2sql.cpu import fix_kernels
from text2sql.errors import UserError
from text2sql.schema.settings import Prompt
from text2sql.settings import checked

if TYPE_CHECKING:
    from text2sql.ask.plan import ModelPlan

Command = TypeVar("Command", bound=Callable[..., Any])

_LONGEST_S = 86_400.0


class Seconds(click.FloatRange):
    """A time limit of a query: more than 0 s, and at most a day."""

    def __init__(self) -> None:
        super().__init__(min=0, max=_LONGEST_S, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> float:
        """The number; `nan`, which no comparison refuses, is none."""
        seconds: float = super().convert(value, param, context)
        if math.isnan(seconds):
            self.fail(f"{value!r} is not a number of seconds", param, context)
        return seconds


_OPTIONS = (
    click.option("--arm", help="Arm of params.yaml; default: the best one that is trained here."),
    click.option("--model", help="Folder of a model or adapter; with --base-url the model's name there."),
    click.option("--base-url", help="A server with OpenAI's protocol; its key is in OPENAI_API_KEY."),
    click.option("--prompt-form", help="Form of the prompt; default: the arm's, or compact."),
    click.option(
        "--schema-types/--no-schema-types",
        default=None,
        help="Column types in the prompt; default: as the arm was trained, or with types.",
    ),
)


def model_options(command: Command) -> Command:
    """Add the options that `chosen_plan` reads."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def chosen_plan(options: Mapping[str, Any]) -> ModelPlan:
    """The model that the options name, drawn from `samples` times if that is not None.

    Raises:
        UserError: options contradict each other, or the model is not here.
    """
    from text2sql.ask.plan import arm_plan, folder_plan, server_plan

    model, base_url = options["model"], options["base_url"]
    if options["arm"] and (model or base_url):
        raise UserError("--arm names a model already; leave out --model and --base-url, or --arm")
    if base_url and not model:
        raise UserError("--base-url needs the name of the model there: --model NAME")
    default = Prompt(schema_types=True)
    if base_url:
        plan = server_plan(base_url, model, default)
    elif model:
        plan = folder_plan(Path(model), default)
    else:
        plan = arm_plan(options["arm"])
    named = {"form": options["prompt_form"], "schema_types": options["schema_types"]}
    changes = {name: value for name, value in named.items() if value is not None}
    prompt = checked(Prompt, plan.prompt.model_dump() | changes, "--prompt-form")
    fix_kernels(plan.predict.threads)
    return replace(plan.with_samples(options["samples"] or plan.predict.samples), prompt=prompt)
