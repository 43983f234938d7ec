"""What the local engines share: a chat as token ids, and the tokens that end an answer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import AutoConfig, AutoTokenizer, GenerationConfig

from text2sql.errors import UserError
from text2sql.inference.engine import Messages, Request
from text2sql.inference.weights import Weights

LOAD_ERRORS = (OSError, ValueError, RuntimeError, SafetensorError)


class ChatTokens:
    """The tokenizer of the whole model, also for an adapter. Only folders on this machine are read.

    UserError: the folder cannot be read as a model.
    """

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self.tokenizer = load(AutoTokenizer, weights)
        self._config = load(AutoConfig, weights)

    @property
    def context(self) -> int:
        """Tokens that prompt and answer may have together."""
        return int(self._config.max_position_embeddings)

    @cached_property
    def ends(self) -> list[int]:
        """The tokenizer's end of turn and whatever else the model names as the end of an answer."""
        has_own = (self._weights.model / "generation_config.json").is_file()
        own = (load(GenerationConfig, self._weights) if has_own else self._config).eos_token_id
        ends = [self.tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])]
        return sorted({int(token) for token in ends if token is not None})

    def encode(self, messages: Messages) -> list[int]:
        """The token ids of a chat, thinking switched off. UserError: there is no chat template."""
        if self.tokenizer.chat_template is None:
            raise UserError(f"{self._weights.model}: its tokenizer has no chat template")
        return list(
            self.tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, enable_thinking=False, return_dict=False
            )
        )

    def decode(self, tokens: Any) -> list[str]:
        """The texts of answers, a row of `tokens` each, without the tokens that are no text."""
        return list(self.tokenizer.batch_decode(tokens, skip_special_tokens=True))

    def fitting(self, requests: Sequence[Request], longest: int) -> dict[int, int]:
        """Tokens of each request's prompt, by its number, without those of more than `longest`."""
        lengths = {number: len(self.encode(request.messages)) for number, request in enumerate(requests)}
        return {number: length for number, length in lengths.items() if length <= longest}


def load(kind: Any, weights: Weights, **options: Any) -> Any:
    """`kind.from_pretrained` of the whole model's folder. UserError: the folder cannot be read so."""
    try:
        return kind.from_pretrained(str(weights.model), local_files_only=True, **options)
    except LOAD_ERRORS as error:
        raise unreadable(weights.model, error) from error


def unreadable(folder: Path, error: object) -> UserError:
    """The error that names `folder` and the first line of what is wrong with it."""
    reason = str(error).strip().partition("\n")[0]
    return UserError(
        f"{folder}: cannot be read as a model: {reason}; `dvc repro` makes what the pipeline writes"
    )
