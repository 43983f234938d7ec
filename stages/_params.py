"""params.yaml as one typed model: an unknown key, a wrong type or a bad value is named with its cure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from ruamel.yaml import YAML, YAMLError

from text2sql.contamination.settings import DedupeTest
from text2sql.endpoint_settings import EndpointSettings
from text2sql.errors import UserError
from text2sql.preparation.settings import FetchData, Prepare
from text2sql.schema.settings import ConvertSchema
from text2sql.settings import Settings, checked

Positive = Annotated[int, Field(gt=0)]
Rate = Annotated[float, Field(gt=0, lt=1)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
WeightsFolder = Literal["models/base", "models/lora32", "models/lora128", "models/full", "models/lora"]


class Section(Settings):
    """A group of parameters; every key is required, none beside those named is allowed."""


class TinyModel(Section):
    """Shape and schooling of the built-in base model."""

    seed: int
    rows: Positive
    vocab_size: Positive
    hidden_size: Positive
    layers: Positive
    heads: Positive
    kv_heads: Positive
    learning_rate: Rate
    max_steps: Positive
    global_batch: Positive
    device_batch: Positive


class FetchModel(Section):
    """Where the base model comes from."""

    source: Literal["builtin", "package", "hub"]
    package: str | None
    hub_model: str | None
    hub_revision: Commit | None
    tiny: TinyModel


class IndexExamples(Section):
    """Embedding of the training questions."""

    embedding_model: str
    batch_size: Positive


class RetrieveExamples(Section):
    """Few-shot examples of the retrieval arms."""

    top_k: Positive
    candidates: Positive
    reranker: str

    @model_validator(mode="after")
    def _candidates_cover_top_k(self) -> RetrieveExamples:
        if self.candidates < self.top_k:
            raise ValueError(f"candidates must be at least top_k ({self.top_k})")
        return self


class Prompt(Section):
    """The form of the schema in every prompt."""

    schema_types: bool


class Training(Section):
    """What all training stages share."""

    template: str
    cutoff_len: Positive
    optimizer: Literal["adamw", "adamw_8bit", "muon"]
    scheduler: Literal["cosine", "cosine_with_min_lr", "linear", "constant"]
    min_learning_rate: Rate | None
    warmup_ratio: Fraction
    weight_decay: Annotated[float, Field(ge=0)]
    precision: Literal["fp32", "bf16"]
    attention: Literal["auto", "sdpa", "fa2"]
    packing: bool
    fused_loss: bool
    gradient_checkpointing: bool
    seed: int
    logging_steps: Positive
    save_steps: Positive
    save_minutes: Annotated[float, Field(gt=0)] | None
    threads: Positive

    @model_validator(mode="after")
    def _saves_when_it_logs(self) -> Training:
        if self.save_steps % self.logging_steps:
            # a checkpoint between two log lines would lose the running mean of the loss
            raise ValueError(f"save_steps must be a multiple of logging_steps ({self.logging_steps})")
        return self


class TrainedArm(Section):
    """What every trained arm has of its own: how far it trains, and on what ranks."""

    enabled: bool
    learning_rate: Rate
    max_steps: Positive | None
    epochs: Annotated[float, Field(gt=0)] | None
    global_batch: Positive
    device_batch: Positive
    ranks: Positive
    deepspeed: Literal["z2", "z2_offload", "z3", "z3_offload"] | None

    @model_validator(mode="after")
    def _one_end_and_batches_that_divide(self) -> TrainedArm:
        if (self.max_steps is None) == (self.epochs is None):
            raise ValueError("give either max_steps or epochs, and null for the other")
        if self.global_batch % self.device_batch:
            raise ValueError(f"global_batch must be a multiple of device_batch ({self.device_batch})")
        return self


class MegatronSwitch(Section):
    """Megatron in place of DeepSpeed, for full fine-tuning."""

    enabled: bool
    tensor_parallel: Positive
    sequence_parallel: bool
    distributed_optimizer: bool


class FullArm(TrainedArm):
    """Full fine-tuning; `deepspeed` counts where Megatron is off."""

    megatron: MegatronSwitch


class LoraArm(TrainedArm):
    """Fine-tuning of low-rank adapters."""

    rank: Positive
    alpha: Positive
    targets: Annotated[list[str], Field(min_length=1)]


class Endpoint(EndpointSettings):
    """The server that answers, the name of each arm's weights there, further fields of every request."""

    models: dict[WeightsFolder, str]
    extra_body: dict[str, Any]


