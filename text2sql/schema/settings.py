"""Settings of the conversion of schemas."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from text2sql.endpoint_settings import Endpoint
from text2sql.settings import Count, NotNegative, Positive, PositiveFloat, Settings

Values = Literal["none", "comment", "insert"]
FORMS = ("compact", "reference")
"""The built-in forms of prompts, see text2sql/prompts.py."""

PROMPT_FILES = "configs/prompts"
"""The folder of forms in files; DVC compares it as a whole."""

_MILLION = 1_000_000


class OpenAI(Endpoint):
    """A model that writes schemas, how it is asked, and what that costs.

    `temperature` None leaves it to the server. `max_tokens` limits one answer and is sent under the name
    `max_tokens_name` (OpenAI's reasoning models want max_completion_tokens). Without `cap_usd`, what all
    answers of a work folder may cost together, there is no limit.
    Not covered: what a provider charges for answers that never arrived whole, or that have no message.
    """

    temperature: NotNegative | None = Field(None, description="Default: the server's own.")
    max_tokens: Positive = Field(4096, description="Tokens of an answer, at most.")
    max_tokens_name: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens", description="What the server calls that."
    )
    max_repairs: Count = Field(2, description="Times that an answer goes back with its problems.")
    requests_per_minute: PositiveFloat = Field(120.0, description="Requests that start in a minute, at most.")
    usd_per_million_in: NotNegative = Field(0.0, description="Price of tokens read.")
    usd_per_million_out: NotNegative = Field(0.0, description="Price of tokens written.")
    cap_usd: PositiveFloat | None = Field(
        None, description="Most that all answers together may cost; default: no limit."
    )

    def cost(self, tokens_in: int, tokens_out: int) -> float:
        """US dollars for so many tokens."""
        return (tokens_in * self.usd_per_million_in + tokens_out * self.usd_per_million_out) / _MILLION

    @model_validator(mode="after")
    def _cap_has_prices(self) -> OpenAI:
        if self.cap_usd and not (self.usd_per_million_in or self.usd_per_million_out):
            raise ValueError(
                "cap_usd limits nothing without prices: set usd_per_million_in and usd_per_million_out"
            )
        return self


def _form(name: str) -> str:
    if name not in FORMS and (not name.startswith(f"{PROMPT_FILES}/") or ".." in name):
        raise ValueError(
            f"choose {', '.join(FORMS)} or a Jinja2 file in {PROMPT_FILES}/, where DVC sees that it changes"
        )
    return name


class Prompt(Settings):
    """How prompts are written: their form, and schemas with or without column types and comments.

    `form` is the name of a form in text2sql/prompts.py, or a Jinja2 file in configs/prompts.
    """

    schema_types: bool
    comments: bool = False
    form: Annotated[str, AfterValidator(_form)] = "compact"


class ConvertSchema(Settings):
    """How test schemas become CREATE TABLE text; see text2sql/schema/convert.py."""

    backend: Literal["rules", "sqlite", "openai", "recorded"] = Field(description="What writes the schemas.")
    values: Values = Field("none", description="How example values are written.")
    examples: Positive = Field(3, description="sqlite: example values of a column.")
    openai: OpenAI | None = None

    @model_validator(mode="after")
    def _model_is_named(self) -> ConvertSchema:
        if self.backend == "openai" and self.openai is None:
            raise ValueError("openai is needed with backend: openai")
        return self
