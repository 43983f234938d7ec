"""Shared by the local engines: the token ids of a chat, and the tokens that end an answer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import AutoConfig, AutoTokenizer, GenerationConfig

from text2sql.devices import quiet_transformers
from text2sql.errors import UserError
from text2sql.inference.engine import Messages, Request
from text2sql.inference.weights import Weights

LOAD_ERRORS = (OSError, ValueError, RuntimeError, SafetensorError)


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
        return int(self._config.max_position_embeddings)

    @cached_property
    def ends(self) -> list[int]:
        """The ids of the tokenizer's end-of-turn token and of the end tokens in the model's configuration."""
        has_own = (self._weights.model / "generation_config.json").is_file()
        own = (load(GenerationConfig, self._weights) if has_own else self._config).eos_token_id
        ends = [self.tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])]
        return sorted({int(token) for token in ends if token is not None})

    def encode(self, messages: Messages) -> list[int]:
        """The token ids of a chat, with thinking switched off.

        If the last message is the assistant's, it is the beginning of the answer: it follows the template's
        generation prompt as it is, and has its own empty thought if the model needs one (thinking is then
        not switched off, so that Qwen3's template does not write a second one).

        Raises:
            UserError: the tokenizer has no chat template.
        """
        if self.tokenizer.chat_template is None:
            raise UserError(
                f"{self._weights.model}: the tokenizer has no chat template; use an instruction-tuned model"
            )
        if messages[-1]["role"] == "assistant":
            text = self.tokenizer.apply_chat_template(
                messages[:-1], tokenize=False, add_generation_prompt=True
            )
            begun = text + messages[-1]["content"]
            return list(self.tokenizer(begun, add_special_tokens=False)["input_ids"])
        return list(
            self.tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, enable_thinking=False, return_dict=False
            )
        )

    def decode(self, tokens: Any) -> list[str]:
        """The texts of answers, one per row of `tokens`, without special tokens."""
        return list(self.tokenizer.batch_decode(tokens, skip_special_tokens=True))

    def fitting_lengths(self, requests: Sequence[Request], longest: int) -> dict[int, int]:
        """Prompt tokens by number of the request, without prompts of more than `longest` tokens."""
        lengths = {number: len(self.encode(request.messages)) for number, request in enumerate(requests)}
        return {number: length for number, length in lengths.items() if length <= longest}


def load(kind: Any, weights: Weights, **options: Any) -> Any:
    """Call `kind.from_pretrained` with the folder of the model, or of an adapter's base model.

    Raises:
        UserError: the folder cannot be loaded.
    """
    quiet_transformers()
    try:
        return kind.from_pretrained(str(weights.model), local_files_only=True, **options)
    except LOAD_ERRORS as error:
        raise cannot_load(weights.model, error) from error


def cannot_load(folder: Path, error: object) -> UserError:
    """A UserError with `folder` and the first line of `error`."""
    reason = str(error).strip().partition("\n")[0]
    return UserError(
        f"{folder}: cannot be loaded as a model: {reason}; `dvc repro` creates the pipeline's files"
    )
