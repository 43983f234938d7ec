"""Settings of prediction: which engine answers, how answers are drawn, and what is done with them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le
from pydantic import Field, model_validator

from text2sql.endpoint_settings import EndpointSettings
from text2sql.settings import Count, Positive, PositiveFloat, Settings


class Sampling(Settings):
    """How an answer of at most `max_new_tokens` is drawn, token by token.

    `temperature` 0 takes the likeliest token at every step; else it divides the logits. `top_p`: the
    draw is among the likeliest tokens that together have this probability (nucleus sampling,
    https://arxiv.org/abs/1904.09751). `repetition_penalty` weakens the tokens of prompt and answer so
    far (https://arxiv.org/abs/1909.05858); 1 does nothing.
    """

    max_new_tokens: Positive
    temperature: Annotated[float, Ge(0), Le(2)] = 0.0
    top_p: Annotated[float, Gt(0), Le(1)] = 1.0
    repetition_penalty: PositiveFloat = 1.0


class Decoding(Sampling):
    """What an engine is asked for: answers, and with `likelihood` the log-probabilities of their tokens."""

    likelihood: bool = False

    @property
    def plain(self) -> bool:
        """Whether the likeliest token is taken as the model gives it, and nothing else is needed."""
        return self.temperature == 0 and self.repetition_penalty == 1 and not self.likelihood


class SamplingPlan(Settings):
    """`samples` answers to a question in each of at most 1 + `max_repairs` rounds, drawn with `seed`.

    The results of several answers vote; in a repair round the model sees the error of its query.
    """

    samples: Positive = 1
    max_repairs: Count = 0
    seed: Count = 42

    @property
    def executes(self) -> bool:
        """Whether queries are run at all: there is a choice to make, or an error to look for."""
        return self.samples > 1 or self.max_repairs > 0


class Batching(Settings):
    """Size of a batch of the engine transformers: padded tokens, prompt and answer, and prompts."""

    batch_tokens: Positive = 16_384
    max_batch: Positive = 48


class ServedModels(EndpointSettings):
    """The server that answers, its model for each arm's weights, and further fields of every request."""

    models: dict[str, str] = Field(default_factory=dict)
    extra_body: dict[str, Any] = Field(default_factory=dict)


class Predict(Sampling, SamplingPlan, Batching):
    """Who answers, how answers are drawn, and what is done with them; `threads` are the CPU's."""

    engine: Literal["transformers", "vllm", "openai"]
    threads: Positive
    endpoint: ServedModels = ServedModels()

    @property
    def decoding(self) -> Decoding:
        """What the engine is asked for; log-probabilities break ties between samples."""
        values = {key: getattr(self, key) for key in Sampling.model_fields}
        return Decoding(**values, likelihood=self.samples > 1)

    @model_validator(mode="after")
    def _server_is_named(self) -> Predict:
        if self.engine == "openai" and self.endpoint.base_url is None:
            raise ValueError("endpoint.base_url is needed with engine: openai")
        return self

    @model_validator(mode="after")
    def _samples_differ(self) -> Predict:
        if self.samples > 1 and self.temperature == 0:
            raise ValueError("samples above 1 need a temperature above 0: else all are the same answer")
        return self
