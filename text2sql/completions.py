"""Chat completions as servers send them, which is not always as OpenAI's reference describes them.

An answer costs money, so whatever has a message is accepted: content in one text or in parts, or none beside
a refusal; token counts that are missing, null or not whole. Fields that nothing here needs are not looked at.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, FiniteFloat, ValidationError, model_validator

_TEXT_PARTS = ("text", "output_text")
_LENGTH = ("length", "max_tokens", "model_length")  # OpenAI's word, some gateways', Mistral's
_INTERRUPTED = ("abort", "error", "insufficient_system_resource")  # vLLM and SGLang, Mistral, DeepSeek


def _count(value: object) -> int | None:
    """A number of tokens, rounded up; None if it is no such number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return math.ceil(number) if number >= 0 and math.isfinite(number) else None


def _words(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _joined(content: object) -> object:
    """The text of a message's content; pydantic refuses what is neither text, parts nor null."""
    if content is None:
        return ""
    parts = [content] if isinstance(content, dict) else content
    return "".join(map(_text_of, parts)) if isinstance(parts, list) else content


def _text_of(part: object) -> str:
    """The text of a part; "" for parts of other kinds, such as a model's thinking."""
    if isinstance(part, dict) and part.get("type", "text") in _TEXT_PARTS:
        text = part.get("text")
        part = text.get("value") if isinstance(text, dict) else text
    return part if isinstance(part, str) else ""


class Message(BaseModel):
    """What the model wrote, "" if nothing, and the words in which it refuses, "" if it does not.

    `reasoning_content` (DeepSeek, llama.cpp, SGLang, vLLM until 0.10) or `reasoning` (OpenRouter, vLLM since
    0.11) is the model's thought, "" if the server does not send it.
    """

    content: Annotated[str, BeforeValidator(_joined)] = ""
    refusal: Annotated[str, BeforeValidator(_words)] = ""
    reasoning_content: Annotated[str, BeforeValidator(_words)] = ""
    reasoning: Annotated[str, BeforeValidator(_words)] = ""

    @model_validator(mode="before")
    @classmethod
    def _refusal_among_the_parts(cls, value: Any) -> Any:
        if not isinstance(value, dict) or not isinstance(value.get("content"), list):
            return value
        refusals = (_words(part.get("refusal")) for part in value["content"] if isinstance(part, dict))
        return {**value, "refusal": _words(value.get("refusal")) or " ".join(filter(None, refusals))}


class _Token(BaseModel):
    logprob: FiniteFloat  # natural logarithm


class _Logprobs(BaseModel):
    content: list[_Token] | None = None


def _logprobs(value: object) -> _Logprobs | None:
    """The log-probabilities; None where they are missing or have another form."""
    try:
        return _Logprobs.model_validate(value)
    except ValidationError:
        return None


class Choice(BaseModel):
    """An answer, and why it ended ("stop", "length", "content_filter"; None if unknown)."""

    message: Message
    finish_reason: Annotated[str | None, BeforeValidator(lambda value: _words(value) or None)] = None
    logprobs: Annotated[_Logprobs | None, BeforeValidator(_logprobs)] = None
    content_filter_results: Any = None  # Azure: {category: {"filtered": bool, ...}}

    @model_validator(mode="before")
    @classmethod
    def _filter_takes_the_message(cls, value: Any) -> Any:
        """Some servers leave the message out of an answer that a content filter stopped."""
        if isinstance(value, dict) and _is_filter(value.get("finish_reason")) and not value.get("message"):
            return {**value, "message": {}}
        return value

    @property
    def text(self) -> str:
        """The answer, in the first of these that has text: content, refusal, and the thought.

        A thought counts only if the model ended it: vLLM's reasoning parsers file an answer without </think>
        as a thought (https://github.com/vllm-project/vllm/issues/17609).
        """
        message = self.message
        thought = "" if self.truncated else message.reasoning_content or message.reasoning
        return message.content if message.content.strip() else message.refusal or thought

    @property
    def truncated(self) -> bool:
        """Whether the answer, or the thought before it, reached the limit of tokens."""
        return (self.finish_reason or "").lower() in _LENGTH

    @property
    def interrupted(self) -> bool:
        """Whether the server gave up before the model ended the answer; the next try may succeed."""
        return (self.finish_reason or "").lower() in _INTERRUPTED

    @property
    def declined(self) -> str:
        """Why the answer is missing or incomplete: a refusal or a content filter, in the server's words."""
        if self.message.refusal:
            return f"the model refuses: {self.message.refusal}"
        if _is_filter(self.finish_reason):
            return f"a content filter stopped the answer ({', '.join(self._filter_words())})"
        return ""

    def _filter_words(self) -> list[str]:
        results = self.content_filter_results
        found = results.items() if isinstance(results, dict) else ()
        categories = [name for name, one in found if isinstance(one, dict) and one.get("filtered")]
        return [f"finish_reason {self.finish_reason}", *categories]


def _is_filter(finish_reason: object) -> bool:
    """Whether a content filter ended the answer; Gemini adds its reason: "content_filter: SAFETY"."""
    return _words(finish_reason).lower().startswith("content_filter")


class Usage(BaseModel):
    """Tokens read and written; None where the server does not say."""

    prompt_tokens: Annotated[int | None, BeforeValidator(_count)] = None
    completion_tokens: Annotated[int | None, BeforeValidator(_count)] = None


def _first(choices: object) -> object:
    return choices[:1] if isinstance(choices, list) else choices


class Completion(BaseModel):
    """A chat completion. Of its choices only the first is asked for and read."""

    choices: Annotated[list[Choice], BeforeValidator(_first), Field(min_length=1)]
    usage: Annotated[Usage, BeforeValidator(lambda value: value if isinstance(value, Mapping) else {})] = (
        Usage()
    )
