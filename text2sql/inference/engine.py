"""The interface of every engine, which answers chats with a language model, and the planning of batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from text2sql.errors import UserError
from text2sql.records import Problem

Messages = Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Request:
    """A request for one answer to a chat. `seed` (0 to 2**32 - 1) decides what is drawn at random."""

    messages: Messages
    seed: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The model's answer. `logprob` is the mean log-probability per token (nats), None if unknown.

    `problem` is None for an answer with text that the model itself ended. Otherwise:
    truncated: the answer reached its limit of tokens, perhaps within a thought, so that it has no text;
    declined: the model refuses, or a content filter stopped the question or the answer;
    prompt_too_long: the server refuses the prompt;
    empty: there is no text, and none of the above holds.
    """

    text: str
    logprob: float | None = None
    problem: Problem | None = None


def local_answer(text: str, logprob: float | None, truncated: bool) -> Answer:
    """The answer of a model on this machine."""
    problem: Problem | None = "truncated" if truncated else None if text.strip() else "empty"
    return Answer(text, logprob, problem)


class Engine(Protocol):
    """A language model that answers chats."""

    @property
    def identity(self) -> Mapping[str, object]:
        """Everything except requests and decoding that affects the answers: weights, device, libraries."""

    @property
    def max_prompt_tokens(self) -> int | None:
        """Largest number of tokens of a prompt; None if only the server can tell."""

    def plan(self, requests: Sequence[Request]) -> list[list[int]]:
        """Batches of request numbers; a prompt that is too long is in no batch.

        The same requests always give the same batches.
        """

    def generate(
        self, batches: Sequence[tuple[int, Sequence[Request]]]
    ) -> Iterator[tuple[int, list[Answer]]]:
        """Yield the number of each batch with its answers, as soon as they are complete, in any order."""


def prompt_room(context: int, max_new_tokens: int) -> int:
    """Largest number of tokens of a prompt, where prompt and answer together have at most `context`.

    Raises:
        UserError: the answer alone may take the whole context, so that no question could be asked.
    """
    if max_new_tokens >= context:
        raise UserError(
            f"predict.max_new_tokens is {max_new_tokens}, and prompt and answer together have at most "
            f"{context} tokens; set it well below {context}"
        )
    return context - max_new_tokens


def plan_batches(
    lengths: Mapping[int, int], max_new_tokens: int, batch_tokens: int, max_batch: int
) -> list[list[int]]:
    """Divide prompts into batches of similar length, the longest first.

    `lengths` maps the number of each prompt to its tokens. The cost of a batch is (longest prompt +
    `max_new_tokens`) times the number of its prompts. It is at most `batch_tokens`, except for a single
    prompt that alone costs more. The longest come first, so that a batch too large for the machine fails
    at once and the remaining time is never underestimated.
    """
    batches: list[list[int]] = []
    free = 0  # prompts that still fit in the newest batch
    for number in sorted(lengths, key=lambda n: (-lengths[n], n)):
        if free == 0:
            batches.append([])
            free = max(1, min(max_batch, batch_tokens // (lengths[number] + max_new_tokens)))
        batches[-1].append(number)
        free -= 1
    return batches
