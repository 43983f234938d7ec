"""Compares the prompt that LLaMA-Factory trains with and the prompt of prediction, token by token."""

from __future__ import annotations

import copy
import difflib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from transformers import AutoTokenizer

from text2sql.errors import UserError
from text2sql.inference.chat_tokens import ChatTokens, load
from text2sql.inference.weights import Weights
from text2sql.training.dataset import SAMPLE, Row, chat

_SHOWN = 12  # tokens before and after the first difference in a message


@dataclass(frozen=True)
class TrainedRow:
    """The token ids of one row as the trainer gets them: no loss on `prompt`, loss on `answer`."""

    prompt: list[int]
    answer: list[int]


class Parity:
    """Compares both prompts of the model in a folder.

    Not covered: servers with OpenAI's protocol, which apply a chat template of their own.
    """

    def __init__(self, folder: Path, row: Row = SAMPLE, enable_thinking: bool | None = False) -> None:
        """`enable_thinking` is LLaMA-Factory's argument; None leaves it at its default, which is true.

        Raises:
            UserError: the folder has no model with a tokenizer and a chat template.
        """
        self._folder = folder
        self._row = row
        self._thinks = enable_thinking is not False
        self.tokens = ChatTokens(Weights(folder, ""))

    @cached_property
    def predicted(self) -> list[int]:
        """The prompt's ids in prediction.

        Raises:
            UserError: the chat template is missing or fails.
        """
        return self.tokens.encode(chat(self._row))

    def differs(self, template: str) -> bool:
        """Whether the prompts differ; a quick look, without LLaMA-Factory's changes of the tokenizer."""
        row = encoded(template, self.tokens.tokenizer, self._row, self._thinks)
        return not _begins_with(row, self.predicted)

    def trained(self, template: str) -> TrainedRow:
        """The row as LLaMA-Factory makes it, which first changes the tokenizer's special tokens."""
        tokenizer = load(AutoTokenizer, Weights(self._folder, ""))
        _found(template).fix_special_tokens(tokenizer)
        return encoded(template, tokenizer, self._row, self._thinks)

    def problem(self, template: str) -> str | None:
        """What is wrong with `template` for this model, or None.

        The template needs an image processor, the prompts differ, or prediction would not stop where the
        answers of the training end.

        Raises:
            UserError: LLaMA-Factory has no such template, or the chat template is missing or fails.
        """
        if _found(template).mm_plugin.image_token and not _reads_images(self._folder):
            return (
                f"{self._folder}: LLaMA-Factory's template {template} is for models that read images, and "
                "this one has no preprocessor_config.json"
            )
        row = self.trained(template)
        if not _begins_with(row, self.predicted):
            return f"{self._folder}: {self._difference(template, row)}"
        return self._endless(template, (row.prompt + row.answer)[len(self.predicted) :])

    def _endless(self, template: str, learned: list[int]) -> str | None:
        """Why an answer, of which `learned` is still to be written, would not end as it was learned."""
        tokenizer, ends = self.tokens.tokenizer, self.tokens.ends
        alone = tokenizer(self._row["output"], add_special_tokens=False)["input_ids"]
        if tokenizer.decode(_until(learned, ends)).strip() == tokenizer.decode(alone).strip():
            return None
        stops = ", ".join(map(str, tokenizer.convert_ids_to_tokens(ends)))
        return (
            f"{self._folder}: with training.template {template} the model learns the answer "
            f"{tokenizer.decode(learned)!r}, in which prediction does not find the end: it stops at {stops}"
        )

    def _difference(self, template: str, row: TrainedRow) -> str:
        trained = row.prompt + row.answer if len(self.predicted) > len(row.prompt) else row.prompt
        pairs = zip(trained, self.predicted, strict=False)
        same = min(len(trained), len(self.predicted))
        at = next((n for n, (ours, theirs) in enumerate(pairs) if ours != theirs), same)
        return (
            f"training.template {template} and the model's chat template write one row as different prompts: "
            f"around token {at}, the first that differs, training has {self._window(trained, at)}, and "
            f"prediction has {self._window(self.predicted, at)}"
        )

    def _window(self, ids: Sequence[int], at: int) -> str:
        return repr(self.tokens.tokenizer.decode(ids[max(0, at - _SHOWN) : at + _SHOWN]))


def parity_problem(
    folder: Path, template: str, enable_thinking: bool | None = False, row: Row = SAMPLE
) -> str | None:
    """Why the model in `folder` cannot be trained with LLaMA-Factory's `template`, or None.

    Compares the prompt of `row` in training and in prediction. Where an empty thought, or the space before
    the answer, is learned as its beginning, the prompt of prediction may have that beginning too.

    Raises:
        UserError: LLaMA-Factory has no such template, or the folder has no model with a chat template.
    """
    return Parity(folder, row, enable_thinking).problem(template)


def encoded(template: str, tokenizer: Any, row: Row, thinks: bool) -> TrainedRow:
    """A row as LLaMA-Factory's SupervisedDatasetProcessor (version 0.9.5) encodes it.

    Raises:
        UserError: LLaMA-Factory has no such template.
    """
    form = _found(template)
    from llamafactory.data.template import ReasoningTemplate

    if isinstance(form, ReasoningTemplate):
        form.enable_thinking = thinks
    turns = [
        {"role": "user", "content": row["instruction"]},
        {"role": "assistant", "content": row["output"]},
    ]
    ((prompt, answer),) = form.encode_multiturn(tokenizer, turns, row["system"])
    return TrainedRow(prompt, answer + ([tokenizer.eos_token_id] if form.efficient_eos else []))


def known_templates() -> Mapping[str, Any]:
    """LLaMA-Factory's templates by name.

    Raises:
        UserError: LLaMA-Factory is not installed.
    """
    try:
        from llamafactory.data.template import TEMPLATES
    except ImportError as error:
        raise UserError("LLaMA-Factory is not installed; `make setup` installs it") from error
    logging.getLogger("llamafactory").setLevel(logging.ERROR)  # it prints every change of a tokenizer
    return cast("Mapping[str, Any]", TEMPLATES)


def _found(template: str) -> Any:
    """A copy of LLaMA-Factory's template, which can be changed."""
    templates = known_templates()
    if template not in templates:
        near = difflib.get_close_matches(template, templates, n=5) or sorted(templates)
        raise UserError(
            f"training.template: LLaMA-Factory has no template {template!r}; set auto, which finds the "
            f"model's, or one such as {', '.join(near)}"
        )
    return copy.copy(templates[template])


def _begins_with(row: TrainedRow, predicted: list[int]) -> bool:
    both = row.prompt + row.answer
    return len(row.prompt) <= len(predicted) < len(both) and both[: len(predicted)] == predicted


def _reads_images(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("preprocessor_config.json", "processor_config.json"))


def _until(ids: Sequence[int], ends: Sequence[int]) -> list[int]:
    at = next((n for n, token in enumerate(ids) if token in ends), 0)
    return list(ids[:at])
