"""Shared by the local engines and by training: the token ids of a chat, and the tokens that end an answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from transformers import AutoConfig, AutoTokenizer, GenerationConfig

from text2sql.devices import quiet_transformers
from text2sql.errors import UserError
from text2sql.inference.engine import Messages, Request
from text2sql.inference.weights import Weights, remedy

# What a chat template raises: its own error, and those of the expressions in it.
_TEMPLATE_ERRORS = (TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)

# The files that hold what a class of transformers loads, for messages.
_READ_FROM = {
    "AutoConfig": "config.json",
    "AutoTokenizer": "the tokenizer's files",
    "GenerationConfig": "generation_config.json",
}
# Texts of a chat that shows the form of a template.
_SYSTEM, _USER, _ANSWER = "#system#", "#user#", "#answer#"
# The chat templates of Llama 3.1 and 3.2 begin the system message with dates, 3.2 with that of today.
_DATES = re.compile(
    r"(<\|start_header_id\|>system<\|end_header_id\|>\n\n)Cutting Knowledge Date: .*\nToday Date: .*\n\n"
)
# A model that always thinks has a chat template whose prompt ends in the beginning of a thought.
_OPEN_THOUGHT, _CLOSED = "<think>\n", "\n</think>\n\n"


class ChatTokens:
    """The tokenizer of a model, or of an adapter's base model. Only folders on this machine are read."""

    def __init__(self, weights: Weights) -> None:
        """Load the tokenizer and the configuration.

        Raises:
            UserError: the folder cannot be loaded as a model.
        """
        self._weights = weights
        self.tokenizer = load(AutoTokenizer, weights)
        self._config = load(AutoConfig, weights)

    @property
    def context(self) -> int:
        """Largest number of tokens of prompt and answer together."""
        return int(self._config.get_text_config().max_position_embeddings)

    @cached_property
    def ends(self) -> list[int]:
        """The ids that end an answer.

        They are the tokenizer's end token, those in the model's configuration, and the one that ends an
        answer in the chat template, which the configuration of a base model may lack.

        Raises:
            UserError: eos_token_id in the model's configuration is no number, or the template fails.
        """
        has_own = (self._weights.model / "generation_config.json").is_file()
        own = (load(GenerationConfig, self._weights) if has_own else self._config).eos_token_id
        ends = [self.tokenizer.eos_token_id, *(own if isinstance(own, list) else [own]), self._end_of_turn]
        if not all(token is None or isinstance(token, int) for token in ends):
            name = "generation_config.json" if has_own else "config.json"
            raise cannot_load(self._weights.model, f"{name}: eos_token_id is {own!r}, which is no token id")
        return sorted({int(token) for token in ends if token is not None})

    def encode(self, messages: Messages) -> list[int]:
        """The token ids of a chat, see `text`.

        Raises:
            UserError: the tokenizer has no chat template, or it fails.
        """
        return list(self.tokenizer(self.text(messages), add_special_tokens=False)["input_ids"])

    def text(self, messages: Messages) -> str:
        """The chat as its template writes it, with thinking off, up to the place where the answer begins.

        If the last message is the assistant's, it is the beginning of the answer and follows as it is; the
        template then writes no empty thought before it.

        Three things are changed, so that the prompt is the one that LLaMA-Factory trains with. Without a
        system role the system message begins the first user message. The dates of Llama 3.1 and 3.2 are left
        out. A thought that the prompt begins is closed: thinking is off.

        Raises:
            UserError: the tokenizer has no chat template, or it fails.
        """
        begun = messages[-1]["content"] if messages[-1]["role"] == "assistant" else ""
        asked = messages[:-1] if begun else messages
        chat = asked if self._has_system_role else _without_system(asked)
        text = self._render(chat, add_generation_prompt=True, enable_thinking=bool(begun))
        text = _DATES.sub(r"\1", text, count=1)
        return text + (begun or (_CLOSED if text.endswith(_OPEN_THOUGHT) else ""))

    @cached_property
    def _has_system_role(self) -> bool:
        """Some templates refuse a system message, others write nothing for it."""
        chat = [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": _USER}]
        self._require_template()
        try:
            return _SYSTEM in self._apply_template(chat)
        except _TEMPLATE_ERRORS:
            return False

    @cached_property
    def _end_of_turn(self) -> int | None:
        """The special token that follows an answer in the chat template; None if there is none."""
        if self.tokenizer.chat_template is None:
            return None
        chat = [{"role": "user", "content": _USER}, {"role": "assistant", "content": _ANSWER}]
        _, _, rest = self._render(chat).rpartition(_ANSWER)
        ids = self.tokenizer(rest, add_special_tokens=False)["input_ids"]
        return next((int(token) for token in ids if token in self.tokenizer.added_tokens_decoder), None)

    def _render(self, messages: Messages, **options: Any) -> str:
        self._require_template()
        try:
            return self._apply_template(messages, **options)
        except _TEMPLATE_ERRORS as error:
            raise UserError(
                f"{self._weights.model}: its chat template fails: {error}; correct chat_template.jinja or "
                "tokenizer_config.json there"
            ) from error

    def _apply_template(self, messages: Messages, **options: Any) -> str:
        options = {"tokenize": False, "enable_thinking": False} | options
        return str(self.tokenizer.apply_chat_template(messages, **options))

    def _require_template(self) -> None:
        if self.tokenizer.chat_template is None:
            raise UserError(
                f"{self._weights.model}: the tokenizer has no chat template; use an instruction-tuned model"
            )

    def decode(self, tokens: Any) -> list[str]:
        """The texts of answers, one per row of `tokens`, without special tokens."""
        return list(self.tokenizer.batch_decode(tokens, skip_special_tokens=True))

    def fitting_lengths(self, requests: Sequence[Request], longest: int) -> dict[int, int]:
        """Prompt tokens by number of the request, without prompts of more than `longest` tokens."""
        lengths = {number: len(self.encode(request.messages)) for number, request in enumerate(requests)}
        return {number: length for number, length in lengths.items() if length <= longest}


def _without_system(messages: Messages) -> list[dict[str, str]]:
    """The chat with its system message at the beginning of the first user message, as LLaMA-Factory does."""
    first, *others = (dict(message) for message in messages)
    if first["role"] != "system":
        return [first, *others]
    if not first["content"]:
        return others
    user, *others = others
    return [{**user, "content": f"{first['content']}\n\n{user['content']}"}, *others]


def load(kind: Any, weights: Weights, **options: Any) -> Any:
    """Call `kind.from_pretrained` with the folder of the model, or of an adapter's base model.

    Raises:
        UserError: the folder cannot be loaded.
    """
    quiet_transformers()
    try:
        return kind.from_pretrained(str(weights.model), local_files_only=True, **options)
    except Exception as error:  # a damaged file can give any error: the library checks few of their values
        file = _READ_FROM.get(kind.__name__, "config.json or the weights")
        raise cannot_load(weights.model, f"{file}: {reason(error)}") from error


def cannot_load(folder: Path, error: object) -> UserError:
    """A UserError with `folder`, the reason in `error` and the next step."""
    return UserError(f"{folder}: cannot be loaded as a model: {reason(error)}; {remedy(folder)}")


def reason(error: object) -> str:
    """The first line of an error, and the second if the first only announces it; its type if it has none."""
    first, *others = str(error).strip().splitlines() or [type(error).__name__]
    second = others[0].strip() if others and first.endswith(":") else ""
    text = f"{first} {second}".strip()
    return f"{type(error).__name__} {text}" if isinstance(error, KeyError) else text
