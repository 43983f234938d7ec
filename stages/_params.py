"""params.yaml as one typed model; unknown keys, wrong types and bad values are errors that name the key."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError, model_validator
from ruamel.yaml import YAML, YAMLError
from ruamel.yaml.constructor import DuplicateKeyError

from text2sql.base_models.settings import FetchModel
from text2sql.contamination.settings import DedupeTest
from text2sql.context.settings import Context
from text2sql.errors import UserError
from text2sql.evaluation.settings import EvaluationSettings
from text2sql.inference.settings import Predict
from text2sql.preparation.settings import FetchData, Prepare
from text2sql.retrieval.settings import Draft, IndexExamples, RetrieveExamples
from text2sql.schema.settings import ConvertSchema, Prompt
from text2sql.settings import Folder, Settings, checked, sentences
from text2sql.suites.settings import SuiteSettings
from text2sql.training.settings import FullArm, LoraArm, OwnArm, Recipe, Training, recipe_of, training_of

BASE = "models/base"
_FIXED = ("train_lora32", "train_lora128", "train_full", "lora")  # sections of trained arms


def _free_name(what: str, *taken: str) -> AfterValidator:
    """The name of `what`, which can be part of commands and file names, and is none of `taken`."""

    def check(name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name) or name in taken:
            others = f", and is none of {', '.join(taken)}" if taken else ""
            raise ValueError(f"the name of {what} has letters, digits, _ and -{others}")
        return name

    return AfterValidator(check)


# Other files of metrics/, and folders of models/.
_ArmName = Annotated[
    str,
    _free_name(
        "an arm",
        *(
            "summary",
            "pairs",
            "fetch_data",
            "fetch_model",
            "prepare",
            "dedupe_test",
            "convert_schema",
            "make_suites",
            "retrieve_examples",
            "rank_by_draft",
            "context",
        ),
    ),
]
_TrainedName = Annotated[
    str, _free_name("an arm", "base", *(name.removeprefix("train_") for name in _FIXED), "cards")
]

_DraftName = Annotated[str, _free_name("a ranking")]
_ContextName = Annotated[str, _free_name("a context")]


class Arm(Settings):
    """One arm of the comparison: weights, and questions with or without retrieved examples or context.

    `weights`: models/base, the folder of a trained arm, or a folder outside models/ with a complete model or
    an adapter. `predict`: settings of section predict that this arm has of its own.
    """

    weights: Folder
    questions: Folder
    predict: dict[str, Any] = Field(default_factory=dict)


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
    drafts: dict[_DraftName, Draft] = Field(default_factory=dict)
    contexts: dict[_ContextName, Context] = Field(default_factory=dict)
    prompt: Prompt
    training: Training
    train_lora32: LoraArm
    train_lora128: LoraArm
    train_full: FullArm
    lora: LoraArm
    train: dict[_TrainedName, OwnArm] = Field(default_factory=dict)
    predict: Predict
    make_suites: SuiteSettings
    evaluate: EvaluationSettings
    arms: Annotated[dict[_ArmName, Arm], Field(min_length=1)]

    def trained(self) -> dict[str, LoraArm | FullArm]:
        """The settings of the trained arms, by the name of their section, such as lora or train.mine."""
        own = {f"train.{name}": arm for name, arm in self.train.items()}
        return {**{name: getattr(self, name) for name in _FIXED}, **own}

    def recipe(self, section: str) -> Recipe:
        """The recipe of the trained arm with the settings in `section`."""
        return recipe_of(self.training, self.trained()[section])

    def prediction(self, arm: str) -> Predict:
        """The prediction settings of `arm`: those of section predict, and its own in their place."""
        own = self.arms[arm].predict
        return self.predict.laid_under(own) if own else self.predict

    def compared_models(self) -> list[str]:
        """The names of the trained models that the arms use; that of models/lora32 is lora32."""
        used = {arm.weights for arm in self.arms.values()}
        return [folder.removeprefix("models/") for folder in _folders(self) if folder in used]

    @model_validator(mode="after")
    def _has_recorded_schemas(self) -> Params:
        if self.convert_schema.backend == "recorded" and not self.fetch_data.recorded_schemas:
            raise ValueError("fetch_data.recorded_schemas is needed with convert_schema.backend: recorded")
        return self

    @model_validator(mode="after")
    def _execution_accuracy_is_computed(self) -> Params:
        if "ex" not in self.evaluate.metrics:
            raise ValueError("evaluate.metrics: add ex, which the report and the comparison of arms need")
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
    def _names_have_the_rank(self) -> Params:
        for rank, arm in ((32, self.train_lora32), (128, self.train_lora128)):
            if arm.rank != rank:
                raise ValueError(f"train_lora{rank}.rank must be {rank}; set lora.rank for another rank")
        return self

    @model_validator(mode="after")
    def _arms_train(self) -> Params:
        problems = []
        for section, arm in self.trained().items():
            try:
                own = training_of(self.training, arm)
                if own.validation and not self.training.validation:
                    problems.append(
                        f"{section}.training.validation: section training must have one too, for which "
                        "fetch_data brings databases; others switch it off by training: {validation: null}"
                    )
            except ValidationError as error:
                problems.append(sentences(Training, error, f"{section}.training"))
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @model_validator(mode="after")
    def _recipes_have_no_conflicts(self) -> Params:
        if self.fetch_model.source == "builtin":
            with _naming("fetch_model.tiny"):
                self.fetch_model.tiny.recipe()
        for section, arm in self.trained().items():
            if arm.enabled:
                with _naming(f"{section}, with training"):
                    self.recipe(section)
        return self

    @model_validator(mode="after")
    def _own_arms_have_a_base(self) -> Params:
        problems = [problem for name in self.train for problem in _base_problems(self, name)]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @model_validator(mode="after")
    def _arms_are_trained(self) -> Params:
        folders = _folders(self)
        for name, arm in self.arms.items():
            if arm.weights in folders and not folders[arm.weights].enabled:
                raise ValueError(f"arms.{name} uses {arm.weights}, whose training has enabled: false")
            if arm.weights not in (BASE, *folders) and _is_of_the_pipeline(arm.weights):
                raise ValueError(
                    f"arms.{name}.weights: no model {arm.weights!r}; choose from "
                    f"{', '.join((BASE, *folders))}, or a folder outside models/ with weights of yours"
                )
        return self

    @model_validator(mode="after")
    def _questions_are_written(self) -> Params:
        found = ["data/test", *(f"data/examples/{ranking}" for ranking in self.retrieve_examples.rankings)]
        found += [f"data/drafted/{name}" for name in self.drafts]
        made = [f"data/context/{name}/test" for name in self.contexts]
        for key, group, choice in (("contexts", self.contexts, found), ("arms", self.arms, found + made)):
            for name, one in group.items():
                if one.questions not in choice:
                    raise ValueError(
                        f"{key}.{name}.questions: no {one.questions!r}; choose from {', '.join(choice)}; "
                        "retrieve_examples.rankings names what is in data/examples, section drafts what is "
                        "in data/drafted, section contexts what is in data/context"
                    )
        return self

    @model_validator(mode="after")
    def _drafts_are_predicted(self) -> Params:
        problems = [problem for name in self.drafts for problem in _draft_problems(self, name)]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @model_validator(mode="after")
    def _contexts_have_training_rows(self) -> Params:
        made = [f"data/context/{name}/train" for name, context in self.contexts.items() if context.train]
        for name, arm in self.train.items():
            if arm.data.startswith("data/context/") and arm.data not in made:
                raise ValueError(
                    f"train.{name}.data: no {arm.data!r}; contexts with `train: true` have such a folder: "
                    f"{', '.join(made) or 'none here'}"
                )
        return self

    @model_validator(mode="after")
    def _arms_predict(self) -> Params:
        problems = []
        for name in self.arms:
            try:
                self.prediction(name)
            except ValidationError as error:
                problems.append(sentences(Predict, error, f"arms.{name}.predict"))
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @model_validator(mode="after")
    def _engine_begins_the_answer(self) -> Params:
        asking = [name for name in self.arms if self.prediction(name).engine == "openai"]
        if asking and self.prompt.form == "reference":
            raise ValueError(
                "prompt.form: reference begins the answer, which predict.engine: openai cannot send "
                f"(arms.{asking[0]}); set predict.engine: vllm or transformers, or prompt.form: compact"
            )
        return self

    @model_validator(mode="after")
    def _endpoint_serves_the_arms(self) -> Params:
        known = list(dict.fromkeys([BASE, *_folders(self), *(arm.weights for arm in self.arms.values())]))
        for name, arm in self.arms.items():
            settings = self.prediction(name)
            if unknown := sorted(set(settings.endpoint.models) - set(known)):
                choice = ", ".join(known)
                raise ValueError(f"predict.endpoint.models: no weights {unknown[0]!r}; choose from {choice}")
            if settings.engine == "openai" and arm.weights not in settings.endpoint.models:
                missing = f"{arm.weights} (arms.{name})"
                raise ValueError(f"predict.endpoint.models has no {missing}: name the model that serves it")
        return self


def _folders(params: Params) -> dict[str, LoraArm | FullArm]:
    """The trained arms by the folder of their weights."""
    names = {section: section.removeprefix("train_").removeprefix("train.") for section in params.trained()}
    return {f"models/{names[section]}": arm for section, arm in params.trained().items()}


def _is_of_the_pipeline(folder: str) -> bool:
    return folder == "models" or folder.startswith("models/")


def _base_problems(params: Params, name: str) -> Iterator[str]:
    """What is wrong with the base of an own arm."""
    key, folder, folders = f"train.{name}.base", params.train[name].base, _folders(params)
    full = [at for at, arm in folders.items() if not getattr(arm, "lora", None) and at != f"models/{name}"]
    if folder == BASE or not _is_of_the_pipeline(folder):
        return
    if folder not in folders:
        yield f"{key}: no model {folder!r}; choose from {', '.join((BASE, *full))}, which are complete models"
    elif folder not in (*full, f"models/{name}"):
        yield (
            f"{key}: {folder} is a LoRA adapter, and training starts from a complete model; merge it into a "
            f"folder outside models/ (`text2sql merge --adapter {folder} --output FOLDER`) and name that one"
        )
    elif not folders[folder].enabled:
        yield f"{key}: {folder} is not trained, because its training has enabled: false"
    elif circle := _circle(f"models/{name}", {f"models/{n}": [own.base] for n, own in params.train.items()}):
        yield f"{key}: a circle ({' from '.join(circle)}); one of these arms must start from {BASE}"


def _draft_problems(params: Params, name: str) -> Iterator[str]:
    """What is wrong with the arm whose predictions are drafts."""
    key, arm = f"drafts.{name}.predictions", params.drafts[name].predictions
    made: dict[str, list[str]] = {f"models/{own}": [one.base, one.data] for own, one in params.train.items()}
    for context, one in params.contexts.items():
        made |= {f"data/context/{context}/{part}": [one.questions] for part in ("test", "train")}
    made |= {f"data/drafted/{draft}": [f"arm {one.predictions}"] for draft, one in params.drafts.items()}
    made |= {f"arm {each}": [one.weights, one.questions] for each, one in params.arms.items()}
    if arm not in params.arms:
        yield f"{key}: no arm {arm!r}; choose from {', '.join(params.arms)}"
    elif circle := _circle(f"data/drafted/{name}", made):
        yield (
            f"{key}: a circle ({' from '.join(circle)}); name an arm whose questions and weights do not come "
            "from this ranking"
        )


def _circle(start: str, made: Mapping[str, Iterable[str]]) -> list[str]:
    """The shortest way from `start` over what it is made of back to itself; empty where there is none."""
    ways, seen = [[start]], set[str]()
    for way in ways:  # it grows meanwhile
        for source in made.get(way[-1], ()):
            if source == start:
                return [*way, start]
            if source not in seen:
                seen.add(source)
                ways.append([*way, source])
    return []


@contextmanager
def _naming(section: str) -> Iterator[None]:
    """Add the section to the message of an invalid recipe."""
    try:
        yield
    except ValidationError as error:
        raise ValueError(f"{section}: {sentences(Recipe, error)}") from error


def require_entry(section: str, entries: Iterable[str], name: str) -> None:
    """Make sure that `name` is one of the `entries` of a section.

    Raises:
        UserError: it is none of them.
    """
    known = list(entries)
    if name not in known:
        raise UserError(f"params.yaml: {section} has no {name!r}; it has {', '.join(known) or 'no entry'}")


def load_params(path: str | Path = "params.yaml") -> Params:
    """Read and check params.yaml, with DVC's YAML parser: DVC writes 2e-05 for `-S ...=2.0e-5`.

    Raises:
        UserError: the file is missing or not YAML, or values are not allowed (all of them are listed).
    """
    try:
        values = YAML(typ="safe", pure=True).load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; `make use PROFILE=embedded` writes it") from error
    except DuplicateKeyError as error:
        what, line = str(error.problem).partition(" with value")[0], error.problem_mark.line + 1
        raise UserError(f"{path}, line {line}: {what}; give each key once, then `dvc repro`") from error
    except (YAMLError, ValueError, RecursionError) as error:
        raise UserError(
            f"{path}: not YAML in UTF-8: {error}; fix it, or `make use PROFILE=embedded`"
        ) from error
    return checked(Params, values, str(path), next_step="\nfix it, or `make use PROFILE=embedded`")
