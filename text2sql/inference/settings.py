"""Settings of prediction: the engine, how answers are drawn, sampling and repair."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le
from pydantic import Field, model_validator

from text2sql.endpoint_settings import EndpointSettings
from text2sql.settings import Count, Positive, PositiveFloat, Settings


class Sampling(Settings):
    """How an answer of at most `max_new_tokens` is drawn, token by token.

    `temperature` 0 takes the likeliest token at every step; otherwise it divides the logits. `top_p`: tokens
    are drawn among the likeliest ones that together have this probability (nucleus sampling,
    https://arxiv.org/abs/1904.09751). `repetition_penalty` makes the tokens of the prompt and of the answer
    so far less likely (https://arxiv.org/abs/1909.05858); 1 has no effect.
    """

    max_new_tokens: Positive
    temperature: Annotated[float, Ge(0), Le(2)] = 0.0
    top_p: Annotated[float, Gt(0), Le(1)] = 1.0
    repetition_penalty: PositiveFloat = 1.0


class Decoding(Sampling):
    """How an engine draws answers; with `likelihood` it also returns their mean log-probabilities."""

    likelihood: bool = False

    @property
    def greedy_only(self) -> bool:
        """Whether plain greedy decoding suffices: no drawing, no penalty, no log-probabilities."""
        return self.temperature == 0 and self.repetition_penalty == 1 and not self.likelihood


class SamplingPlan(Settings):
    """`samples` answers per question in each of at most 1 + `max_repairs` rounds, drawn with `seed`.

    With several samples the most frequent result is chosen. In a repair round the prompt has the error of
    the model's query.
    """

    samples: Positive = 1
    max_repairs: Count = 0
    seed: Count = 42

    @property
    def executes(self) -> bool:
        """Whether predicting needs to run queries: to choose among samples, or to find errors to repair."""
        return self.samples > 1 or self.max_repairs > 0


class Batching(Settings):
    """Largest batch of the engine transformers: in tokens of padded prompts with answers, and in prompts."""

    batch_tokens: Positive = 16_384
    max_batch: Positive = 48


class ServedModels(EndpointSettings):
    """The server, its model's name for the weights of each arm, and additional fields of every request.

    A field in `extra_body` replaces the engine's own of that name; None leaves it out.
    """

    timeout_s: PositiveFloat = 60.0
    max_retries: Count = 5
    models: dict[str, str] = Field(default_factory=dict)
    extra_body: dict[str, Any] = Field(default_factory=dict)


class Vllm(Settings):
    """How vLLM uses this machine's GPUs.

    A model is split over `tensor_parallel` of them, and `data_parallel` such models each answer a share of
    the questions. vLLM takes the share `gpu_memory_utilization` of a GPU's memory. `max_model_len` limits a
    prompt and its answer together, in tokens; None is the model's own limit. At most `max_num_seqs` answers
    are written at a time; None leaves that to vLLM.
    """

    tensor_parallel: Positive = 1
    data_parallel: Positive = 1
    gpu_memory_utilization: Annotated[float, Gt(0), Le(1)] = 0.9
    max_model_len: Positive | None = None
    max_num_seqs: Positive | None = None


class Predict(Sampling, SamplingPlan, Batching):
    """All settings of prediction; `threads` is the number of CPU threads."""

    engine: Literal["transformers", "vllm", "openai"]
    threads: Positive
    endpoint: ServedModels = ServedModels()
    vllm: Vllm = Vllm()

    @property
    def decoding(self) -> Decoding:
        """How the engine draws answers; log-probabilities break ties between samples."""
        values = {key: getattr(self, key) for key in Sampling.model_fields}
        return Decoding(**values, likelihood=self.samples > 1)

    @model_validator(mode="after")
    def _server_is_named(self) -> Predict:
        if self.engine == "openai" and self.endpoint.base_url is None:
            raise ValueError("endpoint.base_url is needed with engine: openai")
        return self

    @model_validator(mode="after")
    def _prompts_have_room(self) -> Predict:
        limit = self.vllm.max_model_len
        if limit is not None and limit <= self.max_new_tokens:
            raise ValueError(f"vllm.max_model_len must be above max_new_tokens ({self.max_new_tokens})")
        return self

    @model_validator(mode="after")
    def _samples_differ(self) -> Predict:
        if self.samples > 1 and self.temperature == 0:
            raise ValueError("samples above 1 need a temperature above 0; otherwise all answers are the same")
        return self
