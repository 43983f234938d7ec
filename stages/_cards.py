"""What the cards of the trained models say, from params.yaml and the metrics of the stages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stages._params import BASE, Params
from text2sql.files import read_json, replacing, replacing_folder
from text2sql.prompts import prompt_form
from text2sql.publishing.card import DATA, CardFacts, Scored, Source, model_card
from text2sql.publishing.snippet import snippet
from text2sql.report.scores import ScoredSet
from text2sql.report.table import REFERENCE, read_losses
from text2sql.training.settings import Recipe

# What decides a training; the other settings are about this machine.
_SHOWN = (
    *("learning_rate", "optimizer", "scheduler", "min_learning_rate", "warmup_ratio", "weight_decay"),
    *("max_steps", "epochs", "global_batch", "cutoff_len", "packing", "precision", "seed", "template"),
)


def write_cards(folder: Path, params: Params, scored: Sequence[ScoredSet], metrics: Path, loss: Path) -> None:
    """Write `folder`/NAME.md for every trained model that an arm uses."""
    with replacing_folder(folder) as new:
        for section, name in trained_models(params).items():
            with replacing(new / f"{name}.md") as file:
                file.write(model_card(_facts(params, section, name, scored, metrics, loss)))


def trained_models(params: Params) -> dict[str, str]:
    """The sections of the trained models that arms use, with their names; train_full has models/full."""
    used = params.compared_models()
    names = {section: section.removeprefix("train_").removeprefix("train.") for section in params.trained()}
    return {section: name for section, name in names.items() if name in used}


def _facts(
    params: Params, section: str, name: str, scored: Sequence[ScoredSet], metrics: Path, loss: Path
) -> CardFacts:
    own, recipe = params.trained()[section], params.recipe(section)
    histories = read_losses([name], loss)
    return CardFacts(
        name=name,
        base=_figures(metrics / "fetch_model.json"),
        start=getattr(own, "base", BASE),
        rows=getattr(own, "data", DATA),
        rank=recipe.lora.rank if recipe.lora else None,
        recipe=_settings(recipe),
        loss=histories[0] if histories else None,
        sources=list(_sources(params, metrics)),
        leaks=_figures(metrics / "dedupe_test.json"),
        scored=list(_scored(params, name, scored)),
        cutoff_len=recipe.cutoff_len,
        schema_types=params.prompt.schema_types,
        code=snippet(
            f"models/{name}",
            prompt_form(params.prompt.form),
            params.prompt.schema_types,
            params.predict.max_new_tokens,
        ),
    )


def _settings(recipe: Recipe) -> dict[str, Any]:
    """The settings of a training that decide its result."""
    lora = recipe.lora.model_dump() if recipe.lora else {}
    method = {f"lora {key}": value for key, value in lora.items()} or {"trained weights": "all"}
    values = {key: getattr(recipe, key) for key in _SHOWN}
    return method | {key: value for key, value in values.items() if value is not None} | recipe.extra


def _sources(params: Params, metrics: Path) -> Iterator[Source]:
    """The training sources with their rows; generated rows are none."""
    read = _figures(metrics / "prepare.json").get("sources", {})
    pins = _figures(metrics / "fetch_data.json")
    for name, source in params.fetch_data.train.items():
        rows = read.get(name, {}).get("kept")
        pinned = pins.get(f"{source.repo}@{source.asked_revision}", {})
        yield Source(name, rows, source.repo, pinned.get("commit"))


def _scored(params: Params, name: str, scored: Sequence[ScoredSet]) -> Iterator[Scored]:
    """The scores of the arms with this model; the base model's are those of the arm baseline."""
    only = list(params.fetch_data.test) or ["embedded"]
    for each in scored:
        baseline = next((arm for arm in each.arms if arm.name == REFERENCE), None)
        for arm in each.arms:
            if params.arms[arm.name].weights == f"models/{name}":
                yield Scored(each.name or only[0], arm, baseline)


def _figures(path: Path) -> Mapping[str, Any]:
    """The figures that a stage wrote, {} where it wrote none."""
    figures: Mapping[str, Any] = read_json(path) if path.is_file() else {}
    return figures