class Predict(Section):
    """Who answers, how answers are drawn, and what is done with them."""

    engine: Literal["transformers", "vllm", "openai"]
    temperature: Annotated[float, Field(ge=0, le=2)]
    top_p: Annotated[float, Field(gt=0, le=1)]
    repetition_penalty: Annotated[float, Field(gt=0)]
    seed: Annotated[int, Field(ge=0)]
    max_new_tokens: Positive
    samples: Positive
    repair: Annotated[int, Field(ge=0)]
    batch_tokens: Positive
    max_batch: Positive
    threads: Positive
    endpoint: Endpoint

    @model_validator(mode="after")
    def _samples_differ(self) -> Predict:
        if self.samples > 1 and self.temperature == 0:
            raise ValueError("samples above 1 need a temperature above 0: else all are the same answer")
        return self


class Evaluate(Section):
    """Limits of a prediction's execution, one habit of the official evaluator, and where it runs."""

    timeout_s: Annotated[float, Field(gt=0)]
    max_rows: Positive
    keep_value: bool
    executor: Literal["processes", "ray"]


class Arm(Section):
    """What is compared: weights, and questions with or without retrieved examples."""

    weights: WeightsFolder
    questions: Literal["data/test", "data/examples/embedding", "data/examples/rerank"]


class Params(Section):
    """The whole of params.yaml, one section a stage."""

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
    evaluate: Evaluate
    arms: Annotated[dict[str, Arm], Field(min_length=1)]

    @model_validator(mode="after")
    def _sources_are_named(self) -> Params:
        _require(
            self.fetch_model.source == "hub",
            "fetch_model",
            self.fetch_model,
            "hub_model",
            "hub_revision",
        )
        _require(self.fetch_model.source == "package", "fetch_model", self.fetch_model, "package")
        if self.convert_schema.backend == "recorded" and not self.fetch_data.recorded_schemas:
            raise ValueError("fetch_data.recorded_schemas is needed with convert_schema.backend: recorded")
        return self

    @model_validator(mode="after")
    def _names_tell_the_rank(self) -> Params:
        for rank, arm in ((32, self.train_lora32), (128, self.train_lora128)):
            if arm.rank != rank:
                raise ValueError(f"train_lora{rank}.rank must be {rank}; your own rank goes into lora.rank")
        return self

    @model_validator(mode="after")
    def _arms_are_trained(self) -> Params:
        trained = {
            "models/lora32": self.train_lora32,
            "models/lora128": self.train_lora128,
            "models/full": self.train_full,
            "models/lora": self.lora,
        }
        for name, arm in self.arms.items():
            if arm.weights in trained and not trained[arm.weights].enabled:
                raise ValueError(f"arms.{name} uses {arm.weights}, whose training has enabled: false")
        return self

    @model_validator(mode="after")
    def _endpoint_serves_the_arms(self) -> Params:
        endpoint = self.predict.endpoint
        if self.predict.engine != "openai":
            return self
        if endpoint.base_url is None:
            raise ValueError("predict.endpoint.base_url is needed with predict.engine: openai")
        for name, arm in self.arms.items():
            if arm.weights not in endpoint.models:
                raise ValueError(
                    f"predict.endpoint.models lacks {arm.weights} (arms.{name}): name what serves it"
                )
        return self


def load_params(path: str | Path = "params.yaml") -> Params:
    """Read and check params.yaml, with the parser of DVC, which writes 2e-05 there for `-S ...=2.0e-5`.

    Raises:
        UserError: the file is missing or not YAML, or values are not allowed (all of them are listed).
    """
    try:
        values = YAML(typ="safe", pure=True).load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; `make use PROFILE=embedded` writes it") from error
    except YAMLError as error:
        raise UserError(f"{path}: not YAML: {error}") from error
    try:
        return checked(Params, values, str(path))
    except UserError as error:
        raise UserError(f"{error}\nfix it, or `make use PROFILE=embedded`") from error


def _require(needed: bool, section: str, values: FetchModel, *keys: str) -> None:
    missing = [key for key in keys if getattr(values, key) is None]
    if needed and missing:
        raise ValueError(f"{section}.{missing[0]} is needed with {section}.source: {values.source}")
