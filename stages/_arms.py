"""Finds the arm that `text2sql ask` and `serve` use, in params.yaml and the scores of this folder."""

from __future__ import annotations

from pathlib import Path

from stages._params import Params, load_params
from text2sql.ask.plan import ModelPlan
from text2sql.errors import UserError
from text2sql.files import read_json

SUMMARY = Path("metrics/summary.json")
PARAMS = "params.yaml"
_PLAIN = "data/test"  # questions without retrieved examples and context, which other questions have none of
_LEFT_OUT = " with examples or context, which are left out here"


def find_arm(name: str | None) -> ModelPlan:
    """The arm of this name; None: the best one whose questions are plain and whose model is here.

    Raises:
        UserError: params.yaml is missing or wrong, there is no such arm, or nothing is trained yet.
    """
    if not Path(PARAMS).is_file():
        elsewhere = "name a model: --model FOLDER, or --base-url ADDRESS --model NAME"
        raise UserError(f"{PARAMS}: not in this folder; run this in the project's, or {elsewhere}")
    params = load_params()
    name = name or best_arm(params)
    if name not in params.arms:
        raise UserError(f"--arm {name}: params.yaml has no such arm; choose one of {', '.join(params.arms)}")
    arm = params.arms[name]
    predict = params.prediction(name)
    if predict.engine != "openai" and not Path(arm.weights).is_dir():
        raise UserError(f"{arm.weights}: no such folder; `dvc repro predict@{name}` creates the model")
    return ModelPlan(
        arm.weights if predict.engine == "openai" else Path(arm.weights),
        predict,
        params.prompt,
        params.convert_schema.values,
        params.convert_schema.examples,
        f"arm {name}{_score(name)}{'' if arm.questions == _PLAIN else _LEFT_OUT}",
    )


def best_arm(params: Params) -> str:
    """The arm with the highest execution accuracy, of several test sets on the first.

    Raises:
        UserError: none is trained and scored.
    """
    scores = {name: _first_score(name) for name, arm in params.arms.items() if arm.questions == _PLAIN}
    here = {
        name: score
        for name, score in scores.items()
        if score is not None
        and (params.prediction(name).engine == "openai" or Path(params.arms[name].weights).is_dir())
    }
    if not here:
        raise UserError(f"{SUMMARY}: no arm is trained and scored here; `make reproduce`, or --model FOLDER")
    return max(here, key=lambda name: here[name])


def _first_score(name: str) -> float | None:
    """Execution accuracy in percent; None if the arm is not scored."""
    found = read_json(SUMMARY).get(name) if SUMMARY.is_file() else None
    if isinstance(found, dict):
        found = next(iter(found.values()), None)
    return found if isinstance(found, int | float) else None


def _score(name: str) -> str:
    score = _first_score(name)
    return "" if score is None else f", {score} % of the test questions right"
