"""What turns chats into answers: the interface of every engine, and the planning of batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

Messages = Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Decoding:
    """How an answer of at most `max_new_tokens` is drawn, token by token.

    `temperature` 0 takes the likeliest token at every step; else it divides the logits. `top_p`: the
    draw is among the likeliest tokens that together have this probability (nucleus sampling,
    https://arxiv.org/abs/1904.09751). `repetition_penalty` weakens the tokens of prompt and answer so
    far (https://arxiv.org/abs/1909.05858); 1 does nothing. `likelihood` asks for log-probabilities.
    """

    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    likelihood: bool = False

    @property
    def plain(self) -> bool:
        """Whether the likeliest token is taken as the model gives it, and nothing is kept of it."""
        return self.temperature == 0 and self.repetition_penalty == 1 and not self.likelihood


@dataclass(frozen=True, slots=True)
class Request:
    """One answer to be drawn to a chat; what is random in it comes from `seed` (0 to 2**32 - 1)."""

    messages: Messages
    seed: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said; `logprob` is the mean over its tokens (nats), None where it is not known."""

    text: str
    logprob: float | None = None


class Engine(Protocol):
    """A language model that answers chats."""

    @property
    def identity(self) -> Mapping[str, object]:
        """What decides the answers beside requests and decoding: weights, device, libraries."""

    @property
    def room(self) -> int | None:
        """Tokens that a prompt may have; None: only the endpoint knows."""

    def plan(self, requests: Sequence[Request]) -> list[list[int]]:
        """The numbers of the requests in batches; a prompt that is too long is in none.

        The same requests always give the same batches.
        """

    def generate(
        self, batches: Sequence[tuple[int, Sequence[Request]]]
    ) -> Iterator[tuple[int, list[Answer]]]:
        """Yield each batch's number with its answers, as soon as they are there, in any order."""


def plan_batches(
    lengths: Mapping[int, int], max_new_tokens: int, batch_tokens: int, max_batch: int
) -> list[list[int]]:
    """Divide prompts into batches of similar length, the longest first.

    `lengths` maps each prompt's number to its tokens. A batch costs (its longest prompt +
    `max_new_tokens`) times its prompts and stays within `batch_tokens`; a prompt that costs more
    than that on its own gets a batch of its own. Longest first: what is too big for the machine
    fails at once, and the time left is never understated.
    """
    batches: list[list[int]] = []
    room = 0  # prompts that the newest batch still takes
    for number in sorted(lengths, key=lambda n: (-lengths[n], n)):
        if room == 0:
            batches.append([])
            room = max(1, min(max_batch, batch_tokens // (lengths[number] + max_new_tokens)))
        batches[-1].append(number)
        room -= 1
    return batches
